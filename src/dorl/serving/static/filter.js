// Which cells a filter lets through, and where the cells go on behind those shown, once some got a class.

/** Whether a cell is still let through; `filter` has show and class. (Only these change with a class given.) */
function matches(cell, filter) {
  if (filter.show === "unchecked" && cell.label !== null) return false;
  if (filter.show === "corrected" && (cell.label === null || cell.label === cell.class)) return false;
  return !filter.class || (cell.label ?? cell.class) === filter.class;
}

/** What cells are sorted by, as far as a class given changes it: by class, then the surest first; without a class last. */
export const place = (cell) => {
  const name = cell.label ?? cell.class;
  return [name === null, name ?? "", -(cell.probability ?? -1), cell.id];
};

const before = (one, other) => {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at < 0 || one[at] < other[at];
};

/**
 * How many of the cells shown lie before the first that wasn't: those that got a class may have left the list, or lie
 * behind it now. `last` is the `place` that the last one had when they were asked for.
 */
export function passed(cells, filter, last) {
  const still = cells.filter((cell) => matches(cell, filter));
  return filter.order === "class" ? still.filter((cell) => before(place(cell), last)).length : still.length;
}
