/** Redo and retry from a live page: the plan with its price, one confirmation, and how the run ends. */

import { commandBox } from "./command.js";
import { h } from "./dom.js";
import { count, duration, money, number } from "./format.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {{action: "redo" | "retry", ids: string[], changes?: string[], note?: string}} Order */
/**
 * @typedef {{plan: string, jobs: number, images: number, usd: Range, credits: Record<string, Range>, unpriced: number,
 *   seconds: number, notices: string[], obstacle: string, budget: string | null, command: string}} Plan
 * @typedef {{low: string | null, expected: string | null, high: string | null}} Range
 * @typedef {{plan: string, pid: number, command: string, log: string, exit_code?: number}} Run
 */

/** Forms whose run is in progress, by plan. @type {Map<string, (run: any) => void>} */
const running = new Map();
/** Runs that have ended, by plan. @type {Map<string, any>} */
const over = new Map();

/** Whether runs can be started from this page. @param {Page} page */
export function canAct(page) {
  return Boolean(page.document.live?.actions);
}

/** The plan of an order with its price and a button that starts it. @param {Page} page @param {Order} order */
export function runForm(page, order) {
  const element = h("div", { class: "run-form", "aria-live": "polite" });
  const show = (/** @type {(HTMLElement | null | false)[]} */ ...parts) =>
    element.replaceChildren(...parts.filter((part) => part instanceof HTMLElement));
  const fail = (/** @type {string} */ text) =>
    show(h("p", { class: "alert bad text", text }), button("Look at the price again", ask));

  async function ask() {
    show(h("p", { class: "muted", text: "Working out the price…" }));
    const { status, body } = await post(page, "", order);
    if (status === 200) offer(body, "");
    else fail(body.error);
  }

  /** @param {Plan} plan @param {string} warning */
  function offer(plan, warning) {
    show(
      warning ? h("p", { class: "alert", text: warning }) : null,
      h("p", { class: "price" }, h("b", { text: price(plan) }), h("span", { class: "muted", text: scope(plan) })),
      plan.notices.length ? h("ul", { class: "notices muted" }, plan.notices.map((text) => h("li", { text }))) : null,
      plan.obstacle
        ? h("p", { class: "alert", text: plan.obstacle })
        : button(label(order, plan), () => start(plan), true),
      plan.obstacle && plan.jobs ? commandBox(plan.command) : null,
    );
  }

  /** @param {Plan} plan */
  async function start(plan) {
    show(h("p", { class: "muted", text: "Starting…" }));
    const { status, body } = await post(page, `/${encodeURIComponent(plan.plan)}/run`, {});
    if (status === 202) follow(body);
    else if (status === 409 && body.changed) offer(body.plan, "These jobs or their price have changed: look again.");
    else fail(body.error);
  }

  /** @param {Run} run */
  function follow(run) {
    const text = `Started as a run of its own (process ${run.pid}). This page follows it; its output: ${run.log}`;
    const end = (/** @type {any} */ ended) =>
      show(h("p", { text: outcome(ended) }), h("pre", { class: "text", text: ended.lines }));
    if (run.exit_code !== undefined) return end(run); // it was short, or this confirmation came a second time
    const before = over.get(run.plan);
    if (before) return end(before); // the news of its end was faster than the answer to the confirmation
    show(h("p", { text }));
    running.set(run.plan, end);
  }

  void ask();
  return element;
}

/** Shows how a run ended that this server started. @param {Page} page @param {any} run */
export function runEnded(page, run) {
  page.toast(outcome(run));
  over.set(run.plan, run);
  running.get(run.plan)?.(run);
  running.delete(run.plan);
}

/** @param {any} run */
function outcome(run) {
  return `The run has ended with exit code ${run.exit_code}${run.meaning ? `: ${run.meaning}` : ""}`;
}

/** @param {Page} page @param {string} path @param {object} body @returns {Promise<{status: number, body: any}>} */
async function post(page, path, body) {
  try {
    const answer = await fetch(`${page.document.live?.actions}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  } catch {
    const error = "The server does not answer. batchgen status shows whether a run was started.";
    return { status: 0, body: { error } };
  }
}

/** @param {string} text @param {() => unknown} run @param {boolean} [primary] */
function button(text, run, primary = false) {
  const element = h("button", { class: primary ? "btn primary" : "btn", type: "button", text });
  element.addEventListener("click", () => {
    element.disabled = true;
    void run();
  });
  return element;
}

/** @param {Plan} plan */
function price(plan) {
  const parts = Object.entries(plan.credits).map(([provider, range]) => `${range.high} credits of ${provider}`);
  if (plan.budget !== null) parts.unshift(`${money(plan.usd.expected)}, at most ${money(plan.budget)}`);
  return parts.length ? parts.join(" and ") : plan.jobs ? "no known price" : "nothing to pay";
}

/** @param {Plan} plan */
function scope(plan) {
  return plan.jobs
    ? `${count(plan.jobs, "request")}, ${count(plan.images, "image")}, about ${duration(plan.seconds)}`
    : "No request would be sent.";
}

/** @param {Order} order @param {Plan} plan */
function label(order, plan) {
  const what = order.action === "redo" ? "Make again" : "Retry";
  const limit = plan.budget === null ? "" : ` for at most ${money(plan.budget)}`;
  return `${what} ${number(plan.jobs)}${limit}`;
}
