/* What every part of the page is made with; put before each widget's own code, which needs no build step that way. */

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const FOCUSABLE = new Set(["button", "input", "select", "textarea", "summary"]);

/** Make an element: known properties are set as such, all others as attributes. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  // JupyterLab takes keys from whatever has the focus, unless it says this of itself.
  if (FOCUSABLE.has(tag)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  made.append(...children);
  return made;
}

/** Hand a file to the person. */
function download(name, buffer, type) {
  const url = URL.createObjectURL(new Blob([buffer], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

