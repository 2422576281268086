// What is said of a sample as a whole: progress, notes, what was left out, counts by class.

import { by, className, counted, make, percent, redraw, tell } from "./dom.js";

/** Show a sample; `filter` is called with a class's name, or "" for all. */
export function showSample(sample, chosenClass, filter) {
  by("sample").hidden = false;
  by("sample-title").textContent = sample.name;
  const facts = [counted(sample.images, "cell"), ...fields(sample), new Date(sample.made).toLocaleString()];
  if (sample.checked) facts.push(`${sample.checked} checked, ${sample.corrected} of them corrected`);
  if (sample.unlike) facts.push(`${sample.unlike} unlike all training cells`);
  if (sample.without_cell) facts.push(`${sample.without_cell} without a cell`);
  by("sample-facts").textContent = facts.join(" · ");
  by("export-table").href = `/v1/samples/${sample.id}/cells.csv`;
  by("export-lab").href = `/v1/samples/${sample.id}/lab.zip`;
  progress(sample);
  tell(by("notes"), notes(sample));
  leftOut(sample.left_out);
  differential(sample);
  showChips(sample, chosenClass, filter);
}

const fields = (sample) => (sample.kind === "fields" ? [counted(sample.fields, "smear field")] : []);

function progress(sample) {
  const [done, all, what] = sample.kind === "fields" ? [sample.fields_searched, sample.fields, "fields searched"]
    : [sample.looked_at, sample.images, "looked at"];
  by("working").hidden = sample.state === "done";
  by("working-bar").value = all ? done / all : 0;
  by("working-text").textContent = `${done} of ${all} ${what}`;
}

function differential(sample) {
  by("differential").hidden = sample.kind !== "fields" || sample.images === 0;
  const rows = () => sample.differential.map((row) => make("tr", {},
    make("th", { scope: "row", textContent: className(row.class) }),
    make("td", { textContent: row.cells }),
    make("td", { textContent: row.share === null ? "" : `${tenths(row.share)}${row.group === "apart" ? " per 100" : " %"}` }),
    make("td", { textContent: reach(row.low, row.high) }),
    make("td", { textContent: reach(row.low_with_errors, row.high_with_errors) })));
  redraw(by("differential").querySelector("tbody"), sample.differential, rows);
}

const reach = (low, high) => (low === null || high === null ? "" : `${tenths(low)} – ${tenths(high)}`);
const tenths = (share) => (100 * share).toFixed(1);

function notes(sample) {
  const said = [];
  if (sample.adapted) {
    said.push("These cells look unlike those learnt from: the classifier adapted to them, without labels.");
  }
  if (sample.mix) {
    const shares = Object.entries(sample.mix).filter(([, share]) => share >= 0.005).sort((a, b) => b[1] - a[1]);
    const listed = shares.map(([name, share]) => `${className(name)} ${tenths(share)} %`).join(", ");
    said.push(`Their mix of classes, by which probabilities are corrected, is estimated as ${listed}.`);
  }
  if (sample.accuracy && sample.looked_at >= 20) {
    const { share, low, high } = sample.accuracy;
    said.push(`By its confidence ${percent(share)} of the classes are right (95 % interval ${percent(low)} to ${percent(high)}).`);
  }
  return said.join(" ");
}

function leftOut(files) {
  const box = by("left-out");
  box.hidden = files.length === 0;
  box.querySelector("summary").textContent = `${counted(files.length, "file")} left out`;
  const lines = () => files.map(({ name, reason }) => make("li", { textContent: `${name}: ${reason}` }));
  redraw(box.querySelector("ul"), files, lines);
}

/** A button for each class; those that are there stay, as counts change while someone clicks. */
function showChips(sample, chosen, filter) {
  const list = by("classes");
  const classes = Object.entries(sample.classes);
  if (chosen && !(chosen in sample.classes)) classes.push([chosen, 0]);
  const before = new Map([...list.children].map((one) => [one.dataset.class, one]));
  const items = classes.map(([name, count]) => {
    const one = before.get(name) ?? chip(name);
    one.setAttribute("aria-pressed", String(name === chosen));
    one.onclick = () => filter(name === chosen ? "" : name);
    one.querySelector("b").textContent = count;
    return one;
  });
  if (items.length === list.children.length && items.every((item, at) => item === list.children[at])) return;
  const focused = document.activeElement;
  list.replaceChildren(...items);
  if (items.includes(focused)) focused.focus({ preventScroll: true });
}

function chip(name) {
  const one = make("button", { type: "button", className: "chip" },
    make("span", { textContent: className(name) }), make("b"));
  one.dataset.class = name;
  return one;
}
