/** Icons of 16 by 16, drawn as strokes; each is a list of paths. */

import { svg } from "./dom.js";

const PATHS = {
  check: "M3 8.6 6.4 12 13 4.6",
  x: "m4 4 8 8M12 4l-8 8",
  undo: "M6 3 3 6l3 3M3.4 6H10a3.5 3.5 0 0 1 0 7H7",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.3 3.3",
  copy:
    "M7 5.5h5A1.5 1.5 0 0 1 13.5 7v5a1.5 1.5 0 0 1-1.5 1.5H7A1.5 1.5 0 0 1 5.5 12V7A1.5 1.5 0 0 1 7 5.5Z" +
    "M10.5 3.5a1 1 0 0 0-1-1H4A1.5 1.5 0 0 0 2.5 4v5.5a1 1 0 0 0 1 1",
  expand: "M9.5 2.5h4v4M13.5 2.5 9 7M6.5 13.5h-4v-4M2.5 13.5 7 9",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  down: "m3 6 5 5 5-5",
  chevron: "m4 6 4 4 4-4",
  panel:
    "M3.8 2.5h8.4A1.8 1.8 0 0 1 14 4.3v7.4a1.8 1.8 0 0 1-1.8 1.8H3.8A1.8 1.8 0 0 1 2 11.7V4.3A1.8" +
    " 1.8 0 0 1 3.8 2.5ZM10 2.5v11",
  warning: "M8 2.2 14.3 13.3H1.7ZM8 6.5v3M8 11.4v.1",
  slider:
    "M3.5 3h9A1.5 1.5 0 0 1 14 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 11.5v-7A1.5 1.5 0 0 1" +
    " 3.5 3ZM8 1.5v13",
  compare:
    "M3 3h3a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1ZM10 3h3a1 1 0 0 1 1 1v8a1 1 0 0 1-1" +
    " 1h-3a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1Z",
  picture:
    "M3.5 3h9A1.5 1.5 0 0 1 14 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 11.5v-7A1.5 1.5 0 0 1" +
    " 3.5 3Zm-1 8.5L6 8l2.5 2.5L11 8l2.5 2.5",
  download: "M8 2.5V10M4.8 7 8 10.2 11.2 7M2.5 13.5h11",
  upload: "M8 10.5V3M4.8 6 8 2.8 11.2 6M2.5 13.5h11",
  drag: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  note: "M3 13h2.6l7-7L10 3.4l-7 7Z",
  star: "m8 1.6 1.9 4.1 4.5.5-3.3 3 .9 4.4L8 11.4l-4 2.2.9-4.4-3.3-3 4.5-.5Z",
  send: "M13.5 8H3M7 4 3 8l4 4",
  filter: "M2 4.5h12M4.5 8h7M6.5 11.5h3",
  mask: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM8 2.5v11M8 5h4.5M8 8h5.5M8 11h4.5",
  "zoom-in": "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.3 3.3M5 7h4M7 5v4",
  "zoom-out": "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.3 3.3M5 7h4",
  fit:
    "M2.5 6V3.5a1 1 0 0 1 1-1H6M10 2.5h2.5a1 1 0 0 1 1 1V6M13.5 10v2.5a1 1 0 0 1-1 1H10M6 13.5H3.5a1 1 0 0" +
    " 1-1-1V10",
  history: "M3 8a5 5 0 1 0 1.6-3.7L3 5.8M3 2.8v3h3M8 5.5V8l1.8 1.2",
  sun:
    "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9" +
    " 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
  moon: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.6 5.6 0 1 0 6.8 6.8Z",
  print:
    "M4.5 6V2.5h7V6M4.5 11.5H3a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h10a1 1 0 0 1 1 1v3.5a1 1 0 0 1-1 1h-1.5M4.5 9.5h7v4h-7Z",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  minus: "M3 8h10",
};

/** @typedef {keyof typeof PATHS} IconName */

/** An icon, hidden from screen readers. @param {IconName} name @param {string} [classes] */
export function icon(name, classes = "") {
  const filled = name === "star" ? " fill" : "";
  return svg(
    "svg",
    { class: `ic${filled} ${classes}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }),
  );
}
