/* The parameter panel: makes one control for each parameter from what the kernel says of it (`specs`), shows every edit at once,
 * and sends edits at most ten times a second while a slider is dragged.
 *
 * No parameter is declared here: kinds, bounds and groups come with the specs, and the tables below only say how some of them look.
 * The kernel checks what it is sent and answers with notes and problems, which stand under the control. */

const ROWS = { prompt: 3, negative_prompt: 2 };
/* Where a slider ends before its parameter does; the number beside it takes the rest. */
const SLIDER_ENDS = { steps: [1, 100], guidance_scale: [0, 20], mask_grow: [-64, 64], image_index: [0, 15], soft_transition_contrast: [1, 16] };
const MOST_POSITIONS = 100_000;
const SIZES = [[128, 128], [256, 256], [512, 512], [512, 768], [768, 512], [768, 768], [1024, 1024]];
const SEEDS = 2 ** 31;
const PAUSE = 100;

const SVG = (inner) => `<svg viewBox="0 0 20 20" aria-hidden="true">${inner}</svg>`;
const ICONS = {
  dice: SVG('<rect x="3.5" y="3.5" width="13" height="13" rx="2.5"/><g class="nb-filled"><circle cx="7" cy="7" r="1"/><circle cx="13" cy="7" r="1"/><circle cx="10" cy="10" r="1"/><circle cx="7" cy="13" r="1"/><circle cx="13" cy="13" r="1"/></g>'),
  locked: SVG('<rect x="4.5" y="9" width="11" height="7.5" rx="1.5"/><path d="M7 9V6.5a3 3 0 0 1 6 0V9"/>'),
  unlocked: SVG('<rect x="4.5" y="9" width="11" height="7.5" rx="1.5"/><path d="M7 9V6a3 3 0 0 1 5.8-1"/>'),
};

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function button(label, title, press, className = "") {
  return element("button", { type: "button", textContent: label, title, className, onclick: press });
}

function iconButton(icon, label, press, className = "") {
  const made = element("button", { type: "button", title: label, "aria-label": label, className, onclick: press });
  made.innerHTML = ICONS[icon];
  return made;
}

// --- one control for each kind of parameter ---
//
// A factory takes a parameter's spec, `put(value, done)` for what the person does (`done` once the hand is off), and the model.
// It returns the inputs for the two columns (the first is the labelled one) and `show(value)`.

const number = (input) => (input.value === "" ? null : Number(input.value));

/** Write a value, unless it is what the person has typed, in whatever form. */
function write(input, value) {
  if (number(input) !== value) input.value = value ?? "";
}

function fits(spec, value) {
  const whole = spec.kind === "float" ? 0 : spec.kind === "size" ? spec.step : 1;
  return value !== null && value >= (spec.low ?? -Infinity) && value <= (spec.high ?? Infinity) && (!whole || value % whole === 0);
}

function numberInput(spec, properties = {}) {
  return element("input", { type: "number", min: spec.low ?? "", max: spec.high ?? "", step: spec.step ?? "any", ...properties });
}

function text(spec, put) {
  const area = element("textarea", { rows: ROWS[spec.name] ?? 1, spellcheck: false });
  area.addEventListener("input", () => put(area.value));
  area.addEventListener("change", () => put(area.value, true));
  return { control: [area], show: (value) => { if (area.value !== value) area.value = value ?? ""; } };
}

function choice(spec, put) {
  const option = (value) => element("option", { value, textContent: value, title: spec.choice_help?.[value] ?? "" });
  const select = element("select");
  for (const [heading, values] of spec.groups ?? [["", spec.choices]]) {
    const into = heading ? element("optgroup", { label: heading }) : select;
    into.append(...values.map(option));
    if (heading) select.append(into);
  }
  select.addEventListener("change", () => put(select.value, true));
  return { control: [select], show: (value) => { select.value = value; } };
}

