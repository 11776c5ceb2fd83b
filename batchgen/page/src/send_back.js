/** The sheet that sends rejects back and hands picks over: what is marked, what should change, commands to copy. */

import { canAct, runForm } from "./actions.js";
import { commandBox } from "./command.js";
import { h } from "./dom.js";
import { count, money, number } from "./format.js";
import { icon } from "./icons.js";
import { addChanges, changedParameters, changeFields, editsPrompts, redoNote } from "./send_changes.js";
import { closeSheet, openSheet } from "./sheet.js";

/** @typedef {import("./types").Page} Page */

const SHOWN = 21; // thumbnails of rejects
const TAKE_IN = "Then take them in, in the folder where you run batchgen, with the path of the saved file:";

/** @param {Page} page */
export function openSendBack(page) {
  const rejects = page.marks.rows("reject");
  const { pick: picks, stars, note } = page.marks.counts();
  if (!rejects.length && !picks && !stars && !note) {
    return openSheet("Send back rejects", nothing(), { side: true });
  }
  const again = rejects.length ? redoSteps(page, rejects) : [];
  const steps = [...again.slice(0, 2), saveStep(page), ...again.slice(2), picks ? pickStep(page, picks) : null];
  const body = h(
    "div",
    { class: "steps" },
    steps.filter((step) => step !== null).map((step, index) => numbered(index + 1, step)),
  );
  return openSheet(titleOf(rejects.length, picks), body, { side: true });
}

/** @param {number} rejects @param {number} picks */
function titleOf(rejects, picks) {
  if (rejects) return `Send back ${count(rejects, "reject")}`;
  return picks ? `Hand over ${count(picks, "pick")}` : "Save stars and notes";
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
      ...["Reject ", h("kbd", { text: "X" }), " a picture that should be made again, "],
      ...["pick ", h("kbd", { text: "P" }), " one to keep."],
    ),
  );
}

/** @param {number} place @param {HTMLElement} step */
function numbered(place, step) {
  return h("section", { class: "step" }, h("span", { class: "no", "aria-hidden": "true", text: number(place) }), step);
}

/** The steps that make the rejects again: what they are, what changes, the commands or the run itself.
 * @param {Page} page @param {number[]} rows @returns {HTMLElement[]} */
function redoSteps(page, rows) {
  const again = h("div", {});
  const draw = () => {
    const here = canAct(page) && !editsPrompts(); // only the command line takes a table of prompts
    again.replaceChildren(...(here ? redoRuns(page, rows) : redoCommands(page, rows)));
  };
  draw();
  const changes = h("div", {}, h("h3", { text: "Change something, if you like" }), changeFields(page, draw));
  return [rejectStep(page, rows), changes, again];
}

/** Under a live page: the price on demand, and the confirmation that starts the run.
 * @param {Page} page @param {number[]} rows @returns {HTMLElement[]} */
function redoRuns(page, rows) {
  const { tiles } = page.document;
  const done = new Set(rows.filter((row) => tiles.sha[row]).map((row) => tiles.key[row])),
    failed = new Set(rows.filter((row) => !tiles.sha[row]).map((row) => tiles.key[row]));
  const form = (/** @type {"redo" | "retry"} */ action, /** @type {Set<string>} */ ids) => {
    const place = h("div", {});
    const button = h("button", { class: "btn", type: "button" }, `Show the price of ${count(ids.size, "job")}`);
    button.addEventListener("click", () =>
      place.replaceChildren(runForm(page, { action, ids: [...ids], changes: changedParameters(), note: redoNote() })),
    );
    place.append(button);
    return place;
  };
  return [
    h("h3", { text: "Make them again" }),
    ...(done.size ? [form("redo", done)] : []),
    ...(failed.size ? [form("retry", failed)] : []),
  ];
}

/** @param {Page} page @param {number[]} rows */
function rejectStep(page, rows) {
  return h(
    "div",
    {},
    h("h3", { text: "These are rejected" }),
    h(
      "div",
      { class: "minis" },
      rows.slice(0, SHOWN).map((row) => mini(page, row)),
      rows.length > SHOWN && h("span", { class: "faint", text: `and ${number(rows.length - SHOWN)} more` }),
    ),
    others(page, rows),
  );
}

