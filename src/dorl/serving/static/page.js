// The page: its state, which the address keeps, and what its parts do to it.

import * as api from "./api.js";
import { announce, by, className, counted, make, tell } from "./dom.js";
import { hideCell, showCell } from "./detail.js";
import { listFields, markBox, showField } from "./fields.js";
import { columns, mark, showCells, updateCell } from "./grid.js";
import { showSample } from "./sample.js";
import { takeFiles } from "./upload.js";

const PAGE = 60; // cells
const OF_FIELD = 500; // cells of one field
const EVERY = 600; // milliseconds between two looks at a sample that isn't done

// of a sample of fields: the one that is shown, 0 for all, null until there is one
const state = { sample: null, order: "given", show: "all", class: "", field: null, start: 0, cell: null };
let model = null;
let cells = []; // of the page shown
let fields = []; // of the sample, if it is one of fields
let count = 0; // of all that the filter lets through
let timer = null;
let turn = 0; // answers of an earlier turn come too late

async function begin() {
  try {
    model = await api.getModel();
  } catch (error) {
    if (error.status === 401) return login();
    return tell(by("fault"), error.message);
  }
  const held = model.facts.accuracy_held_out;
  const right = held === null ? "" : ` · right on ${Math.round(100 * held)} % of held-out training cells`;
  by("model").textContent = `${model.name} · ${model.facts.classifier}, ${model.classes.length} classes from `
    + `${model.facts.source.join(", ")}${right}`;
  by("model").title = `model version ${model.version}`;
  takeFiles(model, (sample) => open(sample.id));
  listen();
  readAddress();
  const samples = await listSamples();
  if (state.sample === null && samples.length) state.sample = samples[0].id;
  refresh();
}

async function listSamples() {
  const samples = await api.getSamples();
  document.body.classList.toggle("empty", samples.length === 0);
  by("samples-field").hidden = samples.length === 0;
  by("samples").replaceChildren(...samples.map((sample) => make("option", {
    value: sample.id, textContent: `${sample.id}: ${sample.name} (${sample.images})`,
  })));
  if (state.sample !== null) by("samples").value = state.sample;
  return samples;
}

function login() {
  const dialog = by("login");
  dialog.showModal();
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await api.beginSession(by("token").value);
      dialog.close();
      begin();
    } catch (error) {
      tell(by("login-fault"), error.message);
    }
  };
}

// ---- state and address

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  Object.assign(state, { sample: number("sample"), cell: number("cell"), field: number("field"), start: number("start") ?? 0 });
  for (const name of ["order", "show"]) {
    const known = [...by(name).options].some((option) => option.value === given.get(name));
    state[name] = known ? given.get(name) : by(name).options[0].value;
  }
  state.class = given.get("class") ?? "";
}

function writeAddress() {
  const first = { order: "given", show: "all", class: "", start: 0 };
  const told = Object.entries(state).filter(([name, value]) => value !== null && value !== first[name]);
  history.replaceState(null, "", `#${new URLSearchParams(told)}`);
}

/** Change the state and show what it asks for. */
function go(change) {
  Object.assign(state, change);
  return refresh();
}

async function open(sample) {
  Object.assign(state, { sample, order: "given", show: "all", class: "", field: null, start: 0, cell: null });
  await listSamples();
  return refresh();
}

// ---- showing

async function refresh() {
  clearTimeout(timer);
  if (state.sample === null) return;
  const mine = ++turn;
  const { order, show, field, start } = state;
  const most = page();
  let answer, searched;
  try {
    answer = await api.getCells(state.sample, { order, show, class: state.class, field: field || "", start, most });
    searched = answer.sample.kind === "fields" ? await api.getFields(state.sample) : [];
  } catch (error) {
    if (error.status === 404) return gone();
    tell(by("fault"), error.message);
    timer = setTimeout(refresh, 5 * EVERY);
    return;
  }
  if (mine !== turn) return;
  fields = searched;
  if (field === null && fields.length) return go({ field: fields[0].id, start: 0 });
  if (answer.count > 0 && answer.count <= state.start) return go({ start: Math.floor((answer.count - 1) / most) * most });
  cells = answer.cells;
  count = answer.count;
  if (!cells.some((cell) => cell.id === state.cell)) state.cell = null;
  showSample(answer.sample, state.class, (name) => go({ class: name, start: 0 }));
  by("samples").value = state.sample;
  by("order").value = state.order;
  by("show").value = state.show;
  listFields(fields, state.field ?? 0);
  showCells(cells, state.cell, by("outlines").checked, choose);
  drawField();
  const working = answer.sample.state !== "done";
  const nothing = state.field && !state.class && state.show === "all" ? "No white cell was found in this field." : "No cell with this filter.";
  tell(by("none"), count || working ? "" : nothing);
  pages();
  writeAddress();
  if (working) timer = setTimeout(refresh, EVERY);
  else if (by("working").dataset.was === "yes") {
    announce(`${counted(answer.sample.images, "cell")} looked at`);
    if (fields.length) listSamples(); // how many cells there are is known only now
  }
  by("working").dataset.was = working ? "yes" : "no";
  if (state.cell === null) {
    if (cells.length && wide()) return choose(cells[0].id, false);
    hideCell();
  } else await detail();
}