/** A number field, with a slider where its positions can be told apart. */
function numeric(spec, put) {
  const field = numberInput(spec);
  field.addEventListener("input", () => { if (fits(spec, number(field))) put(number(field)); });
  field.addEventListener("change", () => put(number(field), true));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") put(number(field), true); });
  const bounded = spec.low !== null && spec.high !== null && (spec.high - spec.low) / (spec.step || 1) <= MOST_POSITIONS;
  if (!bounded) return { control: [field], show: (value) => write(field, value) };
  field.setAttribute("aria-label", `${spec.label}, as a number`);
  const [min, max] = SLIDER_ENDS[spec.name] ?? [spec.low, spec.high];
  const slider = element("input", { type: "range", min, max, step: spec.step ?? "any" });
  slider.addEventListener("input", () => put(Number(slider.value)));
  slider.addEventListener("change", () => put(Number(slider.value), true));
  const show = (value) => {
    write(field, value);
    slider.value = value ?? spec.low;
  };
  return { control: [slider], value: [field], show };
}

/** A number that may be off: a box to tick before it. */
function optional(spec, put) {
  const inner = numeric(spec, put);
  const inputs = [...inner.control, ...(inner.value ?? [])];
  const box = element("input", { type: "checkbox", "aria-label": `${spec.label}: on` });
  box.addEventListener("change", () => put(box.checked ? number(inputs.at(-1)) ?? clamp(32, spec.low ?? 0, spec.high ?? 32) : null, true));
  const show = (value) => {
    box.checked = value !== null;
    for (const input of inputs) input.disabled = value === null;
    if (value !== null) inner.show(value);
    else if (number(inputs.at(-1)) === null) inputs[0].value = spec.low ?? 0;
  };
  return { ...inner, control: [box, ...inner.control], labelled: inputs[0], show };
}

function size(spec, put, model) {
  const own = element("input", { type: "checkbox" });
  const sides = ["width", "height"].map((side) => numberInput(spec, { "aria-label": `${spec.label}, ${side}` }));
  const common = element("select", { "aria-label": `${spec.label}, common sizes`, title: "Common sizes" });
  common.append(element("option", { value: "", textContent: "other" }));
  for (const [w, h] of SIZES) common.append(element("option", { value: `${w} x ${h}`, textContent: `${w} x ${h}` }));
  const typed = () => sides.map(number);
  for (const side of sides) {
    side.addEventListener("input", () => { if (typed().every((v) => fits(spec, v))) put(typed()); });
    side.addEventListener("change", () => put(typed(), true));
  }
  let last = null;
  const native = () => model.get("native_size") ?? [512, 512];
  own.addEventListener("change", () => put(own.checked ? null : last ?? native(), true));
  common.addEventListener("change", () => { if (common.value) put(common.value.split(" x ").map(Number), true); });
  const show = (value) => {
    own.checked = value === null;
    last = value ?? last;
    const [w, h] = value ?? native();
    write(sides[0], value || model.get("native_size") ? w : null);
    write(sides[1], value || model.get("native_size") ? h : null);
    for (const input of [...sides, common]) input.disabled = value === null;
    common.value = value && SIZES.some((s) => same(s, value)) ? `${w} x ${h}` : "";
  };
  const box = element("span", { className: "nb-size" }, sides[0], "×", sides[1], common);
  const tick = element("label", { className: "nb-tick" }, own, "model's own");
  return { control: [element("div", { className: "nb-sizes" }, tick, box)], labelled: sides[0], show, follows: "native_size" };
}

/** Something that is on or off. */
function flag(spec, put) {
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => put(box.checked, true));
  return { control: [box], show: (value) => { box.checked = Boolean(value); } };
}

/** A seed's number, with dice and a lock. */
function seed(spec, put, model) {
  const made = numeric(spec, put);
  const dice = iconButton("dice", "Another seed", () => put(clamp(Math.floor(Math.random() * SEEDS), spec.low, spec.high), true), "nb-dice");
  const lock = iconButton("locked", "Keep the seed", () => {
    model.set("seed_locked", !model.get("seed_locked"));
    model.save_changes();
  }, "nb-lock");
  const show = (value) => {
    made.show(value);
    const locked = model.get("seed_locked");
    lock.innerHTML = ICONS[locked ? "locked" : "unlocked"];
    lock.title = locked ? "The seed stays as it is for every run" : "Every run takes another seed";
    lock.setAttribute("aria-pressed", String(locked));
  };
  return { ...made, value: [element("span", { className: "nb-pair" }, dice, lock)], show, follows: "seed_locked" };
}

