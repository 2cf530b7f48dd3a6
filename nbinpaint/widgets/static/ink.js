/* The ink layer: takes the pointer and the keys, draws at once, sends one message per stroke, and lets go of its own ink when the
 * kernel has drawn the mask.
 *
 * Under it lies the stage (class nb-stage): the photo, the kernel's mask, and its feathered edge, moved together by a CSS transform,
 * so that zoom and pan need no kernel. Tools and settings live in the page for the same reason: a busy kernel stops nobody from
 * choosing the eraser. Coordinates that are sent are image pixels; pixel (0, 0) covers 0 to 1. */

const BRUSHES = ["brush", "eraser", "line"];
const SHAPE = { eraser: "brush" };
const ZOOM = { least: 0.2, most: 40, step: 1.2 };
const MOST_RADIUS = 512;
const SVG_NAME = "http://www.w3.org/2000/svg";

function button(icon, label, key, press, className = "") {
  const title = key ? `${label} (${key})` : label;
  const made = element("button", { type: "button", title, "aria-label": label, className });
  made.innerHTML = icon;
  made.addEventListener("click", press);
  return made;
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const act = (action) => model.send(action === "fill_all" ? { type: "action", action: "fill", strength: get("strength") } : { type: "action", action });

  // --- what there is on the page ---

  const ink = element("canvas", { className: "nb-ink", tabIndex: 0, role: "application" });
  ink.setAttribute("data-lm-suppress-shortcuts", "true");
  const context = ink.getContext("2d");
  const scratch = document.createElement("canvas");
  const brush = scratch.getContext("2d");

  const tools = element("div", { className: "nb-tools", role: "toolbar", "aria-label": "Mask tools" });
  const toolButtons = {};
  const actionButtons = {};
  const columns = [
    Object.entries(TOOLS).map(([name, [key, label]]) => (toolButtons[name] = button(ICONS[name], label, key, () => set("tool", name)))),
    Object.entries(ACTIONS).map(([name, [key, label]]) => (actionButtons[name] = button(ICONS[name], label, key, () => act(name), `nb-${name}`))),
  ];
  columns[1].push(button(ICONS.help, "Keys", "?", () => toggle(help)));
  columns[0].forEach((made, i) => tools.append(made, columns[1][i]));

  const range = (name, label, least, most, toValue, toPosition, format) => {
    const input = element("input", { type: "range", min: least, max: most, step: "any", "aria-label": label, title: label });
    const output = element("output");
    input.addEventListener("input", () => set(name, toValue(Number(input.value))));
    const show = () => {
      input.value = toPosition(get(name));
      output.textContent = format(get(name));
    };
    return { label: element("label", {}, label, input, output), show, name, input };
  };
  const same = (value) => value;
  const sliders = [
    // Brush sizes are chosen by ratio: the slider is logarithmic.
    range("radius", "Brush", 0, Math.log(MOST_RADIUS / 0.5), (p) => 0.5 * Math.exp(p), (v) => Math.log(v / 0.5), (v) => `${(2 * v).toFixed(v < 5 ? 1 : 0)} px`),
    range("strength", "Strength", 0.01, 1, (v) => Math.round(v * 100) / 100, same, (v) => `${Math.round(v * 100)} %`),
    range("tolerance", "Tolerance", 0, 128, Math.round, same, (v) => `${v.toFixed(0)}`),
    range("pixels", "Grow by", 1, 64, Math.round, same, (v) => `${v} px`),
    range("mask_blur", "Blur", 0, 64, (v) => Math.round(v * 2) / 2, same, (v) => `${v} px`),
    range("opacity", "Opacity", 0.1, 1, (v) => Math.round(v * 100) / 100, same, (v) => `${Math.round(v * 100)} %`),
  ];
  const badge = element("span", { className: "nb-badge", role: "status", title: "Painted part of the picture" });
  const remark = element("span", { className: "nb-remark", role: "status" });
  const colour = element("input", { type: "color", title: "Colour of the mask", "aria-label": "Colour of the mask" });
  colour.addEventListener("input", () => set("colour", colour.value));
  const outline = button(ICONS.outline, "Outline only", "", () => set("outline", !get("outline")));
  const feather = button(ICONS.feather, "Show the feathered edge", "", () => set("feather", !get("feather")));
  const magnification = element("output", { title: "Screen pixels per image pixel" });
  const zooms = element("span", { className: "nb-group" },
    button("−", "Zoom out", "-", () => show("out")), magnification, button("+", "Zoom in", "+", () => show("in")),
    button("fit", "Fit", "0", () => show("fit")), button("1:1", "Full size", "1", () => show("full")));
  const file = element("input", { type: "file", accept: "image/*", hidden: true });
  const more = button(ICONS.more, "Open and save", "", () => toggle(menu));
  const says = element("span", { className: "nb-says", role: "alert" });
  const part = (name) => sliders.find((slider) => slider.name === name).label;
  const foot = element("div", { className: "nb-foot" }, badge, ...["radius", "tolerance", "strength", "pixels"].map(part),
    element("span", { className: "nb-break" }), part("opacity"), element("span", { className: "nb-group" }, colour, outline, feather), part("mask_blur"), zooms, more, file, says, remark);

  const menu = element("div", { className: "nb-menu", hidden: true, role: "menu" });
  for (const [label, press] of [
    ["Open image…", () => choose("image")],
    ["Open mask…", () => choose("mask")],
    ["Save mask", () => model.send({ type: "save" })],
  ]) {
    menu.append(element("button", { type: "button", role: "menuitem", textContent: label, onclick: () => { menu.hidden = true; press(); } }));
  }
  const keys = element("dl");
  for (const [key, meaning] of HELP) keys.append(element("dt", { textContent: key }), element("dd", { textContent: meaning }));
  const help = element("div", { className: "nb-help", hidden: true, onclick: () => toggle(help) }, keys);
  // Two lines on each other, a dark and a light dashed one, so that the frame is seen on anything.
  const crop = document.createElementNS(SVG_NAME, "svg");
  crop.setAttribute("class", "nb-crop");
  crop.append(...["nb-dark", "nb-light"].map((name) => {
    const line = document.createElementNS(SVG_NAME, "rect");
    line.setAttribute("class", name);
    return line;
  }));

  el.classList.add("nb-ink-layer");
  el.append(tools, ink, crop, menu, help, foot);

  function toggle(panel) {
    panel.hidden = !panel.hidden;
  }

  // --- where the picture is ---

  const view = { zoom: 1, x: 0, y: 0 };
  const box = () => el.closest(".nb-canvas");
  const fit = () => (ink.clientWidth || 1) / get("image_size")[0];
  const scale = () => fit() * view.zoom;

  /** Take on the size that the page gives. */
  function measure() {
    const stage = box()?.querySelector(".nb-stage");
    const [width, height] = get("image_size");
    if (stage) {
      box().style.setProperty("--nb-aspect", `${width} / ${height}`);
      box().style.setProperty("--nb-wide", stage.style.width);
      stage.classList.add("nb-fluid");
    }
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [ink, scratch]) {
      canvas.width = Math.max(1, Math.round(ink.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(ink.clientHeight * ratio));
    }
    look();
  }

  /** Show what will be worked on. */
  function frameCrop() {
    const [x0, y0, x1, y1] = get("crop");
    crop.classList.toggle("nb-none", x0 === undefined);
    if (x0 === undefined) return;
    const by = scale();
    const where = { x: x0 * by + view.x, y: y0 * by + view.y, width: (x1 - x0) * by, height: (y1 - y0) * by };
    for (const line of crop.children) for (const [name, value] of Object.entries(where)) line.setAttribute(name, value);
  }

  /** Show every setting where it is read. */
  function look() {
    const around = box();
    if (around) {
      around.style.setProperty("--nb-zoom", view.zoom);
      around.style.setProperty("--nb-x", `${view.x}px`);
      around.style.setProperty("--nb-y", `${view.y}px`);
      around.style.setProperty("--nb-opacity", get("opacity"));
      around.style.setProperty("--nb-mask", get("colour"));
      around.classList.toggle("nb-pixels", scale() >= 3);
      around.classList.toggle("nb-outline", get("outline"));
      around.classList.toggle("nb-feathered", get("feather"));
      around.classList.toggle("nb-hidden", get("mask_hidden"));
    }
    for (const [name, made] of Object.entries(toolButtons)) made.setAttribute("aria-pressed", String(get("tool") === name));
    outline.setAttribute("aria-pressed", String(get("outline")));
    feather.setAttribute("aria-pressed", String(get("feather")));
    actionButtons.undo.disabled = !get("can_undo");
    actionButtons.redo.disabled = !get("can_redo");
    // The wand's slider stands in the brush's place; one that the tool does not need is only dimmed, so that nothing moves.
    const wand = get("tool") === "wand";
    const shown = { tolerance: wand, radius: !wand, mask_blur: get("feather") };
    const used = { radius: BRUSHES.includes(get("tool")), strength: get("tool") !== "eraser" };
    for (const slider of sliders) {
      slider.show();
      slider.label.style.display = shown[slider.name] === false ? "none" : "";
      slider.input.disabled = used[slider.name] === false;
      slider.label.classList.toggle("nb-idle", slider.input.disabled);
    }
    colour.value = get("colour").length === 7 ? get("colour") : colour.value;
    const part = get("share") * 100;
    badge.textContent = `mask ${part > 0 && part < 0.1 ? "< 0.1" : part.toFixed(part < 10 ? 1 : 0)} %${get("mask_hidden") ? ", hidden" : ""}`;
    badge.dataset.active = String(part > 0);
    const [least, most] = get("strengths").map((one) => Math.round(one * 100));
    const grey = least === undefined ? "" : `Strength ${least === most ? least : `${least} to ${most}`} %. `;
    remark.textContent = grey + get("remark");
    frameCrop();
    magnification.textContent = `${Math.round(scale() * 100)} %`;
    says.textContent = get("message");
    ink.setAttribute("aria-label", get("description"));
    paint();
  }

  function moved() {
    look();
    clearTimeout(moved.timer);
    moved.timer = setTimeout(() => set("zoom", scale()), 120);
  }

  function zoomAt(factor, x, y) {
    const zoom = clamp(view.zoom * factor, ZOOM.least, ZOOM.most);
    const by = zoom / view.zoom;
    Object.assign(view, { zoom, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
    moved();
  }

  function show(what) {
    const [x, y] = [ink.clientWidth / 2, ink.clientHeight / 2];
    if (what === "fit") {
      Object.assign(view, { zoom: 1, x: 0, y: 0 });
      moved();
    } else zoomAt({ full: 1 / scale(), in: ZOOM.step, out: 1 / ZOOM.step }[what], x, y);
  }

  /** Where an event is, in the canvas's own pixels; the page itself may be scaled. */
  function local(event) {
    const bounds = ink.getBoundingClientRect();
    return [
      ((event.clientX - bounds.left) * ink.clientWidth) / bounds.width,
      ((event.clientY - bounds.top) * ink.clientHeight) / bounds.height,
    ];
  }

  function toImage(event) {
    const [x, y] = local(event);
    return [(x - view.x) / scale(), (y - view.y) / scale()];
  }

  // --- drawing ---

  const pending = new Map();
  let stroke = null;
  let hand = null; // moving the picture
  let pointer = null;
  let space = false;
  let frame = 0;

  /** Draw one stroke, opaque, in image coordinates. */
  function trace(target, { shape, points, radius }) {
    const [x0, y0] = points[0];
    const [x1, y1] = points[points.length - 1];
    target.beginPath();
    if (shape === "rectangle") {
      target.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    } else if (shape === "ellipse") {
      target.ellipse((x0 + x1) / 2, (y0 + y1) / 2, Math.abs(x1 - x0) / 2, Math.abs(y1 - y0) / 2, 0, 0, 2 * Math.PI);
      target.fill();
    } else if (shape === "lasso") {
      for (const [x, y] of points) target.lineTo(x, y);
      target.closePath();
      target.fill("evenodd");
    } else {
      target.lineCap = target.lineJoin = "round";
      const run = shape === "line" ? [points[0], points[points.length - 1]] : points;
      if (run.every((point) => point[2] === 1)) {
        target.lineWidth = 2 * radius;
        target.moveTo(x0, y0);
        for (const [x, y] of run) target.lineTo(x, y);
        if (run.length === 1) target.lineTo(x0 + 1e-3, y0);
        target.stroke();
        return;
      }
      for (let i = 0; i < run.length; i++) {
        const [x, y, pressure] = run[i];
        const [px, py, before] = run[Math.max(0, i - 1)];
        target.beginPath();
        target.lineWidth = radius * (pressure + before);
        target.moveTo(px, py);
        target.lineTo(x + 1e-3, y);
        target.stroke();
      }
    }
  }

  function transform(target) {
    const ratio = ink.width / (ink.clientWidth || 1);
    target.setTransform(ratio * scale(), 0, 0, ratio * scale(), ratio * view.x, ratio * view.y);
  }

  /** How opaque a strength is shown; the kernel draws it the same. */
  function shade(strength) {
    const shades = get("shades");
    return shades[Math.ceil((Math.round(255 * strength) * shades.length) / 255) - 1];
  }

  /** Show ink as it will look once the kernel has drawn it: not darker where the mask is painted already, the photo where it is erased.
   *
   * Where there is grey, what lies under a stroke is replaced: the photo is drawn over it, and the ink over the photo. */
  function layer(one, area, grey) {
    const plain = get("feather") || get("outline");
    const opaque = one.erase || (grey && !plain);
    const strong = get("mask_hidden") ? 0 : get("opacity") * shade(one.strength);
    const under = box()?.querySelector(opaque ? ".nb-photo" : ".nb-overlay");
    brush.save();
    brush.beginPath();
    brush.rect(...area);
    brush.clip();
    brush.clearRect(...area);
    transform(brush);
    brush.fillStyle = brush.strokeStyle = get("colour");
    trace(brush, one);
    if (under && (opaque || !plain)) {
      brush.globalCompositeOperation = opaque ? "source-in" : "destination-out";
      brush.imageSmoothingEnabled = scale() < 3;
      brush.drawImage(under, 0, 0, ...get("image_size"));
    }
    if (opaque && !one.erase) {
      brush.globalCompositeOperation = "source-atop";
      brush.globalAlpha = strong;
      brush.fillRect(0, 0, ...get("image_size"));
    }
    brush.restore();
    context.globalAlpha = opaque ? 1 : strong;
    context.drawImage(scratch, ...area, ...area);
    context.globalAlpha = 1;
  }

  /** A ring of the brush's true size, dark and light so that it shows on anything. */
  function cursor() {
    if (!pointer || hand || space || !BRUSHES.includes(get("tool"))) return;
    context.save();
    transform(context);
    for (const [width, shade] of [[3, "rgba(0,0,0,.55)"], [1.2, "#fff"]]) {
      context.beginPath();
      context.arc(pointer[0], pointer[1], get("radius"), 0, 2 * Math.PI);
      context.lineWidth = width / scale();
      context.strokeStyle = shade;
      context.stroke();
    }
    context.restore();
  }

  /* What has to be drawn again, as [x0, y0, x1, y1] in image pixels; only that is, however much ink waits for a busy kernel. */
  const EVERYTHING = [-Infinity, -Infinity, Infinity, Infinity];
  let dirty = null;

  const joined = (a, b) => (a && b ? [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])] : a ?? b);
  const around = ([x, y], radius) => [x - radius, y - radius, x + radius, y + radius];

  /** [x, y, width, height] of an area in the canvas's own pixels, cut off at its edges, with room for soft edges. */
  function onCanvas([x0, y0, x1, y1]) {
    const ratio = ink.width / (ink.clientWidth || 1);
    const place = (value, shift, limit) => clamp(ratio * (value * scale() + shift), 0, limit);
    const left = Math.floor(Math.max(0, place(x0, view.x, ink.width) - 3));
    const top = Math.floor(Math.max(0, place(y0, view.y, ink.height) - 3));
    return [left, top, Math.min(ink.width, Math.ceil(place(x1, view.x, ink.width) + 3)) - left,
      Math.min(ink.height, Math.ceil(place(y1, view.y, ink.height) + 3)) - top];
  }

  function paint(area = EVERYTHING) {
    dirty = joined(dirty, area);
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      const [x0, y0, x1, y1] = dirty;
      const where = onCanvas(dirty);
      dirty = null;
      ink.style.cursor = hand ? "grabbing" : space ? "grab" : BRUSHES.includes(get("tool")) ? "none" : "crosshair";
      if (where[2] <= 0 || where[3] <= 0) return;
      context.save();
      context.beginPath();
      context.rect(...where);
      context.clip();
      context.clearRect(...where);
      const inks = [...pending.values(), ...(stroke ? [stroke] : [])];
      const grey = get("strengths").length > 0 || inks.some((one) => one.strength < 1);
      for (const one of inks) {
        const [left, top, right, bottom] = one.bounds;
        if (left <= x1 && right >= x0 && top <= y1 && bottom >= y0) layer(one, where, grey);
      }
      cursor();
      context.restore();
    });
  }

  // --- the pointer ---

  // Ids differ between views and reloads: the kernel answers to all of them.
  const name = Math.random().toString(36).slice(2, 8);
  let next = 1;
  const fingers = new Map();
  let pinch = null;

  const pressureOf = (event) => (event.pointerType === "pen" && get("use_pressure") ? Math.max(0.05, event.pressure) : 1);

  /** Add an event's points to the stroke; returns what that changes. */
  function take(event) {
    const reach = stroke.radius + 1;
    const batch = event.getCoalescedEvents?.() ?? [];
    let area = stroke.points.length ? around(stroke.points.at(-1), reach) : null;
    for (const one of batch.length ? batch : [event]) {
      const point = [...toImage(one), pressureOf(one)];
      stroke.points.push(point);
      area = joined(area, around(point, reach));
    }
    stroke.bounds = joined(stroke.bounds, area);
    return stroke.shape === "brush" ? area : stroke.bounds;
  }

  function spread() {
    const [[ax, ay], [bx, by]] = fingers.values();
    return { x: (ax + bx) / 2, y: (ay + by) / 2, wide: Math.hypot(bx - ax, by - ay) };
  }

  function down(event) {
    ink.focus({ preventScroll: true });
    menu.hidden = help.hidden = true;
    if (event.pointerType === "touch") {
      fingers.set(event.pointerId, local(event));
      if (fingers.size === 2) {
        stroke = null; // two fingers move the picture
        pinch = spread();
      }
    }
    if (event.button === 1 || (event.button === 0 && space)) {
      hand = [event.clientX - view.x, event.clientY - view.y];
    } else if (event.button === 0 && !stroke && !pinch) {
      const tool = get("tool");
      const erase = tool === "eraser" || event.altKey;
      if (tool === "fill" || tool === "wand") {
        model.send({ type: "region", tool, point: toImage(event), tolerance: get("tolerance"), erase, strength: get("strength") });
        return;
      }
      const shape = event.shiftKey && BRUSHES.includes(tool) ? "line" : SHAPE[tool] ?? tool;
      stroke = { id: `${name}-${next++}`, pointer: event.pointerId, shape, erase, radius: get("radius"), strength: get("strength"), points: [], bounds: null };
      take(event);
    } else return;
    event.preventDefault();
    // An event made by a script has no pointer to capture.
    try { ink.setPointerCapture(event.pointerId); } catch { /* it draws all the same */ }
    paint();
  }

  function move(event) {
    const ring = () => around(pointer, get("radius") + 3 / scale());
    let area = pointer ? ring() : null;
    pointer = toImage(event);
    area = joined(area, ring());
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, local(event));
    if (pinch && fingers.size === 2) {
      const now = spread();
      view.x += now.x - pinch.x;
      view.y += now.y - pinch.y;
      zoomAt(now.wide / (pinch.wide || 1), now.x, now.y);
      pinch = now;
    } else if (hand) {
      Object.assign(view, { x: event.clientX - hand[0], y: event.clientY - hand[1] });
      moved();
    } else if (stroke?.pointer === event.pointerId) area = joined(area, take(event));
    paint(area);
  }

  function up(event) {
    fingers.delete(event.pointerId);
    if (!fingers.size) pinch = null;
    if (hand) hand = null;
    else if (stroke?.pointer === event.pointerId) {
      const { id, shape, erase, radius, strength, points } = stroke;
      pending.set(id, stroke);
      stroke = null;
      model.send({ type: "stroke", id, shape, erase, radius, strength }, undefined, [new Float32Array(points.flat()).buffer]);
      return; // its ink stays as it is
    }
    paint();
  }

  function cancel(event) {
    if (event) fingers.delete(event.pointerId);
    stroke = hand = pinch = null;
    paint();
  }

  function leave() {
    if (!stroke) pointer = null;
    paint();
  }

  function wheel(event) {
    const way = -Math.sign(event.deltaY || event.deltaX);
    if (event.ctrlKey || event.metaKey) zoomAt(ZOOM.step ** way, ...local(event));
    else if (event.altKey) resize(way);
    else return; // a plain wheel scrolls the page
    event.preventDefault();
    event.stopPropagation();
  }

  function resize(way) {
    const radius = get("radius");
    set("radius", clamp(radius + way * Math.max(0.5, radius * 0.15), 0.5, MOST_RADIUS));
  }

  /** Weaker or stronger, by ten in a hundred; from the least up to ten. */
  function strengthen(way) {
    const tenths = get("strength") * 10 + way;
    set("strength", clamp((way > 0 ? Math.floor(tenths + 1e-6) : Math.ceil(tenths - 1e-6)) / 10, 0.01, 1));
  }

  // --- the keys ---

  const COMMANDS = {
    z: () => act("undo"), Z: () => act("redo"), y: () => act("redo"),
  };
  const KEYS = {
    b: () => set("tool", "brush"), e: () => set("tool", "eraser"), l: () => set("tool", "line"), L: () => set("tool", "lasso"),
    r: () => set("tool", "rectangle"), o: () => set("tool", "ellipse"), w: () => set("tool", "wand"), f: () => set("tool", "fill"),
    F: () => act("fill_all"), i: () => act("invert"), x: () => act("clear"),
    "[": () => resize(-1), "]": () => resize(1), ",": () => strengthen(-1), ".": () => strengthen(1),
    0: () => show("fit"), 1: () => show("full"), "+": () => show("in"), "=": () => show("in"), "-": () => show("out"),
    " ": () => { space = true; paint(); },
    h: (event) => { if (!event.repeat) set("mask_hidden", true); },
    Enter: () => model.send({ type: "enter" }),
    "?": () => toggle(help),
  };

  function key(event) {
    const command = event.ctrlKey || event.metaKey;
    if (event.altKey && !command) return;
    if (event.key === "Escape") {
      if (!stroke && !hand && help.hidden && menu.hidden) return;
      help.hidden = menu.hidden = true;
      cancel();
    } else {
      const handle = (command ? COMMANDS : KEYS)[event.key];
      if (!handle) return; // Tab and everything else goes its way
      handle(event);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  function release(event) {
    if (event.key === " ") space = false;
    if (event.key.toLowerCase() === "h") set("mask_hidden", false);
    paint();
  }

  function blur() {
    space = false;
    if (get("mask_hidden")) set("mask_hidden", false);
    paint();
  }

  // --- files ---

  function choose(what) {
    file.onchange = () => {
      if (file.files.length) send(file.files[0], what);
      file.value = "";
    };
    file.click();
  }

  async function send(one, what) {
    model.send({ type: "file", what }, undefined, [await one.arrayBuffer()]);
  }

  function drop(event) {
    const [one] = event.dataTransfer?.files ?? [];
    if (!one) return;
    event.preventDefault();
    event.stopPropagation();
    send(one, event.shiftKey ? "mask" : "image");
  }

  // --- what the kernel says ---

  const HEARD = {
    alive: () => box()?.classList.add("nb-live"),
    ack: ({ id }) => {
      ink.dataset.acknowledged = id;
      // Two frames later the kernel's own drawing is on the screen, and nothing flickers.
      requestAnimationFrame(() => requestAnimationFrame(() => {
        const done = pending.get(id);
        pending.delete(id);
        if (done) paint(done.bounds);
      }));
    },
    show: ({ what }) => show(what),
    download: ({ name: called }, buffers) => download(called, buffers[0], "image/png"),
  };
  const hear = (message, buffers) => HEARD[message.type]?.(message, buffers);

  const listeners = {
    pointerdown: down, pointermove: move, pointerup: up, pointercancel: cancel, pointerleave: leave,
    keydown: key, keyup: release, blur, drop,
    contextmenu: (event) => event.preventDefault(),
    dragover: (event) => event.preventDefault(),
  };
  for (const [event, handle] of Object.entries(listeners)) ink.addEventListener(event, handle);
  ink.addEventListener("wheel", wheel, { passive: false });
  model.on("msg:custom", hear);
  const resized = () => { show("fit"); measure(); };
  model.on("change:image_size", resized);
  model.on("change", look);
  const watcher = new ResizeObserver(measure);
  watcher.observe(ink);
  // The box comes to the page after its parts. Pages without a kernel (exported HTML) keep the static picture.
  const attached = requestAnimationFrame(() => {
    measure();
    if (model.widget_manager?.kernel) HEARD.alive();
  });
  model.send({ type: "ready" });

  return () => {
    watcher.disconnect();
    cancelAnimationFrame(attached);
    cancelAnimationFrame(frame);
    clearTimeout(moved.timer);
    model.off("msg:custom", hear);
    model.off("change:image_size", resized);
    model.off("change", look);
  };
}

export default { render };
