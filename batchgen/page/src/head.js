/** Head of the overview: one sentence, the states of the jobs as figures and a bar, money and budgets. */

import { h, svg } from "./dom.js";
import { number } from "./format.js";
import { icon } from "./icons.js";
import { amount, moneyLine, onlyBudget, pace, sentences, spent, title } from "./head_words.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Head} Head */

/** @type {[keyof Head["jobs"], string][]} */
const STATES = [
  ["done", "Done"],
  ["failed", "Failed"],
  ["unknown", "Unknown"],
  ["at_provider", "At the provider"],
  ["running", "Running"],
  ["pending", "Pending"],
  ["cancelled", "Cancelled"],
];
const LEAST = 0.8; // per cent of a bar that a part takes at least, so that one job among many is seen

/** @param {Page} page @returns {{element: HTMLElement, draw: () => void}} */
export function headSection(page) {
  const element = h("section", { class: "over", "aria-labelledby": "over-title" });
  const draw = () => {
    const { head, sandbox, batch, about } = page.document;
    element.replaceChildren(
      ...(sandbox
        ? [h("p", { class: "sandbox-line" }, h("b", { text: "Sandbox" }), " Simulated pictures: nothing was paid.")]
        : []),
      h("h1", { id: "over-title", text: title(head) }),
      h("p", { class: "lede text", text: sentences(page.document) }),
      ...(about
        ? [h("p", { class: "about" }, "This page shows a part of the batch: ", h("b", { class: "text", text: about }))]
        : []),
      ...(head.images ? [lookButton(page)] : []),
      h("div", { class: "figures" }, jobsBlock(page, head), moneyBlock(page)),
    );
    document.title = `${title(head)} · ${batch}${sandbox ? " (sandbox)" : ""}`;
  };
  draw();
  return { element, draw };
}

/** @param {Page} page */
function lookButton(page) {
  return h(
    "button",
    { class: "btn look", type: "button", onclick: () => page.view.jump() },
    "Look at the pictures",
    icon("down"),
  );
}

/** @param {Page} page @param {Head} head */
function jobsBlock(page, head) {
  const jobs = { ...head.jobs, running: head.jobs.running - head.jobs.at_provider };
  const states = STATES.filter(([state]) => jobs[state] || state === "done" || state === "failed");
  return h(
    "div",
    { class: "block jobs" },
    h(
      "div",
      { class: "row" },
      states.map(([state, word]) => figure(page, state, word, jobs[state])),
    ),
    meter(
      states.map(([state]) => ({ kind: state, share: jobs[state] / Math.max(1, jobs.total) })),
      states.map(([state, word]) => `${jobs[state]} ${word.toLowerCase()}`).join(", "),
    ),
    h("p", { class: "foot", text: pace(head) }),
  );
}

/** @param {Page} page @param {string} state @param {string} word @param {number} value */
function figure(page, state, word, value) {
  const show = () => {
    page.view.only("state", state);
    page.view.jump();
  };
  const parts = [
    h("span", { class: "key" }, h("span", { class: `dot ${state}` }), word),
    h("span", { class: "value", text: number(value) }),
  ];
  return value
    ? h("button", { class: "figure", type: "button", title: `Show ${word.toLowerCase()}`, onclick: show }, parts)
    : h("div", { class: "figure none" }, parts);
}

/** @param {Page} page */
function moneyBlock(page) {
  const { head } = page.document,
    { figure: total, rest } = spent(page.document),
    only = onlyBudget(head);
  return h(
    "div",
    { class: "block money" },
    h(
      "div",
      { class: "line" },
      h("span", { class: "key", text: "Spent" }),
      h(
        "span",
        { class: "spent" },
        h("span", { class: "value", text: total }),
        rest ? h("span", { class: "faint text", text: ` ${rest}` }) : null,
      ),
      only ? h("span", { class: "of faint", text: `of ${amount(only, only.usd)} budget` }) : null,
    ),
    only
      ? budgetMeter(head, only)
      : head.budgets.length
        ? h(
            "ul",
            { class: "budgets" },
            head.budgets.map((each) => budgetRow(head, each)),
          )
        : null,
    h("p", { class: "foot", text: moneyLine(head) || (head.budgets.length ? "" : "no budget is set") }),
  );
}

/** @param {Head} head @param {Head["budgets"][number]} budget */
function budgetRow(head, budget) {
  const reached = Number(budget.spent_usd) >= Number(budget.usd);
  return h(
    "li",
    {},
    h("span", { class: "name cut", title: budget.name, text: budget.name }),
    budgetMeter(head, budget),
    h("span", {
      class: "value",
      text: `${amount(budget, budget.spent_usd)} of ${amount(budget, budget.usd)}${reached ? ", reached" : ""}`,
    }),
  );
}

/** @param {Head} head @param {Head["budgets"][number]} budget */
function budgetMeter(head, budget) {
  const whole = Math.max(1e-9, Number(budget.usd)),
    used = Number(budget.spent_usd) / whole;
  const risk = onlyBudget(head) ? Number(head.at_risk_usd) / whole : 0;
  return meter(
    [
      { kind: used >= 1 ? "over" : "used", share: Math.min(1, used) },
      { kind: "unknown", share: Math.min(risk, Math.max(0, 1 - used)) },
    ],
    `${amount(budget, budget.spent_usd)} of ${amount(budget, budget.usd)} spent`,
  );
}

/** A bar of parts; what is left of 1 is its ground.
 * @param {{kind: string, share: number}[]} parts @param {string} label */
function meter(parts, label) {
  const present = parts.filter((part) => part.share > 0);
  const widths = present.map((part) => Math.max(LEAST, part.share * 100));
  const excess = Math.max(1, widths.reduce((sum, width) => sum + width, 0) / 100);
  let x = 0;
  const shapes = present.map((part, index) => {
    const width = widths[index] / excess;
    x += width;
    return svg("rect", { class: `part ${part.kind}`, x: (x - width).toFixed(3), width: width.toFixed(3), height: 8 });
  });
  return h(
    "div",
    { class: "meter" },
    svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": label }, shapes),
  );
}
