// The smear field that is shown, with a button for each of its cells.

import { by, className, counted, make, percent, redraw, select } from "./dom.js";

const picture = by("field-picture");

/** List the fields to choose from, the chosen one marked; `fields` is empty for a sample of single cells. */
export function listFields(fields, chosen) {
  by("field-field").hidden = fields.length === 0;
  const options = [[0, "all fields"], ...fields.map(({ id, name, cells }) => [id, `${name} (${cells})`])];
  redraw(by("field"), options, () => options.map(([value, textContent]) => make("option", { value, textContent })));
  select(by("field"), chosen);
  const at = fields.findIndex((field) => field.id === chosen);
  by("field-before").disabled = at <= 0;
  by("field-after").disabled = at >= fields.length - 1;
}

/** Show a field and its cells, or nothing for null; `choose` is called with the number of a cell that is clicked. */
export function showField(field, cells, outlines, choose) {
  picture.hidden = field === null;
  if (field === null) return;
  const image = picture.querySelector("img");
  const source = `/v1/fields/${field.id}/${outlines ? "outlined" : "image"}.jpg`;
  if (image.getAttribute("src") !== source) image.src = source;
  image.alt = `smear field ${field.name}`;
  image.width = field.width;
  image.height = field.height;
  const ruler = field.red_cell === null ? "no red cell to measure by" : `red cells ${Math.round(field.red_cell)} px wide`;
  picture.querySelector("figcaption").textContent = [
    field.name, `${field.width} × ${field.height} px`, ruler, counted(field.cells, "white cell"),
  ].join(" · ");
  redraw(by("boxes"), [field, cells], () => cells.map((cell) => box(field, cell, choose)));
}

/** Mark the chosen cell. */
export function markBox(chosen) {
  for (const one of by("boxes").children) one.setAttribute("aria-current", String(Number(one.dataset.cell) === chosen));
}

/** The grid is the keyboard's way to the same cells, so that Tab doesn't stop here. */
function box(field, cell, choose) {
  const [left, top, right, bottom] = cell.box;
  const word = className(cell.label ?? cell.class);
  const one = make("button", {
    type: "button", tabIndex: -1, onclick: () => choose(cell.id), title: `${word}, ${percent(cell.probability)}`,
    "aria-label": `${word}, ${cell.name}`,
  }, make("span", { textContent: word }));
  one.dataset.cell = cell.id;
  const share = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(one.style, {
    left: share(left, field.width), width: share(right - left, field.width),
    top: share(top, field.height), height: share(bottom - top, field.height),
  });
  if (bottom > 0.9 * field.height) one.classList.add("low");
  if (left + right > field.width) one.classList.add("right");
  return one;
}
