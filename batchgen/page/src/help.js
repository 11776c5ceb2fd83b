/** The help sheet: keys, mouse and touch, signs on the tiles, and where marks go. */

import { commandBox } from "./command.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { closeSheet, openSheet } from "./sheet.js";
import { themeButton } from "./theme.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./icons.js").IconName} IconName */
/** @typedef {[keys: string, meaning: string]} Row  keys are separated by blanks, "…" and "+" stay between them */

/** @type {[title: string, rows: Row[]][]} */
const KEYS = [
  [
    "Mark",
    [
      ["P", "Pick, and go to the next"],
      ["X", "Reject, and go to the next"],
      ["U", "Clear mark and stars"],
      ["1 … 5", "Stars"],
      ["0", "No stars"],
      ["N", "Note"],
      ["Shift P", "Mark and stay"],
      ["A", "Auto-advance on or off"],
      ["Ctrl Z", "Undo"],
    ],
  ],
  [
    "Go",
    [
      ["← ↑ ↓ →", "Next picture"],
      ["H J K L", "The same"],
      ["Home End", "First, last"],
      ["Page↑ Page↓", "A screen"],
      ["Shift →", "Extend the selection"],
      ["Ctrl A", "Select all shown"],
      ["Esc G", "Back"],
    ],
  ],
  [
    "Look",
    [
      ["Enter E", "Full view, and back"],
      ["I", "Details"],
      ["Z", "Fit or 100 %"],
      ["+ −", "Zoom; size of tiles"],
      ["Space", "Hold: the picture before"],
      ["V", "Result, slider, sides, before"],
      ["[ ]", "Move the slider"],
      ["M", "Mask"],
      ["D", "Difference"],
    ],
  ],
  [
    "Compare",
    [
      ["C", "Compare 2 to 4"],
      ["Del", "Take one out"],
      ["K", "Keep this, reject the others"],
      ["Space", "Hold: the other picture"],
    ],
  ],
  [
    "Page",
    [
      ["/", "Search"],
      ["S", "Send back"],
      ["?", "This help"],
    ],
  ],
];

/** @type {Row[]} */
const POINTER = [
  ["Click", "Choose; Shift: a range; Ctrl: one more"],
  ["Double click", "Full view"],
  ["Wheel, pinch", "Zoom"],
  ["Tap", "Full view"],
  ["Long press", "Select"],
  ["Swipe", "Next picture"],
];

/** @type {[icon: IconName, classes: string, meaning: string][]} */
const SIGNS = [
  ["check", "pk", "Picked"],
  ["x", "rj", "Rejected"],
  ["slider", "", "An edit: before and after"],
  ["warning", "wn", "Suspect: worth a look"],
  ["history", "", "Made more than once"],
  ["note", "", "Has a note"],
];

/** @param {Page} page */
export function openHelp(page) {
  const keys = KEYS.map(([title, rows]) => section(title, rows)),
    pointer = [section("Mouse and touch", POINTER, "span")];
  const dialog = openSheet(
    "Keys and signs",
    h(
      "div",
      { class: "help" },
      h(
        "div",
        { class: "keys" },
        matchMedia("(pointer: coarse)").matches ? [...pointer, ...keys] : [...keys, ...pointer],
        signs(),
      ),
      files(page),
      h("p", { class: "faint foot" }, themeButton(), `batchgen ${page.document.version} · written ${stamp(page)}`),
    ),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "?") return;
    event.preventDefault();
    closeSheet();
  });
}

/** @param {string} title @param {Row[]} rows @param {"kbd" | "span"} [tag] */
function section(title, rows, tag = "kbd") {
  return h(
    "section",
    {},
    h("h3", { text: title }),
    h(
      "dl",
      {},
      rows.map(([keys, meaning]) =>
        h(
          "div",
          {},
          h("dt", {}, tag === "kbd" ? keyCaps(keys) : h("span", { class: "muted", text: keys })),
          h("dd", { text: meaning }),
        ),
      ),
    ),
  );
}

/** @param {string} keys */
function keyCaps(keys) {
  return keys
    .split(" ")
    .map((key) => (key === "…" ? h("span", { class: "faint", text: key }) : h("kbd", { text: key })));
}

function signs() {
  return h(
    "section",
    {},
    h("h3", { text: "Signs" }),
    h(
      "dl",
      {},
      SIGNS.map(([name, classes, meaning]) =>
        h("div", {}, h("dt", {}, icon(name, classes)), h("dd", { text: meaning })),
      ),
    ),
  );
}

/** Where marks are, and how they get into the job database. @param {Page} page */
function files(page) {
  const { live, commands, sandbox } = page.document;
  const sentence = live
    ? live.marks
      ? "Marks go into the job database as you make them."
      : "This page is read only: marks stay in this browser."
    : "Marks stay in this browser, under this batch, until you save them as marks.json and take that file in:";
  return h(
    "section",
    { class: "files" },
    h("h3", { text: "Where marks go" }),
    h("p", { class: "muted", text: sentence }),
    live?.marks ? null : commandBox(`${commands.marks_import} marks.json`),
    sandbox && h("p", { class: "muted", text: "These are marks of the sandbox. They never reach real jobs." }),
    readButton(page),
  );
}

/** Takes a marks file of another browser in; a file can also be dropped on the page. @param {Page} page */
function readButton(page) {
  const input = h("input", { type: "file", accept: ".json,.csv", hidden: true });
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file) void page.marks.read(file);
    closeSheet();
  });
  const button = h("button", { class: "link", type: "button", onclick: () => input.click() }, icon("upload"));
  button.append("Read a marks file");
  return h("p", {}, input, button);
}

/** When the report was written, in the time of the machine that wrote it. @param {Page} page */
function stamp(page) {
  const { generated_at, zone } = page.document;
  const local = new Date(Date.parse(generated_at) + zone * 60_000);
  return local.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
}
