/** The sheet that sends rejects back: what is rejected, what should change, and the commands to copy. */

import { commandBox } from "./command.js";
import { h } from "./dom.js";
import { count, quote } from "./format.js";
import { icon } from "./icons.js";
import { closeSheet, openSheet } from "./sheet.js";

/** @typedef {import("./types").Page} Page */

const SHOWN = 21; // thumbnails of rejects

/** What is asked for differently; it stays while the page is open. */
const change = { quality: "", size: "", note: "" };

/** @param {Page} page */
export function openSendBack(page) {
  const counts = page.marks.counts();
  if (!counts.pick && !counts.reject) return openSheet("Send back rejects", nothing(), { side: true });
  const title = counts.reject
    ? `Send back ${count(counts.reject, "reject")}`
    : `Hand over ${count(counts.pick, "pick")}`;
  const steps = h("div", { class: "steps" });
  const rejects = counts.reject ? [rejected(page), changes(page)] : [];
  const parts = [
    ...rejects,
    save(page),
    ...(counts.reject ? [commands(page)] : []),
    ...(counts.pick ? [picks(page)] : []),
  ];
  steps.append(...parts.map((part, index) => step(index + 1, part)));
  return openSheet(title, steps, { side: true });
}

function nothing() {
  return h(
    "div",
    { class: "empty" },
    icon("x"),
    h("b", { text: "Nothing is rejected yet" }),
    h(
      "span",
      {},
      "Press ",
      h("kbd", { text: "X" }),
      " on a picture that should be made again, ",
      h("kbd", { text: "P" }),
      " on one to keep.",
    ),
  );
}

/** @param {number} number @param {HTMLElement[]} parts */
function step(number, parts) {
  return h(
    "section",
    { class: "step" },
    h("span", { class: "no", "aria-hidden": "true", text: String(number) }),
    h("div", {}, parts),
  );
}

/** @param {Page} page @returns {HTMLElement[]} */
function rejected(page) {
  const rows = page.marks.rows("reject");
  const open = (/** @type {number} */ row) => {
    closeSheet();
    page.view.open(row);
  };
  const minis = rows.slice(0, SHOWN).map((row) => {
    const id = page.document.tiles.key[row],
      note = page.marks.get(row)?.note ?? "";
    const picture = page.document.tiles.sha[row]
      ? h("img", { src: page.thumb(row), alt: "", loading: "lazy" })
      : h("span", { class: "dot failed" });
    return h(
      "button",
      { type: "button", title: note ? `${id}: ${note}` : id, "aria-label": `Open ${id}`, onclick: () => open(row) },
      picture,
      note ? h("span", { class: "noted" }) : null,
    );
  });
  return [
    h("h3", { text: "Rejected" }),
    h(
      "div",
      { class: "minis" },
      minis,
      rows.length > SHOWN ? h("span", { class: "faint", text: `and ${rows.length - SHOWN} more` }) : null,
    ),
  ];
}

/** @param {Page} page @returns {HTMLElement[]} */
function changes(page) {
  void page;
  return [h("h3", { text: "Change something, if you like" })];
}

/** @param {Page} page @returns {HTMLElement[]} */
function save(page) {
  return [
    h("h3", { text: "Save the marks" }),
    h(
      "div",
      { class: "buttons" },
      h(
        "button",
        { class: "btn primary", type: "button", onclick: () => page.marks.write("json") },
        icon("download"),
        "marks.json",
      ),
      h("button", { class: "btn", type: "button", onclick: () => page.marks.write("csv") }, icon("download"), "CSV"),
    ),
  ];
}

/** @param {Page} page @returns {HTMLElement[]} */
function commands(page) {
  const { commands } = page.document;
  const options = change.quality ? ` --with ${quote(`quality=${change.quality}`)}` : "";
  return [
    h("h3", { text: "Run this where you ran the batch" }),
    commandBox(`${commands.marks_import} marks.json`),
    commandBox(`${commands.redo} --marked reject${options}`),
  ];
}

/** @param {Page} page @returns {HTMLElement[]} */
function picks(page) {
  return [
    h("h3", { text: "Hand over the picks" }),
    commandBox(`${page.document.commands.export} --marked pick --files handover`),
  ];
}
