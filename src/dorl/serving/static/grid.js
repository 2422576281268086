// The cells of a page as a grid that arrows walk through.

import { bar, by, className, make, percent } from "./dom.js";

const list = by("cells");
let drawn = new Map(); // by what a card shows, so that one that stays as it is isn't drawn anew

/** Show cells; `choose` is called with the number of a cell that is clicked. */
export function showCells(cells, chosen, outlines, choose) {
  const focused = hasFocus();
  const before = drawn;
  drawn = new Map(cells.map((cell) => {
    const shown = JSON.stringify([cell, outlines]);
    return [shown, before.get(shown) ?? make("li", {}, card(cell, outlines, choose))];
  }));
  const items = [...drawn.values()];
  if (items.some((item, at) => item !== list.children[at]) || items.length !== list.children.length) {
    list.replaceChildren(...items);
  }
  mark(chosen, focused, true); // who has scrolled on isn't brought back
}

/** Draw one cell anew. */
export function updateCell(cell, chosen, outlines, choose) {
  const old = button(cell.id);
  if (!old) return;
  const focused = document.activeElement === old;
  const fresh = card(cell, outlines, choose);
  old.replaceWith(fresh);
  mark(chosen, false);
  if (focused) fresh.focus({ preventScroll: true }); // who has scrolled on isn't brought back
}

/** Whether a cell has the focus. */
export const hasFocus = () => list.contains(document.activeElement) && document.activeElement !== list;

/** Mark the chosen cell, the only one that Tab stops at, and focus it if need be. */
export function mark(chosen, focus, preventScroll = false) {
  for (const one of list.querySelectorAll("button")) {
    const is = Number(one.dataset.cell) === chosen;
    one.setAttribute("aria-current", String(is));
    one.tabIndex = is ? 0 : -1;
    if (is && focus) one.focus({ preventScroll });
  }
  if (!button(chosen)) list.querySelector("button")?.setAttribute("tabindex", "0");
}

/** How many cells stand side by side. */
export function columns() {
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}

const button = (cell) => list.querySelector(`[data-cell="${cell}"]`);

function card(cell, outlines, choose) {
  const shown = cell.label ?? cell.class;
  const badges = [
    cell.label === null ? null : badge("done", cell.label === cell.class ? "checked" : "corrected"),
    cell.unlike ? badge("warn", "unlike all") : null,
    cell.found ? null : badge("warn", "no cell found"),
  ].filter(Boolean);
  const one = make("button", { type: "button", className: "cell", onclick: () => choose(cell.id) },
    make("img", { src: `/v1/cells/${cell.id}/${outlines ? "outlined" : "image"}.jpg`, alt: "", loading: "lazy" }),
    make("span", { className: "cell-words" },
      make("span", { className: "cell-class", textContent: className(shown) }),
      sure(cell),
      make("span", { className: "badges" }, ...badges)));
  one.dataset.cell = cell.id;
  one.title = cell.name;
  return one;
}

/** The classifier's probability; of a corrected cell what it had said, as the number isn't that of the class shown. */
function sure(cell) {
  if (cell.class === null) return make("span", { className: "cell-sure" });
  if (cell.label !== null && cell.label !== cell.class) {
    return make("span", { className: "cell-sure said", textContent: `was ${className(cell.class)}` });
  }
  const number = make("span", { textContent: percent(cell.probability) });
  return make("span", { className: "cell-sure" }, bar(cell.probability), number);
}

const badge = (kind, text) => make("span", { className: `badge ${kind}`, textContent: text });