const CONTROLS = { text, choice, int: numeric, float: numeric, size, flag, settings: flag };
const SPECIAL = { seed };

function factory(spec) {
  if (SPECIAL[spec.name]) return SPECIAL[spec.name];
  const made = CONTROLS[spec.kind] ?? text;
  return spec.optional && made === numeric ? optional : made;
}

/** Save at once if the last time is long enough ago, otherwise when it is. */
function throttled(save) {
  let timer = null;
  let waiting = false;
  const tick = () => {
    timer = waiting ? setTimeout(tick, PAUSE) : null;
    if (waiting) now();
  };
  const now = () => {
    waiting = false;
    save();
  };
  const soon = () => {
    waiting = true;
    if (timer === null) tick();
  };
  const stop = () => {
    clearTimeout(timer);
    if (waiting) now();
  };
  return { now, soon, stop };
}

/** Copy text, also where the page is not served securely and the browser offers no clipboard. */
async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    const area = element("textarea", { value: words, style: "position: fixed; opacity: 0" });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const ids = `nb-${Math.random().toString(36).slice(2, 8)}`;

  // --- edits ---

  /* What the person has changed and the kernel has not been sent. */
  let unsent = {};
  const saver = throttled(() => {
    unsent = {};
    model.save_changes();
  });

  function edit(changes, done) {
    Object.assign(unsent, changes);
    model.set("values", { ...get("values"), ...changes });
    if (done) saver.now();
    else saver.soon();
  }

  /** The kernel's echo of an older edit must not take back a newer one. */
  function keepUnsent() {
    const values = get("values");
    if (Object.keys(unsent).some((name) => !same(unsent[name], values[name]))) model.set("values", { ...values, ...unsent });
  }

  // --- the rows ---

  function row(spec) {
    const id = `${ids}-${spec.name}`;
    let last;
    const put = (value, done = false) => {
      last = undefined; // what stands beside the input follows
      edit({ [spec.name]: value }, done);
      look();
    };
    const made = factory(spec)(spec, put, model);
    const main = made.labelled ?? made.control[0];
    main.id = id;
    const label = element("label", { htmlFor: id, textContent: spec.label, title: spec.help });
    const says = element("div", { className: "nb-note", id: `${id}-note`, role: "status" });
    says.classList.toggle("nb-kept", Boolean(spec.noted));
    const line = element("div", { className: spec.within ? "nb-row nb-within" : "nb-row", "data-name": spec.name }, label);
    line.append(element("div", { className: made.value ? "nb-control" : "nb-control nb-wide" }, ...made.control));
    if (made.value) line.append(element("div", { className: "nb-value" }, ...made.value));
    line.append(says);
    const inputs = line.querySelectorAll("input, select, textarea, button");
    for (const input of inputs) {
      input.title ||= spec.help;
      input.setAttribute("aria-describedby", says.id);
    }
    const look = () => {
      const value = get("values")[spec.name] ?? null;
      const now = JSON.stringify([value, made.follows && get(made.follows)]);
      // What is being typed stays as it is until the value is another one.
      if (now !== last) made.show(value);
      last = now;
      const problem = get("problems")[spec.name];
      says.textContent = problem ?? get("notes")[spec.name] ?? "";
      line.classList.toggle("nb-wrong", Boolean(problem));
      main.setAttribute("aria-invalid", String(Boolean(problem)));
      if (spec.within) {
        const off = !get("values")[spec.within];
        line.classList.toggle("nb-off", off);
        for (const input of inputs) input.disabled = off;
      }
    };
    const changed = () => !same(get("values")[spec.name] ?? null, spec.kind === "settings" ? spec.default !== null : spec.default);
    return { element: line, name: spec.name, look, changed };
  }

  let rows = [];
  let groups = [];
  const body = element("div", { className: "nb-groups" });

  /** One group under each heading, in the order in which the headings come; without a heading it stands open. */
  function build() {
    const open = new Set([...body.querySelectorAll("details[open]")].map((group) => group.dataset.heading));
    const specs = get("specs");
    const headings = ["", ...new Set(specs.map(({ group }) => group).filter(Boolean))];
    groups = headings.map((heading) => ({ heading, rows: specs.filter(({ group }) => group === heading).map(row), count: element("span", { className: "nb-count" }) }));
    rows = groups.flatMap((group) => group.rows);
    body.replaceChildren(...groups.map(({ heading, rows: here, count }) => {
      const inside = element("div", { className: "nb-group" }, ...here.map((one) => one.element));
      return heading ? element("details", { open: open.has(heading), "data-heading": heading }, element("summary", {}, heading, count), inside) : inside;
    }));
    look();
  }

  // --- under them ---

  const preset = element("select", { id: `${ids}-preset`, className: "nb-preset", title: "Settings that go together; prompt and seed stay" });
  preset.append(element("option", { value: "", textContent: "none" }));
  for (const { name, summary } of get("presets")) preset.append(element("option", { value: name, textContent: name, title: summary }));
  preset.addEventListener("change", () => {
    const chosen = get("presets").find(({ name }) => name === preset.value);
    if (chosen) edit(chosen.changes, true);
  });
  const summary = element("div", { className: "nb-note nb-kept", role: "status" });

  const copier = button("Copy as code", "Copy the recipe as Python", async () => {
    const copied = await copy(get("code"));
    copier.textContent = copied ? "Copied" : "The browser refuses to copy";
    clearTimeout(copier.timer);
    copier.timer = setTimeout(() => { copier.textContent = "Copy as code"; }, 1500);
  }, "nb-copy");
  const file = element("input", { type: "file", accept: "image/png", hidden: true, className: "nb-file", "aria-label": "PNG with a recipe" });
  file.addEventListener("change", () => {
    if (file.files.length) read(file.files[0]);
    file.value = "";
  });
  const paster = button("Paste recipe", "Take the recipe out of a PNG; dropping one on the panel does the same", () => file.click(), "nb-recipe");
  const says = element("div", { className: "nb-says", role: "alert" });
  const foot = element("div", { className: "nb-panel-foot" },
    element("div", { className: "nb-group" },
      element("div", { className: "nb-row" }, element("label", { htmlFor: preset.id, textContent: "Preset" }), element("div", { className: "nb-control nb-wide" }, preset), summary)),
    element("div", { className: "nb-buttons" }, copier, paster, file), says);

  async function read(png) {
    saver.now();
    model.send({ type: "recipe" }, undefined, [await png.arrayBuffer()]);
  }

  const brings = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  function over(event) {
    if (!brings(event)) return;
    event.preventDefault();
    event.stopPropagation();
    el.classList.add("nb-dropping");
  }
  function drop(event) {
    el.classList.remove("nb-dropping");
    const [one] = event.dataTransfer?.files ?? [];
    if (!one) return;
    event.preventDefault();
    event.stopPropagation();
    read(one);
  }
  function leave(event) {
    if (!el.contains(event.relatedTarget)) el.classList.remove("nb-dropping");
  }

  /** Show every value, note and problem where it is read. */
  function look() {
    for (const one of rows) one.look();
    for (const group of groups) {
      const changed = group.rows.filter((one) => one.changed()).length;
      group.count.textContent = changed ? `${changed} changed` : "";
    }
    preset.value = get("preset");
    summary.textContent = get("presets").find(({ name }) => name === get("preset"))?.summary ?? "";
    const shown = new Set(rows.map(({ name }) => name));
    says.textContent = Object.entries(get("problems")).filter(([name]) => !shown.has(name)).map(([, sentence]) => sentence).join(" ");
  }

  el.classList.add("nb-panel");
  // JupyterLab's one-letter commands are not for someone who stands on a slider or a menu.
  el.setAttribute("data-lm-suppress-shortcuts", "true");
  el.append(body, foot);
  const listeners = { dragenter: over, dragover: over, dragleave: leave, drop };
  for (const [event, handle] of Object.entries(listeners)) el.addEventListener(event, handle);
  model.on("change:values", keepUnsent);
  model.on("change:specs", build);
  model.on("change", look);
  build();

  return () => {
    saver.stop();
    clearTimeout(copier.timer);
    for (const [event, handle] of Object.entries(listeners)) el.removeEventListener(event, handle);
    model.off("change:values", keepUnsent);
    model.off("change:specs", build);
    model.off("change", look);
  };
}

export default { render };
