/* The ink layer's tools: icons, keys, and what each is called. */

const SVG = (inner) => `<svg viewBox="0 0 20 20" aria-hidden="true">${inner}</svg>`;
const ICONS = {
  brush: SVG('<path d="M16.5 3.5 9 11l-1-.2L6.8 9.6 14.5 2.5a1.4 1.4 0 0 1 2 1z"/><path d="M7.5 11.5c-2.5-.5-3.5 1-3.5 2.5s-.5 2-1.5 2.5c3 1.2 6 .2 6.3-2.7z" class="nb-filled"/>'),
  eraser: SVG('<path d="m7.5 16.5-4-4a1.5 1.5 0 0 1 0-2l7-7a1.5 1.5 0 0 1 2 0l4 4a1.5 1.5 0 0 1 0 2l-7 7zM7 7l6 6M6 16.5h11"/>'),
  line: SVG('<path d="M4 16 16 4"/><circle cx="4" cy="16" r="1.5"/><circle cx="16" cy="4" r="1.5"/>'),
  rectangle: SVG('<rect x="3" y="5" width="14" height="10.5"/>'),
  ellipse: SVG('<ellipse cx="10" cy="10" rx="7.5" ry="5.5"/>'),
  lasso: SVG('<path d="M6 13.5C3.5 12.5 2.5 10.5 3 8.5c1-3.5 5-5 9-4.5s6 3.5 4.8 6.5-5 4-9 3.5"/><circle cx="6.5" cy="14" r="1.6"/><path d="M6.5 15.6c.2 1.4-.5 2-1.5 2.2"/>'),
  fill: SVG('<path d="m8.5 3 7 7-6 6a1.2 1.2 0 0 1-1.7 0L3.5 11.7a1.2 1.2 0 0 1 0-1.7l6-6M3.5 10.5h11.5"/><path d="M17 13c1 1.6 1 2.8 0 3-1-.2-1-1.4 0-3z" class="nb-filled"/>'),
  wand: SVG('<path d="m3 17 9-9"/><path d="M14.5 2.5v3M14.5 7.5v2M11 6h2M16 6h2M12.5 3.5l.8.8M16.5 3.5l-.8.8M16.5 8.5l-.8-.8"/>'),
  undo: SVG('<path d="M7 4 3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H8"/>'),
  redo: SVG('<path d="m13 4 3.5 3.5L13 11M16.5 7.5H8a4.5 4.5 0 0 0 0 9h4"/>'),
  grow: SVG('<circle cx="10" cy="10" r="3"/><path d="M10 5V2M8.5 3.5 10 2l1.5 1.5M10 15v3M8.5 16.5 10 18l1.5-1.5M5 10H2M3.5 8.5 2 10l1.5 1.5M15 10h3M16.5 8.5 18 10l-1.5 1.5"/>'),
  shrink: SVG('<circle cx="10" cy="10" r="2.2"/><path d="M10 2v4M8.5 4.5 10 6l1.5-1.5M10 18v-4M8.5 15.5 10 14l1.5 1.5M2 10h4M4.5 8.5 6 10l-1.5 1.5M18 10h-4M15.5 8.5 14 10l1.5 1.5"/>'),
  invert: SVG('<circle cx="10" cy="10" r="7"/><path d="M10 3a7 7 0 0 1 0 14z" class="nb-filled"/>'),
  clear: SVG('<path d="M4 6h12M8 6V4h4v2M5.5 6l.8 10.5h7.4L14.5 6M8.5 9v5M11.5 9v5"/>'),
  fill_all: SVG('<rect x="3" y="4" width="14" height="12" class="nb-filled"/>'),
  help: SVG('<circle cx="10" cy="10" r="7.5"/><path d="M7.8 7.8a2.3 2.3 0 1 1 3.3 2c-.8.4-1.1.9-1.1 1.7M10 14v.2"/>'),
  outline: SVG('<path d="M4 10c0-4 3-6 6-6s6 2 6 6-3 6-6 6-6-2-6-6z" stroke-dasharray="2.5 2.5"/>'),
  feather: SVG('<circle cx="10" cy="10" r="3.5" class="nb-filled"/><circle cx="10" cy="10" r="5.5" opacity=".5"/><circle cx="10" cy="10" r="7.5" opacity=".25"/>'),
  more: SVG('<circle cx="4.5" cy="10" r="1"/><circle cx="10" cy="10" r="1"/><circle cx="15.5" cy="10" r="1"/>'),
};
/* name: [key, what it is called] */
const TOOLS = {
  brush: ["B", "Brush"],
  eraser: ["E", "Eraser"],
  line: ["L", "Line"],
  rectangle: ["R", "Rectangle"],
  ellipse: ["O", "Ellipse"],
  lasso: ["Shift+L", "Lasso"],
  fill: ["F", "Bucket: fill what a stroke encloses"],
  wand: ["W", "Wand: like colours"],
};
const ACTIONS = {
  undo: ["Ctrl+Z", "Undo"],
  redo: ["Ctrl+Shift+Z", "Redo"],
  grow: ["", "Grow the mask"],
  shrink: ["", "Shrink the mask"],
  invert: ["I", "Invert the mask"],
  fill_all: ["Shift+F", "Fill all"],
  clear: ["X", "Clear the mask"],
};
const HELP = [
  ["B E L R O", "brush, eraser, line, rectangle, ellipse"], ["[ ]  , .", "brush size (Alt+wheel), strength"],
  ["Shift+L", "lasso"], ["Shift", "straight line while brushing"],
  ["F", "bucket: fill what is enclosed"], ["Alt", "any tool takes away"],
  ["W", "wand: like colours"], ["Ctrl+wheel", "zoom"],
  ["I X Shift+F", "invert, clear, fill all"], ["Space, middle button", "move the picture"],
  ["Ctrl+Z", "undo"], ["0 1 + −", "fit, full size, in, out"],
  ["Ctrl+Shift+Z", "redo"], ["H held", "hide the mask"],
  ["Enter", "inpaint"], ["Tab", "leave the canvas"],
];

