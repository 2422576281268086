// The page: its state, which the address keeps, and what its parts do to it.

import { readAddress, told, writeAddress } from "./address.js";
import * as api from "./api.js";
import { announce, by, className, counted, make, select, tell } from "./dom.js";
import { hideCell, showCell } from "./detail.js";
import { listFields, markBox, showField } from "./fields.js";
import { passed, place } from "./filter.js";
import { columns, hasFocus, mark, showCells, updateCell } from "./grid.js";
import { login } from "./login.js";
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
let last = null; // the `place` of the last of `cells` when they were asked for
let timer = null;
let turn = 0; // answers of an earlier turn come too late
let leaving = null; // set while another page of cells is on its way: no key is for those shown
let given = 0; // classes that were given until now
const keeping = new Set(); // those that the server doesn't have yet

async function begin() {
  try {
    model = await api.getModel();
  } catch (error) {
    if (error.status === 401) return login(begin);
    return tell(by("fault"), error.message);
  }
  const held = model.facts.accuracy_held_out;
  const right = held === null ? "" : ` · right on ${Math.round(100 * held)} % of held-out training cells`;
  by("model").textContent = `${model.name} · ${model.facts.classifier}, ${model.classes.length} classes from `
    + `${model.facts.source.join(", ")}${right}`;
  by("model").title = `model version ${model.version}`;
  takeFiles(model, (sample) => open(sample.id));
  listen();
  Object.assign(state, readAddress());
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

// ---- state

/** Change the state and show what it asks for; `landing` as for `refresh`. */
function go(change, landing = null) {
  Object.assign(state, change);
  return refresh(landing);
}

async function open(sample) {
  Object.assign(state, { sample, order: "given", show: "all", class: "", field: null, start: 0, cell: null });
  await listSamples();
  return refresh();
}

// ---- showing

/** Show what the state asks for; where no cell is chosen, that `at` a place of `landing`, with the `focus` or not. */
async function refresh(landing = null) {
  clearTimeout(timer);
  if (state.sample === null) return;
  const mine = ++turn;
  const before = given;
  await Promise.allSettled(keeping);
  if (mine !== turn) return;
  const { order, show, field, start } = state;
  const most = page();
  let answer, searched;
  try {
    answer = await api.getCells(state.sample, { order, show, class: state.class, field: field || "", start, most });
    searched = answer.sample.kind === "fields" ? await api.getFields(state.sample) : [];
  } catch (error) {
    if (error.status === 404) return gone();
    tell(by("fault"), error.message);
    timer = setTimeout(() => refresh(landing), 5 * EVERY);
    return;
  }
  if (mine !== turn) return;
  if (before !== given) return refresh(landing); // this was answered before a class that was given meanwhile
  fields = searched;
  if (field === null && fields.length) return go({ field: fields[0].id, start: 0 }, landing);
  if (answer.count > 0 && answer.count <= start) {
    return go({ start: Math.floor((answer.count - 1) / most) * most }, landing);
  }
  cells = answer.cells;
  last = cells.length ? place(cells.at(-1)) : null;
  count = answer.count;
  if (!cells.some((cell) => cell.id === state.cell)) state.cell = null;
  showSample(answer.sample, state.class, (name) => go({ class: name, start: 0 }));
  for (const [list, value] of Object.entries({ samples: state.sample, order, show })) select(by(list), value);
  listFields(fields, state.field ?? 0);
  showCells(cells, state.cell, by("outlines").checked, choose);
  drawField();
  const working = answer.sample.state !== "done";
  const nothing = state.field && !state.class && state.show === "all" ? "No white cell was found in this field."
    : "No cell with this filter.";
  tell(by("none"), count || working ? "" : nothing);
  pages();
  writeAddress(state);
  if (working) timer = setTimeout(refresh, EVERY);
  else if (by("working").dataset.was === "yes") {
    announce(`${counted(answer.sample.images, "cell")} looked at`);
    if (fields.length) listSamples(); // how many cells there are is known only now
  }
  by("working").dataset.was = working ? "yes" : "no";
  leaving = null;
  if (state.cell === null) {
    const next = cells[Math.min(landing?.at ?? 0, cells.length - 1)];
    if (next && (wide() || landing?.focus)) return choose(next.id, false, landing?.focus);
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
async function choose(cell, opened = true, focus = opened && wide()) {
  state.cell = cell;
  mark(cell, focus);
  markBox(cell);
  writeAddress(state);
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
  const id = state.cell;
  if (leaving || !cells.some((one) => one.id === id)) return;
  const kept = keep(id, label);
  if (forward) walk(1); // at once, so that the next key is for the next cell however slow the server is
  if (!(await kept)) return;
  const cell = cells.find((one) => one.id === id);
  if (cell) updateCell(cell, state.cell, by("outlines").checked, choose);
  drawField();
  announce(label === null ? "taken back" : `${className(label)}: kept`);
  const sample = await api.getCells(state.sample, { most: 1 });
  if (sample.sample.id === state.sample) showSample(sample.sample, state.class, (name) => go({ class: name, start: 0 }));
  if (state.cell === id) await detail();
}

/** Have the server keep a cell's class; whether it did. */
function keep(id, label) {
  given += 1;
  const sent = (label === null ? api.dropLabel(id) : api.setLabel(id, label)).then(() => {
    const cell = cells.find((one) => one.id === id);
    if (cell) cell.label = label;
    return true;
  }).catch((error) => {
    tell(by("fault"), error.message);
    return false;
  }).finally(() => keeping.delete(sent));
  keeping.add(sent);
  return sent;
}

/** Walk to another cell by so many places. */
function walk(by_) {
  const at = cells.findIndex((cell) => cell.id === state.cell) + by_;
  if (at >= 0 && at < cells.length) return choose(cells[at].id, wide(), true);
  return at < 0 ? back(true) : onward();
}

/** On to the cells behind those shown: of these as many are passed as the filter still lets through. */
function onward() {
  const start = () => state.start + passed(cells, state, last);
  if (state.start + cells.length < count) return leave(() => ({ start: start(), at: 0 }));
}

/** Back to the cells before those shown, to the last of them or the first. */
function back(toLast) {
  const start = Math.max(0, state.start - page());
  if (state.start > 0) return leave(() => ({ start, at: toLast ? state.start - start - 1 : 0 }));
}

/** Show cells from another place on, once all classes are kept; who was in the grid is there again. */
async function leave(whither) {
  if (leaving) return;
  const mine = leaving = { focus: hasFocus() };
  const asked = () => JSON.stringify({ ...state, cell: null });
  const before = asked();
  state.cell = null;
  await Promise.allSettled(keeping);
  if (asked() === before) { // nothing else is asked for meanwhile
    const { start, at } = whither();
    await go({ start, cell: null }, { at, focus: mine.focus });
  }
  if (leaving === mine) leaving = null;
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(select|input|summary)$/i.test(event.target.tagName)) return;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: null, End: null };
  const within = event.target.closest("#cells");
  const chosen = model.classes.find((one) => one.key && one.key === event.key.toLowerCase());
  if (within && event.key in moves) {
    event.preventDefault();
    if (leaving || !cells.length) return;
    if (moves[event.key] === null) choose(cells.at(event.key === "Home" ? 0 : -1).id, wide(), true);
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
  by("previous").addEventListener("click", () => back(false));
  by("next").addEventListener("click", onward);
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
  addEventListener("hashchange", () => {
    if (told()) return go(readAddress());
    if (location.hash === "#cells") by("cells").focus(); // the skip link says where to go, not what to show
    writeAddress(state);
  });
}

begin();
