/** What a redo of rejects should change: fields of the send-back sheet, and the options that they become. */

import { download, h } from "./dom.js";
import { csv, quote } from "./format.js";

/** @typedef {import("./types").Page} Page */

const QUALITIES = ["low", "medium", "high", "auto"];

/** What is chosen; it stays while the page is open, so that the sheet can be closed to look at a picture again. */
const change = { quality: "", provider: "", size: "", other: "", note: "", prompts: false };

/** @typedef {Exclude<keyof typeof change, "prompts">} Name */

/** @param {Page} page @param {() => void} changed @returns {HTMLElement} */
export function changeFields(page, changed) {
  const set = (/** @type {Name} */ name) => (/** @type {Event} */ event) => {
    change[name] = /** @type {HTMLInputElement | HTMLSelectElement} */ (event.target).value.trim();
    changed();
  };
  return h(
    "div",
    { class: "fields" },
    choice("Quality", QUALITIES, change.quality, set("quality")),
    choice("Provider", page.document.words.provider, change.provider, set("provider")),
    text("Size", "1536x1024", change.size, set("size")),
    text("Anything else", "background=transparent", change.other, set("other"), true),
    text("Note, kept with the new pictures", "the shadow is too hard", change.note, set("note"), true),
    page.document.live?.actions ? null : promptBox(page, changed),
  );
}

/** @param {string} label @param {string[]} values @param {string} value @param {(event: Event) => void} set */
function choice(label, values, value, set) {
  const options = ["", ...values].map((each) => {
    const option = h("option", { value: each, text: each || "as before" });
    option.selected = each === value;
    return option;
  });
  return h("label", { class: "field" }, label, h("select", { onchange: set }, options));
}

/** @param {string} label @param {string} example @param {string} value @param {(event: Event) => void} set
 * @param {boolean} [wide] */
function text(label, example, value, set, wide = false) {
  const input = h("input", {
    type: "text",
    placeholder: example,
    autocomplete: "off",
    spellcheck: "false",
    oninput: set,
  });
  input.value = value;
  return h("label", { class: wide ? "field wide" : "field" }, label, input);
}

/** @param {Page} page @param {() => void} changed */
function promptBox(page, changed) {
  const box = h("input", { type: "checkbox" });
  box.checked = change.prompts;
  box.addEventListener("change", () => {
    change.prompts = box.checked;
    if (box.checked) savePrompts(page);
    changed();
  });
  return h(
    "label",
    { class: "check" },
    box,
    h("span", {}, "Edit their prompts: saves ", h("span", { class: "mono", text: promptFile(page) })),
  );
}

/** Saves the prompts of the rejects as a table to edit. @param {Page} page */
function savePrompts(page) {
  const prompts = new Map(page.marks.rows("reject").map((row) => [page.document.tiles.key[row], page.prompt(row)]));
  download(promptFile(page), csv([["id", "prompt"], ...prompts]), "text/csv;charset=utf-8");
  page.toast(`Saved ${promptFile(page)}`);
}

/** @param {Page} page */
function promptFile(page) {
  return `${page.document.batch.replaceAll("/", "-")}-rejects.csv`;
}

/** The parameters that change, as KEY=VALUE. @returns {string[]} */
export function changedParameters() {
  const named = /** @type {Name[]} */ (["quality", "provider", "size"])
    .filter((name) => change[name])
    .map((name) => `${name}=${change[name]}`);
  return change.other ? [...named, change.other] : named;
}

/** Whether the prompts are edited in a table, which only the command line takes. */
export function editsPrompts() {
  return change.prompts;
}

/** @returns {string} */
export function redoNote() {
  return change.note;
}

/** The command with the options that say what changes. @param {Page} page @param {string} command */
export function addChanges(page, command) {
  const options = changedParameters().map((each) => ` --with ${quote(each)}`);
  if (change.note) options.push(` --note ${quote(change.note)}`);
  if (change.prompts) options.push(` --prompts ${quote(promptFile(page))}`);
  return command + options.join("");
}
