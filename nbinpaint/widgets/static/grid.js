/* The comparison grid: two axes of a study as rows and columns, the others as lists above, one grid cell large beside it.
 *
 * Only what is in view is in the page. Small pictures are asked for as they come into view, a large one when it is opened; the
 * kernel pushes those that have just been finished. Zoom and pan are three CSS variables that every picture reads. */

const GAP = 6;
const CELL = { least: 72, most: 420, begin: 150 };
const NEAR = 160; // pixels beyond the view that are drawn in advance
const STARS = 5;
const WORDS = { waiting: "waiting", failed: "failed", withheld: "withheld by the safety checker" };
const MODES = { picture: "Picture", wipe: "Before / after", pair: "A / B", difference: "Difference", crop: "Crop" };
const TITLES = { crop: "What the model saw, and what it made of it" };
/* What is counted below the grid: [status, one of them in words] */
const COUNTED = [["failed", "failed"], ["withheld", "withheld by the safety checker"]];

/** Object URLs by name; what is replaced is given back. */
function pictures() {
  const urls = new Map();
  return {
    set(name, buffer) {
      this.drop(name);
      urls.set(name, URL.createObjectURL(new Blob([buffer], { type: "image/jpeg" })));
    },
    get: (name) => urls.get(name),
    drop(name) {
      if (urls.has(name)) URL.revokeObjectURL(urls.get(name));
      urls.delete(name);
    },
    clear() {
      for (const name of [...urls.keys()]) this.drop(name);
    },
  };
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const set = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };

  // --- what there is on the page ---

  const top = element("div", { className: "nb-grid-top" });
  const view = element("div", { className: "nb-grid", tabIndex: 0, role: "grid", "aria-label": "Comparison grid" });
  view.setAttribute("data-lm-suppress-shortcuts", "true");
  const space = element("div", { className: "nb-grid-space" });
  const corner = element("div", { className: "nb-corner" });
  const across = element("div", { className: "nb-across" });
  const down = element("div", { className: "nb-down" });
  space.append(corner, across, down);
  view.append(space);
  const inspector = element("div", { className: "nb-inspector", hidden: true });
  inspector.setAttribute("data-lm-suppress-shortcuts", "true");
  const body = element("div", { className: "nb-grid-body" }, view, inspector);
  el.classList.add("nb-comparison");
  const counts = element("div", { className: "nb-counts", role: "status" });
  el.append(top, body, counts);

  // --- what is known ---

  let study = { axes: [], cells: [], title: "", aspect: 1 };
  let cells = new Map(); // key -> what the kernel said of it
  let byPlace = new Map(); // "2,0,1" -> key
  const small = pictures();
  const large = pictures();
  const shown = new Map(); // key -> its element
  const asked = new Map(); // key -> side that was asked for
  let side = CELL.begin;
  let active = -1;
  let mode = "picture";
  let pair = [-1, -1];
  let facts = new Map();

  const axis = (name) => study.axes.find((one) => one.name === name);
  const values = (name) => axis(name)?.values ?? [""];

  function index() {
    cells = new Map(study.cells.map((cell) => [cell.key, cell]));
    byPlace = new Map(study.cells.map((cell) => [study.axes.map((one) => cell.at[one.name]).join(), cell.key]));
  }

  function keyAt(row, column) {
    const place = study.axes.map(({ name }) => (name === get("rows") ? row : name === get("columns") ? column : get("fixed")[name] ?? 0));
    return byPlace.get(place.join());
  }

  function placeOf(key) {
    const at = cells.get(key)?.at ?? {};
    return [at[get("rows")] ?? 0, at[get("columns")] ?? 0];
  }

  // --- the bar above ---

  function select(label, options, value, change) {
    const made = element("select", { "aria-label": label });
    for (const [name, text] of options) made.append(element("option", { value: name, textContent: text }));
    made.value = value;
    made.addEventListener("change", () => change(made.value));
    return element("label", {}, label, made);
  }

  /** Say how many grid cells have no picture, and why. */
  function count() {
    const found = [...cells.values()].map(({ status }) => status);
    const told = COUNTED.map(([status, words]) => [found.filter((one) => one === status).length, words]);
    counts.textContent = told.filter(([n]) => n).map(([n, words]) => `${n} ${words}`).join(", ");
  }

  function layTop() {
    top.replaceChildren();
    const { axes } = study;
    count();
    if (!axes.length) return;
    const names = axes.map((one) => [one.name, one.label]);
    const swap = (mine, other) => (name) => set({ [mine]: name, ...(get(other) === name ? { [other]: get(mine) } : {}) });
    if (axes.length > 1) {
      top.append(select("Rows", names, get("rows"), swap("rows", "columns")), select("Columns", names, get("columns"), swap("columns", "rows")));
    }
    for (const one of axes) {
      if ([get("rows"), get("columns")].includes(one.name)) continue;
      const options = one.values.map((value, i) => [String(i), value]);
      top.append(select(one.label, options, String(get("fixed")[one.name] ?? 0), (i) => set({ fixed: { ...get("fixed"), [one.name]: Number(i) } })));
    }
    const size = element("input", { type: "range", min: CELL.least, max: CELL.most, value: side, "aria-label": "Size of the pictures" });
    size.addEventListener("input", () => {
      side = Number(size.value);
      layOut();
    });
    const hold = element("button", { type: "button", textContent: "Hold: source", title: "Show the source while held (S)" });
    hold.addEventListener("pointerdown", () => peek(true));
    for (const end of ["pointerup", "pointerleave", "blur"]) hold.addEventListener(end, () => peek(false));
    const fit = element("button", { type: "button", textContent: "Reset zoom", title: "Ctrl+wheel zooms all pictures, dragging moves them (0)" });
    fit.addEventListener("click", () => look(1, 0, 0));
    top.append(element("label", {}, "Size", size), hold, fit);
  }

  // --- the grid ---

  let head = { across: 24, down: 0 };
  const high = () => Math.round(side / (study.aspect || 1));

  function layOut() {
    const rows = values(get("rows"));
    const columns = values(get("columns"));
    across.replaceChildren();
    down.replaceChildren();
    view.classList.toggle("nb-single", !study.axes.length);
    corner.textContent = [axis(get("rows"))?.label, axis(get("columns"))?.label].filter(Boolean).join(" \\ ");
    const rowHeads = rows.map((text) => element("div", { className: "nb-head", textContent: text, title: text }));
    const columnHeads = columns.map((text) => element("div", { className: "nb-head", textContent: text, title: text }));
    for (const one of columnHeads) one.style.width = `${side}px`;
    across.append(...columnHeads);
    down.append(...rowHeads);
    // Headers wrap and are never cut: the room for them is measured.
    const both = get("rows") && get("columns");
    Object.assign(corner.style, { width: "max-content", height: "auto" });
    const widths = [...rowHeads.map((one) => one.offsetWidth), both ? corner.offsetWidth + 1 : 0];
    head = { across: 0, down: get("rows") ? clamp(Math.max(...widths), 48, 200) : 0 };
    corner.style.width = `${head.down}px`;
    const heights = [...columnHeads.map((one) => one.offsetHeight), both ? corner.offsetHeight : 0];
    if (get("columns")) head.across = Math.max(24, ...heights);
    const rowHigh = Math.max(high(), ...rowHeads.map((one) => {
      one.style.width = `${head.down}px`;
      return one.offsetHeight;
    }));
    Object.assign(layOut, { rowHigh });
    space.style.width = `${head.down + columns.length * (side + GAP) + GAP}px`;
    space.style.height = `${head.across + rows.length * (rowHigh + GAP) + GAP}px`;
    across.style.height = corner.style.height = `${head.across}px`;
    across.style.marginTop = `${-head.across}px`;
    down.style.width = `${head.down}px`;
    columnHeads.forEach((one, i) => {
      one.style.left = `${head.down + GAP + i * (side + GAP)}px`;
      one.style.height = `${head.across}px`;
    });
    rowHeads.forEach((one, i) => {
      one.style.top = `${GAP + i * (rowHigh + GAP)}px`;
      one.style.height = `${rowHigh}px`;
    });
    corner.hidden = !(head.down && head.across);
    for (const one of shown.values()) one.remove();
    shown.clear();
    draw();
  }

  /** Put the grid cells that are in view into the page, take the others out, and ask for pictures that are missing. */
  function draw() {
    const rows = values(get("rows")).length;
    const columns = values(get("columns")).length;
    const step = [layOut.rowHigh + GAP, side + GAP];
    const between = (from, length, size, count) => [
      clamp(Math.floor((from - NEAR) / size), 0, count), clamp(Math.ceil((from + length + NEAR) / size), 0, count),
    ];
    const [r0, r1] = between(view.scrollTop - head.across, view.clientHeight, step[0], rows);
    const [c0, c1] = between(view.scrollLeft - head.down, view.clientWidth, step[1], columns);
    const wanted = new Set();
    for (let row = r0; row < r1; row++) {
      for (let column = c0; column < c1; column++) {
        const key = keyAt(row, column);
        if (key === undefined) continue;
        wanted.add(key);
        if (!shown.has(key)) {
          const made = element("div", { className: "nb-cell", role: "gridcell" });
          Object.assign(made.dataset, { key, row, column });
          Object.assign(made.style, {
            left: `${head.down + GAP + column * step[1]}px`, top: `${head.across + GAP + row * step[0]}px`,
            width: `${side}px`, height: `${high()}px`,
          });
          made.append(element("img", { alt: "", draggable: false }), element("span", { className: "nb-word" }), element("i", { className: "nb-bar" }), element("b", { className: "nb-mark" }));
          made.addEventListener("click", () => { if (!drag.moved) activate(key, true); });
          space.append(made);
          shown.set(key, made);
          fill(key);
        }
      }
    }
    for (const [key, made] of shown) {
      if (wanted.has(key)) continue;
      made.remove();
      shown.delete(key);
    }
    ask();
  }

  /** Show one grid cell's state. */
  function fill(key) {
    const made = shown.get(key);
    const cell = cells.get(key);
    if (!made || !cell) return;
    made.dataset.status = cell.status;
    const [picture, word, bar, mark] = made.children;
    const url = small.get(key);
    if (url && picture.src !== url) picture.src = url;
    picture.hidden = !url || cell.status === "failed" || cell.status === "withheld";
    const part = cell.status === "running" && cell.total ? cell.done / cell.total : 0;
    word.textContent = cell.status === "running" ? `${Math.round(100 * part)} %` : cell.status === "failed" ? cell.message : WORDS[cell.status] ?? "";
    made.title = cell.status === "failed" ? cell.message : "";
    bar.style.width = `${100 * part}%`;
    mark.textContent = [cell.stars ? "★".repeat(cell.stars) : "", key === pair[0] ? "A" : "", key === pair[1] ? "B" : ""].filter(Boolean).join(" ");
    made.setAttribute("aria-selected", String(key === active));
    made.setAttribute("aria-label", `${label(key)}: ${word.textContent || "done"}`);
  }

  function label(key) {
    const at = cells.get(key)?.at ?? {};
    return study.axes.map((one) => `${one.label} ${one.values[at[one.name]]}`).join(", ") || "Result";
  }

  const pixels = () => clamp(Math.round(Math.max(side, high()) * Math.min(zoom.by, 3) * Math.min(2, window.devicePixelRatio || 1)), 64, 1024);

  function ask() {
    clearTimeout(ask.timer);
    ask.timer = setTimeout(() => {
      const size = pixels();
      const keys = [...shown.keys()].filter((key) => cells.get(key)?.status === "done" && (asked.get(key) ?? 0) < size * 0.8);
      if (!keys.length) return;
      for (const key of keys) asked.set(key, size);
      model.send({ type: "want", keys, side: size });
    }, 30);
  }

  // --- zoom and pan, in step across all pictures ---

  const zoom = { by: 1, x: 0, y: 0 };
  const drag = { from: null, moved: false };

  function look(by, x, y) {
    by = clamp(by, 1, 16);
    // In shares of a picture's size, so that large and small ones show the same part.
    Object.assign(zoom, { by, x: clamp(x, 1 - by, 0), y: clamp(y, 1 - by, 0) });
    body.style.setProperty("--nb-zoom", zoom.by);
    body.style.setProperty("--nb-x", `${100 * zoom.x}%`);
    body.style.setProperty("--nb-y", `${100 * zoom.y}%`);
    body.classList.toggle("nb-zoomed", zoom.by > 1);
    ask();
  }

  function wheel(event) {
    const target = event.target.closest(".nb-cell, .nb-large");
    if (!target || !(event.ctrlKey || event.metaKey)) return; // a plain wheel scrolls
    event.preventDefault();
    event.stopPropagation();
    const bounds = target.getBoundingClientRect();
    const [px, py] = [(event.clientX - bounds.left) / bounds.width, (event.clientY - bounds.top) / bounds.height];
    const by = clamp(zoom.by * 1.2 ** -Math.sign(event.deltaY), 1, 16);
    look(by, px - (px - zoom.x) * (by / zoom.by), py - (py - zoom.y) * (by / zoom.by));
  }

  body.addEventListener("pointerdown", (event) => {
    const target = event.target.closest(".nb-cell, .nb-large");
    drag.moved = false;
    if (!target || zoom.by <= 1 || event.target.closest("input")) return;
    const bounds = target.getBoundingClientRect();
    drag.from = [event.clientX, event.clientY, zoom.x, zoom.y, bounds.width, bounds.height];
  });
  body.addEventListener("pointermove", (event) => {
    if (!drag.from) return;
    const [x, y, zx, zy, width, height] = drag.from;
    drag.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > 4;
    look(zoom.by, zx + (event.clientX - x) / width, zy + (event.clientY - y) / height);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) body.addEventListener(end, () => (drag.from = null));
  body.addEventListener("wheel", wheel, { passive: false });

  function peek(on) {
    body.classList.toggle("nb-peek", on);
  }

  // --- one grid cell, large ---

  function activate(key, opened = false) {
    const before = active;
    active = key;
    fill(before);
    fill(key);
    if (opened) open(key);
  }

  function open(key) {
    if (key !== get("selected")) set({ selected: key });
    const missing = (mode === "pair" ? pair : [key]).filter((name) => name >= 0 && !large.get(name));
    if (!facts.has(key) && !missing.includes(key)) missing.push(key);
    for (const name of missing) model.send({ type: "open", key: name });
    if (mode === "crop" && !large.get(`${key} made`)) model.send({ type: "crop", key });
    inspect();
  }

  /** Take a grid cell for the A/B comparison. */
  function pick(side_, key) {
    const before = pair[side_];
    pair[side_] = key;
    fill(before);
    fill(key);
    if (!large.get(key)) model.send({ type: "open", key });
    if (pair[0] >= 0 && pair[1] >= 0) mode = "pair";
    if (!inspector.hidden) inspect();
    else open(key);
  }

  function inspect() {
    const key = get("selected");
    const cell = cells.get(key);
    inspector.hidden = !cell;
    body.classList.toggle("nb-inspecting", Boolean(cell));
    if (!cell) return;
    const wipe = inspect.wipe ?? 50;
    const picked = pair[0] >= 0 && pair[1] >= 0;
    const modes = element("div", { className: "nb-modes", role: "group", "aria-label": "What is shown" });
    for (const [name, text] of Object.entries(MODES)) {
      const one = element("button", { type: "button", textContent: text, disabled: name === "pair" && !picked });
      one.title = name === "pair" && !picked ? "Press A and B on two grid cells first" : TITLES[name] ?? "";
      one.setAttribute("aria-pressed", String(mode === name));
      one.addEventListener("click", () => { mode = name; open(key); });
      modes.append(one);
    }
    const close = element("button", { type: "button", textContent: "×", title: "Close (Escape)", "aria-label": "Close", className: "nb-close" });
    close.addEventListener("click", shut);
    modes.append(close);
    const stage = element("div", { className: "nb-large", style: `--nb-wipe: ${wipe}%; aspect-ratio: ${study.aspect || 1}` });
    const layers = { picture: [key], wipe: ["source", key], pair: [pair[0], pair[1]] }[mode] ?? [];
    const urls = layers.map((name) => large.get(name) ?? small.get(name));
    if (cell.status === "failed" || cell.status === "withheld") {
      stage.append(element("p", { className: "nb-word", textContent: cell.message ?? WORDS[cell.status] }));
    } else if (mode === "difference") {
      stage.append(difference(large.get("source"), large.get(key)));
    } else if (mode === "crop") {
      stage.classList.add("nb-twin");
      for (const [name, words] of [["seen", "what the model saw"], ["made", "what it made"]]) {
        const url = large.get(`${key} ${name}`);
        const half = element("figure", {}, ...(url ? [element("img", { src: url, alt: words, draggable: false })] : []));
        half.append(element("figcaption", { textContent: words }));
        stage.append(half);
      }
    } else {
      urls.forEach((url, i) => url && stage.append(element("img", { src: url, alt: i ? "after" : label(key), draggable: false, className: i ? "nb-over" : "" })));
      if (urls.length > 1) {
        const handle = element("input", { type: "range", min: 0, max: 100, step: 0.5, value: wipe, "aria-label": "Where the wipe stands", className: "nb-wipe" });
        handle.addEventListener("input", () => {
          inspect.wipe = Number(handle.value);
          stage.style.setProperty("--nb-wipe", `${handle.value}%`);
        });
        stage.append(element("i", { className: "nb-line" }), handle);
      }
    }
    const buttons = element("div", { className: "nb-actions" });
    const button = (text, press, className = "") => {
      const made = element("button", { type: "button", textContent: text, className });
      made.addEventListener("click", press);
      buttons.append(made);
    };
    if (get("usable")) button("Use these settings", () => model.send({ type: "use", key }), "nb-use");
    if (cell.status === "done") button("Download PNG", () => model.send({ type: "save", key }), "nb-save");
    button("A", () => pick(0, key));
    button("B", () => pick(1, key));
    const stars = element("span", { className: "nb-stars", role: "group", "aria-label": "Rating" });
    for (let i = 1; i <= STARS; i++) {
      const star = element("button", { type: "button", textContent: i <= (cell.stars ?? 0) ? "★" : "☆", title: `${i} of ${STARS} (key ${i})`, "aria-label": `${i} of ${STARS} stars` });
      star.addEventListener("click", () => rate(key, i === cell.stars ? 0 : i));
      stars.append(star);
    }
    buttons.append(stars);
    const table = element("dl", { className: "nb-facts" });
    for (const [name, value] of facts.get(key) ?? []) table.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    inspector.replaceChildren(modes, stage, buttons, table);
  }

  /** How far a result is from its source, four times as strong as it is. */
  function difference(before, after) {
    const canvas = element("canvas", { className: "nb-difference" });
    if (!before || !after) return canvas;
    const [a, b] = [before, after].map((src) => element("img", { src }));
    Promise.all([a.decode(), b.decode()]).then(() => {
      canvas.width = b.naturalWidth;
      canvas.height = b.naturalHeight;
      const context = canvas.getContext("2d");
      context.filter = "none";
      context.drawImage(a, 0, 0, canvas.width, canvas.height);
      context.globalCompositeOperation = "difference";
      context.drawImage(b, 0, 0);
      context.globalCompositeOperation = "lighter";
      for (let i = 0; i < 2; i++) context.drawImage(canvas, 0, 0);
      canvas.dataset.ready = "true";
    }, () => {});
    return canvas;
  }

  function shut() {
    set({ selected: -1 });
    inspect();
    view.focus();
  }

  function rate(key, stars) {
    cells.get(key).stars = stars;
    model.send({ type: "rate", key, stars });
    fill(key);
    if (key === get("selected")) inspect();
  }

  // --- keys ---

  function go(rows, columns) {
    const [row, column] = active < 0 ? [0, 0] : placeOf(active);
    const next = active < 0 ? keyAt(0, 0) : keyAt(
      clamp(row + rows, 0, values(get("rows")).length - 1), clamp(column + columns, 0, values(get("columns")).length - 1));
    if (next === undefined) return;
    const [r, c] = placeOf(next);
    const [top_, left] = [head.across + r * (layOut.rowHigh + GAP), head.down + c * (side + GAP)];
    view.scrollTop = clamp(view.scrollTop, top_ + layOut.rowHigh + 2 * GAP - view.clientHeight, Math.max(0, top_ - head.across));
    view.scrollLeft = clamp(view.scrollLeft, left + side + 2 * GAP - view.clientWidth, Math.max(0, left - head.down));
    draw();
    activate(next, !inspector.hidden);
  }

  const KEYS = {
    ArrowUp: () => go(-1, 0), ArrowDown: () => go(1, 0), ArrowLeft: () => go(0, -1), ArrowRight: () => go(0, 1),
    Enter: () => active >= 0 && activate(active, true),
    a: () => active >= 0 && pick(0, active), b: () => active >= 0 && pick(1, active),
    s: () => peek(true), 0: () => look(1, 0, 0),
    Escape: () => !inspector.hidden && shut(),
  };
  for (let i = 1; i <= STARS; i++) KEYS[i] = () => active >= 0 && rate(active, i);

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    if (event.key === "Enter" && event.target.closest("button")) return;
    const handle = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!handle) return;
    handle();
    event.preventDefault();
    event.stopPropagation();
  }
  body.addEventListener("keydown", key);
  body.addEventListener("keyup", (event) => event.key.toLowerCase() === "s" && peek(false));
  view.addEventListener("blur", () => peek(false));

  // --- what the kernel says ---

  const HEARD = {
    alive: () => el.classList.add("nb-live"),
    study: (message, buffers) => {
      study = message;
      index();
      small.clear();
      large.clear();
      asked.clear();
      facts = new Map();
      active = -1;
      pair = [-1, -1];
      if (buffers?.length) {
        small.set("source", buffers[0]);
        body.style.setProperty("--nb-source", `url("${small.get("source")}")`);
      }
      mode = "picture";
      layTop();
      layOut();
      if (get("selected") >= 0) open(get("selected"));
      else inspect();
    },
    cells: (message, buffers) => {
      for (const { picture, ...cell } of message.cells) {
        if (!cells.has(cell.key)) continue;
        const before = cells.get(cell.key);
        cells.set(cell.key, { at: before.at, ...(before.stars ? { stars: before.stars } : {}), ...cell });
        if (picture !== undefined) {
          small.set(cell.key, buffers[picture]);
          // A preview is replaced when the picture itself is there.
          asked.set(cell.key, cell.status === "done" ? Math.max(asked.get(cell.key) ?? 0, pixels()) : 0);
        }
        fill(cell.key);
        if (cell.key === get("selected") && cell.status !== before.status) open(cell.key);
      }
      count();
      ask();
    },
    opened: (message, buffers) => {
      facts.set(message.key, message.facts);
      if (buffers.length) {
        large.set(message.key, buffers[0]);
        if (!large.get("source")) large.set("source", buffers[1]);
      }
      inspect();
    },
    cropped: ({ key }, buffers) => {
      ["seen", "made"].forEach((name, i) => large.set(`${key} ${name}`, buffers[i]));
      inspect();
    },
    download: ({ name }, buffers) => download(name, buffers[0], "image/png"),
  };
  const hear = (message, buffers) => HEARD[message.type]?.(message, buffers);
  const turned = () => { layTop(); layOut(); };
  const chosen = () => inspect();
  let waiting = 0;
  view.addEventListener("scroll", () => {
    waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
  });
  model.on("msg:custom", hear);
  for (const name of ["rows", "columns", "fixed"]) model.on(`change:${name}`, turned);
  model.on("change:selected", chosen);
  model.on("change:usable", chosen);
  const watcher = new ResizeObserver(() => draw());
  look(1, 0, 0);
  layOut();
  watcher.observe(view);
  requestAnimationFrame(() => model.widget_manager?.kernel && HEARD.alive());
  model.send({ type: "ready" });

  return () => {
    watcher.disconnect();
    clearTimeout(ask.timer);
    small.clear();
    large.clear();
    model.off("msg:custom", hear);
    for (const name of ["rows", "columns", "fixed"]) model.off(`change:${name}`, turned);
    model.off("change:selected", chosen);
    model.off("change:usable", chosen);
  };
}

export default { render };