/** @param {Page} page @param {number} row */
function mini(page, row) {
  const id = page.document.tiles.key[row],
    note = page.marks.get(row)?.note ?? "";
  const open = () => {
    closeSheet();
    page.view.open(row);
  };
  return h(
    "button",
    { type: "button", title: note ? `${id}: ${note}` : id, "aria-label": `Open ${id}`, onclick: open },
    page.document.tiles.sha[row]
      ? h("img", { src: page.thumb(row), alt: "", loading: "lazy" })
      : h("span", { class: "dot failed" }),
    note && h("span", { class: "noted" }),
  );
}

/** A job is made again as a whole: what that means for pictures that were not rejected.
 * @param {Page} page @param {number[]} rows */
function others(page, rows) {
  const { job } = page.document.tiles;
  const jobs = new Set(rows.map((row) => job[row])),
    rejected = new Set(rows);
  const also = job.reduce((sum, each, row) => sum + (jobs.has(each) && !rejected.has(row) ? 1 : 0), 0);
  if (!also) return null;
  return h("p", {
    class: "alert",
    text: `A job is made again as a whole. Other pictures of these jobs that are replaced too: ${number(also)}.`,
  });
}

/** @param {Page} page */
function saveStep(page) {
  const counts = page.marks.counts(),
    inDatabase = Boolean(page.document.live?.marks);
  const parts = [
    counts.pick && `${number(counts.pick)} picked`,
    counts.reject && `${number(counts.reject)} rejected`,
    counts.stars && `${number(counts.stars)} with stars`,
    counts.note && `${number(counts.note)} with a note`,
  ];
  const place = inDatabase ? "They are in the job database already." : "They stay in this browser as well.";
  return h(
    "div",
    {},
    h("h3", { text: "Save the marks" }),
    h("p", { class: "muted", text: `${parts.filter(Boolean).join(", ")}. ${place}` }),
    saveButtons(page, !inDatabase),
    inDatabase ? null : h("p", { class: "muted", text: TAKE_IN }),
    inDatabase ? null : commandBox(`${page.document.commands.marks_import} marks.json`),
  );
}

/** @param {Page} page @param {boolean} primary */
function saveButtons(page, primary) {
  return h(
    "div",
    { class: "buttons" },
    h(
      "button",
      { class: primary ? "btn primary" : "btn", type: "button", onclick: () => page.marks.write("json") },
      icon("download"),
      "marks.json",
    ),
    h("button", { class: "btn", type: "button", onclick: () => page.marks.write("csv") }, icon("download"), "CSV"),
  );
}

/** @param {Page} page @param {number[]} rows @returns {(Node | string)[]} */
function redoCommands(page, rows) {
  const { commands, tiles } = page.document;
  const done = rows.filter((row) => tiles.sha[row]),
    failed = rows.length - done.length;
  /** @type {HTMLElement[]} */
  const parts = [h("h3", { text: "Make them again" })];
  if (done.length) parts.push(commandBox(addChanges(page, `${commands.redo} --marked reject`)));
  if (failed) parts.push(commandBox(addChanges(page, `${commands.retry} --marked reject`)));
  parts.push(h("p", { class: "muted", text: price(page, done) }));
  return parts;
}

/** What the rejects cost until now; the price of the redo is the plan's. @param {Page} page @param {number[]} rows */
function price(page, rows) {
  const { usd } = page.document.tiles;
  const priced = rows.filter((row) => usd[row] !== null);
  const sum = priced.reduce((total, row) => total + (usd[row] ?? 0), 0);
  const asks = "The command shows its price and asks before it spends; --dry-run only shows it.";
  return priced.length ? `These pictures cost ${money(sum)}. ${asks}` : asks;
}

/** @param {Page} page @param {number} picks */
function pickStep(page, picks) {
  return h(
    "div",
    {},
    h("h3", { text: `Hand over the ${count(picks, "pick")}` }),
    commandBox(`${page.document.commands.export} --marked pick --files picks`),
    h("p", { class: "muted", text: "It copies the picked pictures into a folder." }),
  );
}
