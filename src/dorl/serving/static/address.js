// What is shown, as the page's address keeps it.

import { by } from "./dom.js";

/** Whether the address says what to show: another one may only say where on the page to go. */
export const told = () => new URLSearchParams(location.hash.slice(1)).has("sample");

/** What the address says. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  const option = (name) => {
    const known = [...by(name).options].some(({ value }) => value === given.get(name));
    return known ? given.get(name) : by(name).options[0].value;
  };
  return {
    sample: number("sample"), cell: number("cell"), field: number("field"), start: number("start") ?? 0,
    order: option("order"), show: option("show"), class: given.get("class") ?? "",
  };
}

/** Keep what is shown in the address. */
export function writeAddress(state) {
  const first = { order: "given", show: "all", class: "", start: 0 };
  const kept = Object.entries(state).filter(([name, value]) => value !== null && value !== first[name]);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}
