/** Costs by provider, model, tag, kind or day. A bar is a filter of the grid. */

import { h, svg } from "./dom.js";
import { count, money } from "./format.js";
import { savedText, unpriced } from "./head_words.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").CostBar} CostBar */
/** @typedef {keyof import("./types").PageDocument["costs"]} By */

const SHOWN = 8; // bars before "Show all"

/** @type {[By, string][]} */
const TABS = [
  ["provider", "Provider"],
  ["model", "Model"],
  ["tag", "Tag"],
  ["kind", "Kind"],
  ["day", "Day"],
  ["mode", "Mode"],
];

/** @param {Page} page @returns {{element: HTMLElement, draw: () => void}} */
export function costCard(page) {
  const element = h("section", { class: "card costs", "aria-label": "Cost of the batch" });
  /** @type {By} */
  let by = "provider";
  let all = false;
  const draw = () => {
    const empty = !page.document.costs.provider.length;
    const tabs = TABS.filter(([name]) => name === "provider" || isUseful(page.document.costs, name));
    if (!tabs.some(([name]) => name === by)) by = "provider";
    const panel = h(
      "div",
      { id: "cost-bars", role: "tabpanel", "aria-labelledby": `cost-${by}` },
      bars(page, by, all, () => {
        all = !all;
        draw();
      }),
    );
    element.replaceChildren(
      h(
        "header",
        {},
        h("h2", { text: "Cost" }),
        !empty &&
          tabList(tabs, by, (name) => {
            by = name;
            all = false;
            draw();
            document.getElementById(`cost-${name}`)?.focus();
          }),
      ),
      panel,
      footnote(page),
    );
  };
  draw();
  return { element, draw };
}

/** @param {Page["document"]["costs"]} costs @param {By} by */
function isUseful(costs, by) {
  return by === "mode" ? costs.mode.some((bar) => bar.name !== "standard") : costs[by].length > 0;
}

/** @param {[By, string][]} tabs @param {By} by @param {(by: By) => void} choose */
function tabList(tabs, by, choose) {
  const list = h(
    "div",
    { class: "seg small", role: "tablist", "aria-label": "Cost by" },
    tabs.map(([name, text]) =>
      h("button", {
        id: `cost-${name}`,
        type: "button",
        role: "tab",
        text,
        "aria-selected": String(name === by),
        "aria-controls": "cost-bars",
        tabindex: name === by ? "0" : "-1",
        onclick: () => choose(name),
      }),
    ),
  );
  list.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    const at = tabs.findIndex(([name]) => name === by);
    choose(tabs[(at + move + tabs.length) % tabs.length][0]);
    event.preventDefault();
  });
  return list;
}

/** @param {Page} page @param {By} by @param {boolean} all @param {() => void} toggle */
function bars(page, by, all, toggle) {
  const entries = page.document.costs[by];
  if (!entries.length) return h("p", { class: "nothing muted", text: "No call has been made yet." });
  const priced = entries.some((bar) => Number(bar.usd) + Number(bar.reserved_usd) > 0);
  const size = (/** @type {CostBar} */ bar) => (priced ? Number(bar.usd) + Number(bar.reserved_usd) : bar.images);
  const most = Math.max(...entries.map(size), 1e-12);
  const shown = all ? entries : entries.slice(0, SHOWN);
  return [
    h(
      "ul",
      { class: "bars" },
      shown.map((bar) => h("li", {}, barButton(page, by, bar, size(bar) / most))),
    ),
    entries.length > SHOWN &&
      h("button", {
        class: "link more",
        type: "button",
        onclick: toggle,
        text: all ? "Show fewer" : `Show all ${entries.length}`,
      }),
  ];
}

/** @param {Page} page @param {By} by @param {CostBar} bar @param {number} share */
function barButton(page, by, bar, share) {
  const { paid, reserved } = priceOf(bar);
  const price = [paid, reserved && `${reserved} reserved`].filter(Boolean).join(", ") || "no price";
  const whole = Number(bar.usd) + Number(bar.reserved_usd);
  const spent = whole ? (share * Number(bar.usd)) / whole : share;
  const images = count(bar.images, "image");
  return h(
    "button",
    {
      type: "button",
      title: `${bar.name}: ${price}, ${images}, ${count(bar.attempts, "attempt")}`,
      onclick: () => choose(page, by, bar),
    },
    h("span", { class: "name", text: bar.name || "none" }),
    svg(
      "svg",
      { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "track", width: 100, height: 8 }),
      svg("rect", { class: "bar", width: (spent * 100).toFixed(2), height: 8 }),
      share > spent &&
        svg("rect", {
          class: "bar reserved",
          x: (spent * 100).toFixed(2),
          width: ((share - spent) * 100).toFixed(2),
          height: 8,
        }),
    ),
    h("span", { class: bar.usd ? "value" : "value faint", text: paid || reserved || price }),
    h("span", { class: "vh", text: `${paid || !reserved ? "" : " reserved"}, ${images}: show them` }),
  );
}

/** What was paid, and what is reserved; "": nothing that is known. @param {CostBar} bar */
function priceOf(bar) {
  const credits = bar.credits === null ? "" : count(Number(bar.credits), "credit");
  const reserved = Number(bar.reserved_usd) > 0 ? money(bar.reserved_usd) : "";
  const paid = bar.usd || (bar.usd === 0 && !credits && !reserved) ? money(bar.usd) : credits;
  return { paid, reserved };
}

/** Shows the pictures of a bar. @param {Page} page @param {By} by @param {CostBar} bar */
function choose(page, by, bar) {
  const { view } = page;
  if (by === "day") {
    const from = Date.parse(`${bar.name}T00:00:00Z`) / 1000 - page.document.zone * 60;
    view.only("time", `${from}-${from + 86400}`);
  } else {
    view.only(by === "mode" ? "purchase" : by, bar.name);
  }
  view.jump();
}

/** @param {Page} page */
function footnote(page) {
  const { costs, head } = page.document;
  const names = unpriced(costs.provider).map(([name]) => name);
  if (!costs.provider.length) return "";
  let text = names.length ? `${names.join(", ")}: counted in credits, without a price in USD.` : "";
  if (Number(head.reserved_usd)) text = `Pale: reserved for what is at the provider. ${text}`;
  else if (head.usd === null || !Number(head.usd))
    text = names.length ? "Counted in credits; the bars show images." : "No price is set; the bars show images.";
  text = `${savedText(page.document.savings)} ${text}`.trim();
  return text && h("p", { class: "cardfoot", text });
}
