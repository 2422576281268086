// Elements, and words for what the API says.

/** The element of an id. */
export const by = (id) => document.getElementById(id);

/** A new element; `values` are its properties, those with a dash its attributes. */
export function make(tag, values = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Show a line, or hide its element where it is empty. */
export function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

const made = new WeakMap(); // by element, what its children were made of

/** Put children into an element, made by `draw`, unless those that are there were made of the same data. */
export function redraw(element, data, draw) {
  const told = JSON.stringify(data);
  if (made.get(element) === told) return;
  made.set(element, told);
  element.replaceChildren(...draw());
}

/** Choose an option, unless it is chosen: an open list would lose its place. */
export function select(element, value) {
  if (element.value !== String(value)) element.value = value;
}

/** Say something to those who listen to the page. */
export function announce(text) {
  by("status").textContent = text;
}

/** "neutrophil_banded" as people write it: "neutrophil, banded". */
export const className = (name) => name === null ? "no class"
  : name.replace(/_(banded|segmented|typical|atypical)$/, ", $1").replace(/_/g, " ");

/** A share as whole per cent; what is nearly certain isn't said to be so. */
export function percent(share) {
  if (share > 0.99 && share < 1) return ">99\u00a0%";
  return `${Math.round(100 * share)}\u00a0%`;
}

/** A bar of a share from 0 to 1. */
export function bar(share) {
  const filled = make("i");
  filled.style.width = `${100 * share}%`;
  return make("span", { className: "bar", "aria-hidden": "true" }, filled);
}

/** A count with its noun. */
export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
