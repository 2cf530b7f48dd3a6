/* The Studio's own controls: a line above the canvas that says what is open, and a bar below that runs things and says how far they are.
 * Canvas, parameters and grid are widgets of their own; this one only stands around them. */

function render({ model, el }) {
  const get = (name) => model.get(name);

  /** Run something. Messages may overtake settings that wait for a busy kernel, so the settings go with them. */
  async function press(what) {
    const panel = await model.widget_manager?.get_model(get("panel")).catch(() => null);
    model.send({ type: "press", what, axes: get("axes"), images: get("images"), values: panel?.get("values") });
  }

  const button = (text, className, act) => {
    const made = element("button", { type: "button", textContent: text, className });
    made.addEventListener("click", act);
    return made;
  };

  // --- the line above ---

  const title = element("strong");
  const known = element("datalist", { id: `nb-models-${Math.random().toString(36).slice(2, 8)}` });
  const engine = element("input", { type: "text", className: "nb-model", title: "A model's name on the hub, a folder, or a .safetensors file; loaded when Enter is pressed" });
  engine.setAttribute("list", known.id);
  engine.addEventListener("focus", () => engine.select());
  engine.addEventListener("keydown", (event) => event.stopPropagation());
  engine.addEventListener("change", () => model.send({ type: "model", name: engine.value }));
  const scenes = element("select", { "aria-label": "Samples" });
  scenes.addEventListener("change", () => {
    if (scenes.value) model.send({ type: "open", sample: scenes.value });
    scenes.value = "";
  });
  const address = element("input", { type: "url", placeholder: "https://… picture address", "aria-label": "Address of a picture" });
  const fetchIt = () => {
    if (address.value.trim()) model.send({ type: "open", url: address.value.trim() });
  };
  address.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") fetchIt();
  });
  const above = element("div", { className: "nb-above" }, title, element("label", { className: "nb-quiet" }, "model ", engine), known, element("span", { className: "nb-space" }), scenes, address, button("Open", "", fetchIt));

  // --- the bar below ---

  const inpaint = button("Inpaint", "nb-inpaint nb-first", () => press("inpaint"));
  const images = element("input", { type: "number", className: "nb-images", min: 1, max: get("most_images"), step: 1, title: "Pictures of the seed, each from its own noise" });
  images.addEventListener("keydown", (event) => event.stopPropagation());
  images.addEventListener("change", () => {
    images.value = clamp(Math.round(Number(images.value)) || 1, 1, get("most_images"));
    model.set("images", Number(images.value));
    model.save_changes();
  });
  const inpaintNote = element("span", { className: "nb-quiet" });
  const compare = button("Compare", "nb-compare nb-first", () => press("compare"));
  const compareNote = element("span", { className: "nb-quiet" });
  const axes = element("div", { className: "nb-axes" });
  const meter = element("div", { className: "nb-meter", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, element("i"));
  const progress = element("span", { className: "nb-progress" });
  const cancel = button("Cancel", "nb-cancel", () => press("cancel"));
  const running = element("div", { className: "nb-running" }, meter, progress, cancel);
  const history = element("select", { "aria-label": "History of runs" });
  history.addEventListener("change", () => model.send({ type: "show", index: Number(history.value) }));
  const goOn = button("Continue from here", "nb-continue", () => press("continue"));
  const message = element("p", { className: "nb-message", role: "status" });
  const below = element("div", { className: "nb-below" },
    element("div", { className: "nb-run" }, inpaint, element("label", { className: "nb-quiet nb-count-of" }, "images", images), inpaintNote),
    element("div", { className: "nb-run" }, compare, axes, compareNote),
    element("div", { className: "nb-status" }, running, message),
    element("div", { className: "nb-run nb-past" }, element("label", {}, "History", history), goOn));

  el.classList.add("nb-desk");
  el.append(above, below);

  const DIRECTIONS = ["rows", "columns"];

  /* What the controls show; what comes from elsewhere is laid out anew, one's own typing is not. */
  let laid = "";

  function layAxes() {
    laid = JSON.stringify(get("axes"));
    const known = get("fields");
    const chosen = get("axes");
    const change = (i, values) => {
      const changed = get("axes").map((one, j) => (i === j ? { ...one, ...values } : one));
      laid = JSON.stringify(changed);
      model.set("axes", changed);
      model.save_changes();
    };
    axes.replaceChildren();
    chosen.forEach((one, i) => {
      const field = element("select", { "aria-label": `Axis ${i + 1}` });
      const groups = new Map([["", field]]);
      for (const { name, label, group, help } of known) {
        const heading = group ?? "";
        if (!groups.has(heading)) {
          groups.set(heading, element("optgroup", { label: heading }));
          field.append(groups.get(heading));
        }
        const taken = chosen.some((other, j) => j !== i && other.name === name);
        groups.get(heading).append(element("option", { value: name, textContent: label, disabled: taken, title: help ?? "" }));
      }
      field.value = one.name;
      field.addEventListener("change", () => {
        change(i, { name: field.value, text: "" });
        layAxes();
      });
      const about = known.find(({ name }) => name === one.name) ?? {};
      const choices = about.choices ?? [];
      field.title = about.help ?? "";
      const group = element("span", { className: "nb-axis" }, element("span", { className: "nb-quiet", textContent: DIRECTIONS[i] ?? "and" }), field);
      group.append(choices.length ? checks(one, choices, (text) => change(i, { text })) : texts(one, about, (text) => change(i, { text })));
      const remove = button("×", "nb-remove", () => {
        model.set("axes", get("axes").filter((_, j) => j !== i));
        model.save_changes();
        layAxes();
      });
      remove.title = "Take this axis away";
      remove.setAttribute("aria-label", remove.title);
      group.append(remove);
      axes.append(group);
    });
    const free = known.find(({ name }) => !chosen.some((one) => one.name === name));
    if (free) {
      axes.append(button("+ axis", "nb-add", () => {
        model.set("axes", [...get("axes"), { name: free.name, text: "" }]);
        model.save_changes();
        layAxes();
      }));
    }
  }

  /** Values as text, in the form that the example shows. */
  function texts(one, { example, help }, take) {
    const input = element("input", { type: "text", value: one.text, "aria-label": `Values of ${one.name}`, placeholder: example ?? "", title: help ?? "" });
    input.addEventListener("keydown", (event) => event.stopPropagation());
    input.addEventListener("change", () => take(input.value));
    return input;
  }

  /** Values to tick off. */
  function checks(one, choices, take) {
    const ticked = new Set(one.text.split(",").map((text) => text.trim()).filter(Boolean));
    const summary = element("summary", { textContent: `${ticked.size} of ${choices.length}` });
    const list = element("div", { className: "nb-ticks" });
    for (const choice of choices) {
      const box = element("input", { type: "checkbox", checked: ticked.has(choice) });
      box.addEventListener("change", () => {
        ticked[box.checked ? "add" : "delete"](choice);
        summary.textContent = `${ticked.size} of ${choices.length}`;
        take(choices.filter((name) => ticked.has(name)).join(", "));
      });
      list.append(element("label", {}, box, choice));
    }
    // A press on a label takes the focus from the list, which would close it before the click is through.
    list.addEventListener("mousedown", (event) => event.preventDefault());
    const made = element("details", { className: "nb-choices" }, summary, list);
    made.addEventListener("focusout", (event) => {
      if (!made.contains(event.relatedTarget)) made.open = false;
    });
    return made;
  }

  function look() {
    title.textContent = get("title");
    if (document.activeElement !== engine) engine.value = get("model");
    if (!known.childElementCount) known.append(...get("models").map((value) => element("option", { value })));
    if (document.activeElement !== images) images.value = get("images");
    const { inpaint: one, compare: many, problem } = get("notes");
    inpaintNote.textContent = one ?? "";
    compareNote.textContent = problem || many || "";
    compareNote.classList.toggle("nb-trouble", Boolean(problem));
    const { share, text } = get("progress");
    const runs = text !== undefined;
    running.hidden = !runs;
    meter.firstChild.style.width = `${100 * (share ?? 0)}%`;
    meter.setAttribute("aria-valuenow", Math.round(100 * (share ?? 0)));
    progress.textContent = text ?? "";
    inpaint.disabled = runs;
    compare.disabled = runs || Boolean(problem);
    message.textContent = get("message");
    message.classList.toggle("nb-trouble", get("trouble"));
    message.hidden = runs || !get("message");
    const past = get("history");
    const labels = past.length ? past : ["nothing yet"];
    if (history.textContent !== labels.join("")) history.replaceChildren(...labels.map((label, i) => element("option", { value: i, textContent: label })));
    history.value = String(Math.max(0, get("shown")));
    history.disabled = goOn.disabled = !past.length;
    if (!scenes.length) {
      scenes.append(element("option", { value: "", textContent: "Samples" }), ...get("samples").map((name) => element("option", { value: name, textContent: name })));
    }
  }

  const HEARD = { alive: () => el.closest(".nb-studio")?.classList.add("nb-live") };
  const hear = (content) => HEARD[content.type]?.(content);
  model.on("msg:custom", hear);
  model.on("change", look);
  const relaid = () => {
    if (JSON.stringify(get("axes")) !== laid) layAxes();
  };
  model.on("change:axes", relaid);
  layAxes();
  look();
  requestAnimationFrame(() => model.widget_manager?.kernel && HEARD.alive());
  model.send({ type: "ready" });
  return () => {
    model.off("msg:custom", hear);
    model.off("change", look);
    model.off("change:axes", relaid);
  };
}

export default { render };
