// The chosen cell in full: pictures, classes to choose from, likeness, neighbours, history.

import { bar, by, className, make, percent } from "./dom.js";

const panel = by("detail");
let drawn = ""; // what the panel shows: drawn anew without need, its list would close and clicks would be lost
let unfolded = null; // the cell whose history is open

/** Show a cell. `choose` is called with a class's name, or null to take a correction back; `close` when it is closed. */
export function showCell(cell, model, { outlines, choose, close }) {
  const shown = JSON.stringify([cell, outlines]);
  if (shown === drawn) return;
  drawn = shown;
  const focused = document.activeElement?.dataset?.choice;
  panel.hidden = false;
  panel.replaceChildren(
    head(cell, close),
    pictures(cell, outlines),
    likeness(cell),
    classes(cell, model, choose),
    ...neighbours(cell),
    ...history(cell),
  );
  if (focused) panel.querySelector(`[data-choice="${focused}"]`)?.focus();
}

/** Show nothing. */
export function hideCell() {
  drawn = "";
  panel.hidden = true;
  panel.replaceChildren();
}

function head(cell, close) {
  const shown = cell.label ?? cell.class;
  const found = cell.class === null ? "no white cell was found, so the classifier gives no class"
    : `the classifier said ${className(cell.class)}, ${percent(cell.probability)}`;
  const said = cell.label ? `checked; ${found}` : cell.class === null ? found : `${percent(cell.probability)} sure`;
  return make("div", { className: "detail-head" },
    make("div", {},
      make("h2", { textContent: className(shown) }),
      make("p", { className: "quiet", textContent: said }),
      sureNode(cell),
      outline(cell),
      make("p", { className: "quiet", textContent: cell.name })),
    make("button", { id: "close", type: "button", textContent: "Close", onclick: close }));
}

/** The class that is 90 % sure, where that is coarser than the likeliest one. */
const sureNode = (cell) => cell.node === null || cell.node === cell.class ? null : make("p", {
  className: "quiet", textContent: cell.node === "cell" ? "no class is 90 % sure" : `90 % sure: ${className(cell.node)}`,
});

const outline = (cell) => make("p", {
  className: "quiet", textContent: cell.found ? `outline ${percent(cell.confidence)} sure` : "no outline",
});

function pictures(cell, outlines) {
  const of = (kind, caption) => make("figure", {},
    make("img", { src: `/v1/cells/${cell.id}/${kind}.jpg`, alt: `${caption}, ${cell.name}` }),
    make("figcaption", { textContent: caption }));
  return make("div", { className: "pictures" },
    of(outlines ? "outlined" : "image", outlines ? "image with outline" : "image"),
    of("segmented", cell.found ? "cell cut out" : "no cell found"),
    of("reconstruction", "reconstruction"));
}

function likeness(cell) {
  const text = cell.unlike
    ? `Unlike all training cells (distance ${cell.distance.toFixed(2)}, above 1 unlike)`
    : `Like cells that were learnt from (distance ${cell.distance.toFixed(2)}, above 1 unlike)`;
  const sign = make("span", { "aria-hidden": "true", textContent: cell.unlike ? "!" : "✓" });
  return make("p", { className: cell.unlike ? "likeness unlike" : "likeness" }, sign, make("span", { textContent: text }));
}

function classes(cell, model, choose) {
  const choices = model.classes.map(({ name, key }) => choice(cell, name, key, choose));
  const more = model.other_classes.map((name) => make("option", { value: name, textContent: className(name) }));
  const other = make("select", { id: "other", onchange: (event) => event.target.value && choose(event.target.value) },
    make("option", { value: "", textContent: "another class…" }), ...more);
  if (model.other_classes.includes(cell.label)) other.value = cell.label;
  const undo = make("button", { type: "button", disabled: cell.label === null, onclick: () => choose(null) },
    make("span", { textContent: "Take back" }), make("kbd", { textContent: "u" }));
  undo.dataset.choice = "undo";
  return make("section", { "aria-labelledby": "choices-title" },
    make("h3", { id: "choices-title", textContent: "Class: press its key or choose it" }),
    make("div", { className: "choices" }, ...choices),
    make("div", { className: "other" }, make("label", { htmlFor: "other", textContent: "Not here:" }), other, undo));
}

/** A class; without a probability where the run that looked at the cell didn't know it. */
function choice(cell, name, key, choose) {
  const share = cell.probabilities[name];
  const words = share === undefined ? "" : percent(share);
  const button = make("button", {
    type: "button", onclick: () => choose(name), "aria-pressed": String(cell.label === name),
    className: name === cell.class ? "choice likeliest" : "choice",
    "aria-label": [className(name), words, key && `key ${key}`].filter(Boolean).join(", "),
  }, make("kbd", { textContent: key }), make("span", { textContent: className(name) }), bar(share ?? 0),
  make("span", { textContent: words }));
  button.dataset.choice = name;
  return button;
}

function neighbours(cell) {
  if (!cell.neighbours.length) return [];
  const figures = cell.neighbours.map((near) => make("figure", { title: `${near.lab}, distance ${near.distance}` },
    make("img", { src: `/v1/training/${near.row}.jpg`, alt: `training cell of ${near.lab}` }),
    make("figcaption", { textContent: className(near.label) })));
  return [make("section", { "aria-labelledby": "near-title" },
    make("h3", { id: "near-title", textContent: "Nearest training cells" }),
    make("div", { className: "neighbours" }, ...figures))];
}

function history(cell) {
  if (!cell.corrections.length) return [];
  const lines = cell.corrections.map((one) => make("li", {
    textContent: `${new Date(one.made).toLocaleString()}: ${one.label ? className(one.label) : "taken back"} `
      + `(model ${one.model} ${one.predicted === null ? "found no cell"
        : `said ${className(one.predicted)}, ${percent(one.probability)}`})`,
  }));
  const all = make("details", { className: "history", open: unfolded === cell.id },
    make("summary", { textContent: "History" }), make("ul", {}, ...lines));
  all.addEventListener("toggle", () => {
    if (all.isConnected) unfolded = all.open ? cell.id : null;
  });
  return [all];
}
