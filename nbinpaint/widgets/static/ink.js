/* The ink layer: takes the pointer, draws at once, sends one message per stroke, and lets go of its ink when the kernel has drawn it.
 *
 * Two canvases of the kernel's lie under it in the same box: the photo and the overlay (the mask, opaque; the box's CSS makes it
 * transparent). Zoom and pan are a CSS transform of both, so that they need no kernel. Coordinates sent are image pixels. */

const SHAPES = { brush: "brush", eraser: "brush", line: "line", rectangle: "rectangle", ellipse: "ellipse", lasso: "lasso" };
const KEYS = {
  b: "brush", e: "eraser", l: "line", r: "rectangle", o: "ellipse", L: "lasso", w: "wand",
};
const ACTIONS = { f: "fill_all", i: "invert", x: "clear" };
const ZOOM = { least: 0.25, most: 32, step: 1.25 };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function render({ model, el }) {
  const ink = document.createElement("canvas");
  ink.className = "nb-ink";
  ink.tabIndex = 0;
  ink.setAttribute("role", "img");
  ink.setAttribute("data-lm-suppress-shortcuts", "true");
  el.classList.add("nb-ink-layer");
  el.append(ink);
  const context = ink.getContext("2d");
  const scratch = document.createElement("canvas");
  const brush = scratch.getContext("2d");

  const get = (name) => model.get(name);
  const view = { zoom: 1, x: 0, y: 0 };
  const pending = new Map();
  let stroke = null;
  let panning = null;
  let pointer = null;
  let space = false;
  let frame = 0;
  let next = 1;
  // Ids must not repeat over views and reloads: the kernel acknowledges to all of them.
  const name = Math.random().toString(36).slice(2, 8);

  const box = () => el.closest(".nb-canvas");
  const under = (which) => box()?.querySelector(`.${which} canvas, canvas.${which}`);
  const fit = () => get("view_size")[0] / get("image_size")[0];
  const scale = () => fit() * view.zoom;

  function place() {
    const [width, height] = get("view_size");
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [ink, scratch]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    ink.style.width = `${width}px`;
    ink.style.height = `${height}px`;
    look();
  }

  /** Put zoom, pan and overlay settings where the box's CSS reads them. */
  function look() {
    const style = box()?.style;
    if (style) {
      style.setProperty("--nb-zoom", view.zoom);
      style.setProperty("--nb-x", `${view.x}px`);
      style.setProperty("--nb-y", `${view.y}px`);
      style.setProperty("--nb-opacity", get("mask_hidden") ? 0 : get("opacity"));
      box().classList.toggle("nb-pixels", scale() >= 3);
      box().classList.toggle("nb-outline", get("outline"));
    }
    ink.setAttribute("aria-label", get("description"));
    paint();
  }

  const toImage = (event) => {
    const bounds = ink.getBoundingClientRect();
    // The element may be scaled by the page; its own pixels are what counts.
    const x = ((event.clientX - bounds.left) * get("view_size")[0]) / bounds.width;
    const y = ((event.clientY - bounds.top) * get("view_size")[1]) / bounds.height;
    return [(x - view.x) / scale(), (y - view.y) / scale()];
  };

  /** Draw one stroke, opaque, in image coordinates. */
  function trace(target, act) {
    const points = act.points;
    const [x0, y0] = points[0];
    const [x1, y1] = points[points.length - 1];
    target.beginPath();
    if (act.shape === "rectangle") {
      target.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    } else if (act.shape === "ellipse") {
      target.ellipse((x0 + x1) / 2, (y0 + y1) / 2, Math.abs(x1 - x0) / 2, Math.abs(y1 - y0) / 2, 0, 0, 2 * Math.PI);
      target.fill();
    } else if (act.shape === "lasso") {
      points.forEach(([x, y], i) => (i ? target.lineTo(x, y) : target.moveTo(x, y)));
      target.closePath();
      target.fill();
    } else {
      target.lineCap = target.lineJoin = "round";
      const run = act.shape === "line" ? [points[0], points[points.length - 1]] : points;
      if (run.every((p) => p[2] === 1)) {
        target.lineWidth = 2 * act.radius;
        target.moveTo(x0, y0);
        for (const [x, y] of run) target.lineTo(x, y);
        if (run.length === 1) target.lineTo(x0 + 1e-3, y0);
        target.stroke();
      } else {
        for (let i = 0; i < run.length; i++) {
          const [x, y, pressure] = run[i];
          const [px, py, before] = run[Math.max(0, i - 1)];
          target.beginPath();
          target.lineWidth = act.radius * (pressure + before);
          target.moveTo(px, py);
          target.lineTo(x + 1e-3, y);
          target.stroke();
        }
      }
    }
  }

  function transform(target) {
    const ratio = ink.width / get("view_size")[0];
    target.setTransform(ratio * scale(), 0, 0, ratio * scale(), ratio * view.x, ratio * view.y);
  }

  /** Show local ink as it will look once the kernel has drawn it: never darker over what is painted already, erased to the photo. */
  function layer(act) {
    const [width, height] = get("image_size");
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.globalCompositeOperation = "source-over";
    brush.clearRect(0, 0, scratch.width, scratch.height);
    transform(brush);
    brush.fillStyle = brush.strokeStyle = get("colour");
    trace(brush, act);
    const other = under(act.erase ? "nb-photo" : "nb-overlay");
    if (other) {
      brush.globalCompositeOperation = act.erase ? "source-in" : "destination-out";
      brush.drawImage(other, 0, 0, width, height);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = act.erase ? 1 : get("mask_hidden") ? 0 : get("opacity");
    context.drawImage(scratch, 0, 0);
    context.globalAlpha = 1;
  }

  function cursor() {
    if (!pointer || !["brush", "eraser", "line"].includes(get("tool")) || panning || space) return;
    transform(context);
    for (const [width, colour] of [[3, "rgba(0,0,0,.55)"], [1.2, "#fff"]]) {
      context.beginPath();
      context.arc(pointer[0], pointer[1], get("radius"), 0, 2 * Math.PI);
      context.lineWidth = width / scale();
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  function paint() {
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, ink.width, ink.height);
      for (const act of pending.values()) layer(act);
      if (stroke) layer(stroke);
      cursor();
      ink.style.cursor = panning ? "grabbing" : space ? "grab" : ["brush", "eraser"].includes(get("tool")) ? "none" : "crosshair";
    });
  }

  function zoomAt(factor, x, y) {
    const zoom = clamp(view.zoom * factor, ZOOM.least, ZOOM.most);
    const by = zoom / view.zoom;
    Object.assign(view, { zoom, x: x - (x - view.x) * by, y: y - (y - view.y) * by });
    report();
  }

  function show(what) {
    const [width, height] = get("view_size");
    if (what === "fit") Object.assign(view, { zoom: 1, x: 0, y: 0 });
    else if (what === "full") zoomAt(1 / fit() / view.zoom, width / 2, height / 2);
    else zoomAt(what === "in" ? ZOOM.step : 1 / ZOOM.step, width / 2, height / 2);
    report();
  }

  let told = 0;
  function report() {
    look();
    // The badge shows the zoom; wheel events come faster than it needs.
    clearTimeout(told);
    told = setTimeout(() => {
      model.set("zoom", scale());
      model.save_changes();
    }, 80);
  }

  function set(trait, value) {
    model.set(trait, value);
    model.save_changes();
  }

  const pressureOf = (event) => (event.pointerType === "pen" && get("use_pressure") ? Math.max(0.05, event.pressure) : 1);

  function take(event) {
    const batch = event.getCoalescedEvents?.() ?? [];
    for (const e of batch.length ? batch : [event]) stroke.points.push([...toImage(e), pressureOf(e)]);
  }

  function down(event) {
    ink.focus({ preventScroll: true });
    if (event.button === 1 || space) {
      panning = [event.clientX - view.x, event.clientY - view.y];
    } else if (event.button === 0 && !stroke && event.isPrimary) {
      const tool = get("tool");
      if (tool === "fill" || tool === "wand") {
        model.send({ type: "region", tool, point: toImage(event), tolerance: get("tolerance"), erase: event.altKey });
        return;
      }
      const shape = event.shiftKey && (tool === "brush" || tool === "eraser") ? "line" : SHAPES[tool];
      stroke = { id: `${name}-${next++}`, shape, erase: tool === "eraser" || event.altKey, radius: get("radius"), points: [] };
      take(event);
    } else return;
    event.preventDefault();
    ink.setPointerCapture(event.pointerId);
    paint();
  }

  function move(event) {
    pointer = toImage(event);
    if (panning) {
      Object.assign(view, { x: event.clientX - panning[0], y: event.clientY - panning[1] });
      look();
    } else if (stroke) {
      take(event);
    }
    paint();
  }

  function up(event) {
    if (panning) {
      panning = null;
      report();
    } else if (stroke) {
      finish();
    }
    paint();
  }

  function finish() {
    const act = stroke;
    stroke = null;
    pending.set(act.id, act);
    const flat = new Float32Array(act.points.flat());
    const { id, shape, erase, radius } = act;
    model.send({ type: "stroke", id, shape, erase, radius }, undefined, [flat.buffer]);
  }

  function cancel() {
    stroke = panning = null;
    paint();
  }

  function wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      const bounds = ink.getBoundingClientRect();
      zoomAt(ZOOM.step ** (-Math.sign(event.deltaY)), event.clientX - bounds.left, event.clientY - bounds.top);
    } else if (event.altKey) {
      resize(-Math.sign(event.deltaY || event.deltaX));
    } else return; // a plain wheel scrolls the page
    event.preventDefault();
  }

  function resize(direction) {
    const radius = get("radius");
    set("radius", clamp(radius + direction * Math.max(0.5, radius * 0.15), 0.5, get("most_radius")));
  }

  function key(event) {
    const k = event.key;
    const command = event.ctrlKey || event.metaKey;
    if (command && k.toLowerCase() === "z") act(event.shiftKey ? "redo" : "undo");
    else if (command && k.toLowerCase() === "y") act("redo");
    else if (command || event.altKey) return;
    else if (k === "[" || k === "]") resize(k === "]" ? 1 : -1);
    else if (KEYS[k]) set("tool", KEYS[k]);
    else if (ACTIONS[k.toLowerCase()] && k.length === 1) act(ACTIONS[k.toLowerCase()]);
    else if (k === "0") show("fit");
    else if (k === "1") show("full");
    else if (k === "+" || k === "-") show(k === "+" ? "in" : "out");
    else if (k === " ") { space = true; paint(); }
    else if (k.toLowerCase() === "h") { if (!event.repeat) set("mask_hidden", true); }
    else if (k === "Escape" && (stroke || panning)) cancel();
    else if (k === "Enter") model.send({ type: "enter" });
    else if (k === "?") model.send({ type: "help" });
    else return; // Tab and everything else goes its way
    event.preventDefault();
    event.stopPropagation();
  }

  function keyup(event) {
    if (event.key === " ") { space = false; paint(); }
    if (event.key.toLowerCase() === "h") set("mask_hidden", false);
  }

  const act = (action) => model.send({ type: "action", action });

  function leave() {
    if (!stroke) pointer = null;
    paint();
  }

  function blur() {
    space = false;
    if (get("mask_hidden")) set("mask_hidden", false);
    paint();
  }

  ink.addEventListener("pointerdown", down);
  ink.addEventListener("pointermove", move);
  ink.addEventListener("pointerup", up);
  ink.addEventListener("pointercancel", cancel);
  ink.addEventListener("pointerleave", leave);
  ink.addEventListener("contextmenu", (event) => event.preventDefault());
  ink.addEventListener("wheel", wheel, { passive: false });
  ink.addEventListener("keydown", key);
  ink.addEventListener("keyup", keyup);
  ink.addEventListener("blur", blur);

  function hear(message) {
    if (message.type === "ack") {
      // Two frames later the kernel's own drawing is on the screen, and nothing flickers.
      requestAnimationFrame(() => requestAnimationFrame(() => {
        pending.delete(message.id);
        ink.dataset.acknowledged = message.id;
        paint();
      }));
    } else if (message.type === "show") show(message.what);
  }
  model.on("msg:custom", hear);
  const relook = () => look();
  const watched = ["opacity", "mask_hidden", "outline", "colour", "tool", "radius", "description"];
  for (const trait of watched) model.on(`change:${trait}`, relook);
  for (const trait of ["view_size", "image_size"]) model.on(`change:${trait}`, place);
  place();
  // The box may be attached after this view.
  const attached = requestAnimationFrame(look);
  model.send({ type: "ready" });

  return () => {
    cancelAnimationFrame(attached);
    cancelAnimationFrame(frame);
    clearTimeout(told);
    model.off("msg:custom", hear);
    for (const trait of watched) model.off(`change:${trait}`, relook);
    for (const trait of ["view_size", "image_size"]) model.off(`change:${trait}`, place);
  };
}

export default { render };
