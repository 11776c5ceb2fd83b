/** What needs a decision: a row for each cause, with its money, its meaning, the ids and the command to copy. */

import { commandBox, prose } from "./command.js";
import { download, h } from "./dom.js";
import { count, csv, money, number, quote } from "./format.js";
import { placeText } from "./head_words.js";
import { icon } from "./icons.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Need} Need */

const WAITING = new Set(["pending", "at_provider"]);
const SHOWN = 8; // ids of a cause before "more"
const SHOWN_NARROW = 4;

/** @param {Page} page @returns {{element: HTMLElement, draw: () => void}} */
export function needsCard(page) {
  const element = h("section", { class: "card needs", "aria-labelledby": "needs-title" });
  const draw = () => {
    const { needs, head } = page.document;
    // A run in progress sends or collects those that wait.
    const waits = needs.filter((need) => !WAITING.has(need.state) || !head.in_progress);
    const total = waits.reduce((sum, need) => sum + need.count, 0);
    element.classList.toggle("calm", !needs.length);
    element.replaceChildren(
      h(
        "header",
        {},
        h("h2", { id: "needs-title" }, "Needs you ", total ? h("span", { class: "faint", text: number(total) }) : null),
      ),
      ...(needs.length ? needs.map((need) => row(page, need)) : [calm(page)]),
    );
  };
  draw();
  return { element, draw };
}

/** @param {Page} page */
function calm(page) {
  const { jobs } = page.document.head;
  const waits = jobs.pending + jobs.running;
  return h(
    "p",
    { class: "calmly" },
    icon("check", "pk"),
    waits ? "Nothing so far." : jobs.total ? "Nothing. Every job is done." : "Nothing: the batch has no jobs.",
  );
}

/** @param {Page} page @param {Need} need */
function row(page, need) {
  return h(
    "article",
    { class: "need" },
    h(
      "div",
      { class: "what" },
      h(
        "div",
        { class: "title" },
        h("span", { class: `dot ${need.state}` }),
        h("h3", { text: need.title }),
        h("button", {
          class: "count",
          type: "button",
          "aria-label": `Show ${count(need.count, "job")}: ${need.title}`,
          title: "Show them",
          text: number(need.count),
          onclick: () => show(page, need),
        }),
      ),
      h("p", { class: "money", text: moneyOf(need) }),
    ),
    h(
      "div",
      { class: "why" },
      prose(need.meaning),
      need.todo && prose(need.todo),
      need.example && h("p", { class: "example" }, "“", h("span", { class: "text", text: need.example }), "”"),
      need.state === "at_provider" ? places(page) : null,
      ids(page, need),
    ),
    h(
      "div",
      { class: "do" },
      need.prompts.length ? prompts(page, need) : null,
      need.prompts.length && need.command ? h("p", { class: "faint", text: "or, with the same prompts" }) : null,
      need.command ? commandBox(need.command) : null,
    ),
  );
}

/** @param {Need} need */
function moneyOf(need) {
  const parts = [];
  if (need.state === "at_provider")
    parts.push(need.reserved_usd === null ? "no price known" : `${money(need.reserved_usd)} reserved`);
  if (Number(need.usd)) parts.push(`${money(need.usd)} lost`);
  if (Number(need.at_risk_usd)) parts.push(`${money(need.at_risk_usd)} at risk`);
  return parts.join(", ") || "cost nothing";
}

/** Where the jobs are that are at a provider. @param {Page} page */
function places({ document }) {
  return h(
    "ul",
    { class: "places" },
    document.at_provider.map((place) => h("li", { class: "text", text: placeText(place, document) })),
  );
}

/** @param {Page} page @param {Need} need */
function ids(page, need) {
  const list = h("div", { class: "ids" });
  const draw = (/** @type {number} */ limit) => {
    const shown = need.ids.slice(0, limit),
      rest = need.count - shown.length;
    list.replaceChildren(
      ...shown.map((id) => h("button", { type: "button", title: id, text: id, onclick: () => open(page, need, id) })),
    );
    if (!rest) return;
    const further = limit < need.ids.length;
    list.append(
      h("button", {
        class: "rest",
        type: "button",
        text: `${number(rest)} more`,
        "aria-label": further ? `Show ${number(rest)} more ids` : `Show all ${number(need.count)} in the grid`,
        onclick: () => (further ? draw(need.ids.length) : show(page, need)),
      }),
    );
  };
  draw(matchMedia("(max-width: 860px)").matches ? SHOWN_NARROW : SHOWN);
  return list;
}

/** @param {Page} page @param {Need} need */
function show(page, need) {
  if (need.cause && page.document.words.cause.includes(need.cause)) page.view.only("cause", need.cause);
  else page.view.only("state", need.state);
  page.view.jump();
}

/** Opens the tile of a job, among those of the same cause. @param {Page} page @param {Need} need @param {string} id */
function open(page, need, id) {
  const row = page.document.tiles.key.indexOf(id);
  if (row < 0) return page.toast("This job is not on the page: it was written with a selection");
  show(page, need);
  return page.view.open(row);
}

/** Refused prompts as a file to edit, and the command that takes it back. @param {Page} page @param {Need} need */
function prompts(page, need) {
  const name = `${page.document.batch}-prompts.csv`.replaceAll("/", "-");
  const save = () => {
    const rows = need.prompts.map(({ id, prompt }) => [id, prompt]);
    download(name, csv([["id", "prompt"], ...rows]), "text/csv;charset=utf-8");
    page.toast(`Saved ${name}`);
  };
  return h(
    "div",
    { class: "prompts" },
    h(
      "button",
      { class: "link", type: "button", onclick: save },
      icon("download"),
      `${count(need.prompts.length, "prompt")} as CSV to edit`,
    ),
    need.edit_command && [
      h("p", { class: "faint", text: "then" }),
      commandBox(need.edit_command.replace(/\bFILE$/, quote(name))),
    ],
  );
}
