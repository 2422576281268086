"use strict";
// The map of cells: points on a canvas that is moved and zoomed with mouse, fingers or keys. Data lie beside it as JSON,
// the cells' pictures on one sheet. `view` is the place in the middle, in the data's 0-1000, and pixels a unit.
for (const box of document.querySelectorAll("[data-cellmap]")) {
  const data = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const find = (selector) => box.querySelector(selector);
  const canvas = find("canvas.map"), pen = canvas.getContext("2d");
  const card = find(".card"), portrait = find(".card canvas"), legend = find(".legend"), status = find(".status");
  const sheet = find("img.sheet");
  const MOST_ZOOM = 200, PICTURES = 60, PICTURE = 46;
  const count = data.places.length;
  // a fixed shuffle, else the last lab would hide the others where they overlap
  const order = data.places.map((_, i) => i).sort((a, b) => hash(a) - hash(b));
  const hidden = data.groupings.map(() => new Set());
  const view = { x: 500, y: 500, scale: 1 };
  let grouping = 0, chosen = -1, pinned = false, asked = false, width = 0, height = 0;

  function hash(i) { return Math.imul(i + 1, 2654435761) >>> 0; }
  const span = (axis) => { const all = data.places.map((place) => place[axis]); return Math.max(...all) - Math.min(...all); };
  const across = Math.max(span(0), 1), down = Math.max(span(1), 1);
  function fitScale() { return 0.93 * Math.min(width / across, height / down); }
  function group(i) { return data.groupings[grouping].groups[data.groupings[grouping].of[i]]; }
  function shown(i) { return !hidden[grouping].has(data.groupings[grouping].of[i]); }
  function at(i) {
    const [x, y] = data.places[i];
    return [(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2];
  }
  function inside([x, y], margin) { return x > -margin && y > -margin && x < width + margin && y < height + margin; }
  function visible(margin = 0) { return order.filter((i) => shown(i) && inside(at(i), margin)); }

  function mark(context, kind, x, y, r) {
    context.beginPath();
    if (kind === "^") { context.moveTo(x, y - r); context.lineTo(x + r, y + r); context.lineTo(x - r, y + r); context.closePath(); }
    else if (kind === "s") context.rect(x - r, y - r, 2 * r, 2 * r);
    else if (kind === "X") for (const turn of [0, Math.PI / 2]) {
      const c = Math.cos(turn + Math.PI / 4), s = Math.sin(turn + Math.PI / 4), t = r * 0.45;
      context.moveTo(x + r * c + t * s, y + r * s - t * c);
      context.lineTo(x + r * c - t * s, y + r * s + t * c);
      context.lineTo(x - r * c - t * s, y - r * s + t * c);
      context.lineTo(x - r * c + t * s, y - r * s - t * c);
      context.closePath();
    }
    else context.arc(x, y, r, 0, 7);
  }
  function picture(context, i, x, y, side) {
    const from = data.side;
    context.drawImage(sheet, (i % data.columns) * from, Math.floor(i / data.columns) * from, from, from, x, y, side, side);
  }

  function draw() {
    asked = false;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const near = visible(PICTURE), zoom = view.scale / fitScale();
    const pictures = near.length <= PICTURES && zoom > 1.5 && sheet.complete;
    const radius = Math.min(7, 2.6 * Math.sqrt(zoom) + (count < 500 ? 1 : 0));
    near.sort((a, b) => (group(b).name === "no label") - (group(a).name === "no label"));
    for (const i of near) {
      const [x, y] = at(i), look = group(i);
      if (pictures) {
        picture(pen, i, x - PICTURE / 2, y - PICTURE / 2, PICTURE);
        pen.strokeStyle = look.colour;
        pen.lineWidth = 3;
        pen.strokeRect(x - PICTURE / 2, y - PICTURE / 2, PICTURE, PICTURE);
      }
      mark(pen, look.mark, pictures ? x - PICTURE / 2 : x, pictures ? y - PICTURE / 2 : y, pictures ? 6 : radius);
      pen.fillStyle = look.colour;
      pen.fill();
      pen.strokeStyle = "rgba(29,37,48,.45)";
      pen.lineWidth = 0.6;
      pen.stroke();
    }
    if (chosen >= 0 && shown(chosen)) {
      const [x, y] = at(chosen);
      pen.beginPath();
      if (pictures) pen.rect(x - PICTURE / 2 - 4, y - PICTURE / 2 - 4, PICTURE + 8, PICTURE + 8);
      else pen.arc(x, y, radius + 5, 0, 7);
      pen.strokeStyle = "#1d2530";
      pen.lineWidth = 2.5;
      pen.stroke();
    }
    status.textContent = `${visible().length} of ${count} cells in view, ${zoom.toFixed(1)}×`;
    box.dataset.zoom = zoom.toFixed(3);
  }
  function redraw() { if (!asked) { asked = true; requestAnimationFrame(draw); } }

  function show(i, pin) {
    chosen = i;
    pinned = pin && i >= 0;
    card.classList.toggle("empty", i < 0);
    if (i >= 0) {
      const context = portrait.getContext("2d");
      context.clearRect(0, 0, portrait.width, portrait.height);
      picture(context, i, 0, 0, portrait.width);
      const words = [...data.groupings.map((one) => [one.title, one.groups[one.of[i]].name]), ["file", data.names[i]]];
      card.querySelector("dl").replaceChildren(...words.flatMap(([title, text]) => {
        const dt = document.createElement("dt"), dd = document.createElement("dd");
        dt.textContent = title;
        dd.textContent = text;
        return [dt, dd];
      }));
      portrait.setAttribute("aria-label", `Cell: ${words.map(([title, text]) => `${title} ${text}`).join(", ")}`);
      box.dataset.cell = i;
    } else delete box.dataset.cell;
    redraw();
  }
  function nearest(x, y, reach) {
    let best = -1, least = reach * reach;
    for (const i of visible(reach)) {
      const [px, py] = at(i), far = (px - x) ** 2 + (py - y) ** 2;
      if (far <= least) { least = far; best = i; }
    }
    return best;
  }
  function middle() { return chosen >= 0 && inside(at(chosen), 0) ? at(chosen) : [width / 2, height / 2]; }
  function zoomBy(factor, x = middle()[0], y = middle()[1]) {
    const scale = Math.min(Math.max(view.scale * factor, fitScale() * 0.8), fitScale() * MOST_ZOOM);
    view.x += (x - width / 2) * (1 / view.scale - 1 / scale);
    view.y += (y - height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    redraw();
  }
  function panBy(dx, dy) {
    view.x = Math.min(Math.max(view.x - dx / view.scale, 0), 1000);
    view.y = Math.min(Math.max(view.y - dy / view.scale, 0), 1000);
    redraw();
  }
  function reset() { Object.assign(view, { x: 500, y: 500, scale: fitScale() }); redraw(); }
  function step(by) {
    const row = visible().sort((a, b) => at(a)[0] - at(b)[0] || a - b);
    if (!row.length) return;
    const here = row.indexOf(chosen);
    show(here < 0 ? nearest(width / 2, height / 2, width + height) : row[(here + by + row.length) % row.length], true);
  }

  // one finger scrolls the page up and down and moves the map sideways; two move and zoom the map
  const fingers = new Map();
  let travelled = 0;
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("touchstart", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse" && !pinned) show(nearest(...now, 14), false);
      return;
    }
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length) {
      const [other] = others, apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      zoomBy(apart(now) / Math.max(apart(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (travelled > 4) panBy(now[0] - before[0], now[1] - before[1]);
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => {
    const reach = event.pointerType === "mouse" ? 14 : 24;
    if (end === "pointerup" && fingers.size === 1 && travelled <= 4) show(nearest(...place(event), reach), true);
    fingers.delete(event.pointerId);
  });
  canvas.addEventListener("pointerleave", () => { if (!pinned) show(-1, false); });
  canvas.addEventListener("wheel", (event) => {
    // the page goes on scrolling until the map was clicked
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...place(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoomBy(2, ...place(event)));
  const keys = {
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), "0": reset,
    ArrowLeft: () => panBy(60, 0), ArrowRight: () => panBy(-60, 0), ArrowUp: () => panBy(0, 60), ArrowDown: () => panBy(0, -60),
    n: () => step(1), p: () => step(-1), Enter: () => step(1), Escape: () => show(-1, false),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  const doing = { in: () => zoomBy(1.6), out: () => zoomBy(1 / 1.6), all: reset, next: () => step(1), previous: () => step(-1) };
  for (const button of box.querySelectorAll("button[data-do]")) button.addEventListener("click", doing[button.dataset.do]);

  function writeLegend() {
    const { groups, of } = data.groupings[grouping];
    legend.replaceChildren(...groups.map((one, number) => {
      const button = document.createElement("button"), swatch = document.createElement("canvas");
      swatch.width = swatch.height = 28;
      const context = swatch.getContext("2d");
      mark(context, one.mark, 14, 14, 10);
      context.fillStyle = one.colour;
      context.fill();
      button.type = "button";
      button.title = "show or hide";
      button.append(swatch, `${one.name} (${of.filter((member) => member === number).length})`);
      const tell = () => button.setAttribute("aria-pressed", String(!hidden[grouping].has(number)));
      button.addEventListener("click", () => {
        if (!hidden[grouping].delete(number)) hidden[grouping].add(number);
        if (chosen >= 0 && !shown(chosen)) show(-1, false);
        tell();
        redraw();
      });
      tell();
      return button;
    }));
    redraw();
  }
  for (const radio of box.querySelectorAll("input[type=radio]")) {
    radio.addEventListener("change", () => { grouping = Number(radio.value); writeLegend(); });
  }

  box.classList.add("live");
  let first = true;
  new ResizeObserver(() => {
    const before = fitScale();
    ({ clientWidth: width, clientHeight: height } = canvas);
    if (!width) return; // in print another picture stands here
    if (first) reset(); else view.scale *= fitScale() / Math.max(before, 1e-9);
    first = false;
    redraw();
  }).observe(canvas);
  sheet.addEventListener("load", redraw);
  writeLegend();
  show(-1, false);
}