async function gone() {
  tell(by("fault"), "this sample isn't here any more");
  by("sample").hidden = true;
  state.sample = null;
  const samples = await listSamples();
  if (samples.length) open(samples[0].id);
}

/** Cells that are shown together: of a field as many as can be, since each has its place in the picture. */
const page = () => (state.field ? OF_FIELD : PAGE);

function drawField() {
  showField(fields.find((field) => field.id === state.field) ?? null, cells, by("outlines").checked, choose);
  markBox(state.cell);
}

function pages() {
  by("pages").hidden = count <= page();
  by("page-text").textContent = `${state.start + 1} to ${Math.min(state.start + page(), count)} of ${count}`;
  by("previous").disabled = state.start === 0;
  by("next").disabled = state.start + page() >= count;
}

const wide = () => matchMedia("(min-width: 821px)").matches;

/** Choose a cell, and on a phone open it. */
async function choose(cell, opened = true) {
  state.cell = cell;
  mark(cell, opened && wide());
  markBox(cell);
  writeAddress();
  if (opened) by("detail").classList.add("open");
  await detail();
  if (opened && !wide()) by("detail").focus();
}

async function detail() {
  const wanted = state.cell;
  const cell = await api.getCell(wanted).catch((error) => tell(by("fault"), error.message));
  if (cell && wanted === state.cell) {
    showCell(cell, model, { outlines: by("outlines").checked, choose: correct, close });
  }
}

function close() {
  by("detail").classList.remove("open");
  mark(state.cell, true);
}

// ---- doing

/** Give the chosen cell a class, or take it back with null; with `forward` the next cell is chosen. */
async function correct(label, forward = false) {
  const cell = cells.find((one) => one.id === state.cell);
  if (!cell) return;
  if (forward) walk(1); // at once, so that the next key is for the next cell however slow the server is
  try {
    await (label === null ? api.dropLabel(cell.id) : api.setLabel(cell.id, label));
  } catch (error) {
    return tell(by("fault"), error.message);
  }
  cell.label = label;
  updateCell(cell, state.cell, by("outlines").checked, choose);
  drawField();
  announce(label === null ? "taken back" : `${className(label)}: kept`);
  const sample = await api.getCells(state.sample, { most: 1 });
  if (sample.sample.id === state.sample) showSample(sample.sample, state.class, (name) => go({ class: name, start: 0 }));
  if (state.cell === cell.id) await detail();
}

/** Walk to another cell by so many places. */
function walk(by_) {
  const at = cells.findIndex((cell) => cell.id === state.cell) + by_;
  if (at >= 0 && at < cells.length) return choose(cells[at].id, wide());
  if (at >= cells.length && state.start + page() < count) return go({ start: state.start + page(), cell: null });
  if (at < 0 && state.start > 0) return go({ start: state.start - page(), cell: null });
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(select|input|summary)$/i.test(event.target.tagName)) return;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -cells.length, End: cells.length };
  const within = event.target.closest("#cells");
  const chosen = model.classes.find((one) => one.key && one.key === event.key.toLowerCase());
  if (within && event.key in moves) {
    event.preventDefault();
    if (event.key === "Home" || event.key === "End") choose(cells[event.key === "Home" ? 0 : cells.length - 1].id, wide());
    else walk(moves[event.key]);
  } else if (event.key === "Escape") close();
  else if (event.key === "o") by("outlines").click();
  else if (event.key === "u") correct(null);
  else if (chosen) {
    event.preventDefault();
    correct(chosen.name, by("forward").checked && within !== null);
  }
}

function listen() {
  by("work").addEventListener("keydown", key);
  by("outlines").addEventListener("change", () => refresh());
  by("order").addEventListener("change", (event) => go({ order: event.target.value, start: 0 }));
  by("show").addEventListener("change", (event) => go({ show: event.target.value, start: 0 }));
  by("field").addEventListener("change", (event) => go({ field: Number(event.target.value), start: 0, cell: null }));
  for (const [button, step] of [["field-before", -1], ["field-after", 1]]) {
    by(button).addEventListener("click", () => {
      const next = fields[fields.findIndex((field) => field.id === state.field) + step];
      if (next) go({ field: next.id, start: 0, cell: null });
    });
  }
  by("samples").addEventListener("change", (event) => open(Number(event.target.value)));
  by("previous").addEventListener("click", () => go({ start: Math.max(0, state.start - page()), cell: null }));
  by("next").addEventListener("click", () => go({ start: state.start + page(), cell: null }));
  by("drop-sample").addEventListener("click", async () => {
    if (!confirm("Remove this sample, its images and its corrections?")) return;
    await api.dropSample(state.sample).catch((error) => tell(by("fault"), error.message));
    by("sample").hidden = true;
    hideCell();
    state.sample = null;
    const samples = await listSamples();
    if (samples.length) open(samples[0].id);
    else history.replaceState(null, "", "#");
  });
  addEventListener("hashchange", () => { readAddress(); refresh(); });
}

begin();
