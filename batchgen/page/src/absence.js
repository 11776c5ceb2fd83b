/** What the full view shows for a job without a picture. */

import { commandBox, prose } from "./command.js";
import { h } from "./dom.js";
import { quote } from "./format.js";

/** @typedef {import("./types").Page} Page */

/** @type {Record<string, [string, string]>} state: headline, and what to do */
const STATES = {
  failed: ["The job failed", "Its attempts and the provider's words are among the details."],
  unknown: ["The call was sent and never answered", "It may have been charged, so it is not repeated by itself."],
  pending: ["Not made yet", "The job waits for the next run."],
  running: ["In progress", "The picture appears in the next report."],
  at_provider: ["At the provider", "The next run collects it, and does not send it again."],
  cancelled: ["Cancelled", "The job is not run unless it is retried."],
  done: ["The job is done and has no picture", "Its files may have been removed."],
};

const WAITING = new Set(["pending", "at_provider"]);
const RETRIED = new Set(["unknown", "cancelled"]);

/** @param {Page} page @param {number} row @returns {HTMLElement[]} */
export function absence(page, row) {
  const { tiles, words, needs, commands, head } = page.document;
  const state = words.state[tiles.state[row]];
  const cause = words.cause[tiles.cause[row]];
  const need = needs.find((each) => each.state === state && each.cause === cause);
  const [headline, meaning] = STATES[state] ?? [state, ""];
  const runs = state === "running" || (WAITING.has(state) && head.in_progress);
  const actionable = !runs && state !== "done";
  return [
    h("span", { class: `dot ${state}` }),
    h("b", { text: need ? `${headline}: ${need.title.toLowerCase()}` : headline }),
    prose(need?.meaning ?? meaning),
    ...(need?.todo ? [prose(need.todo)] : []),
    message(page, row),
    ...(actionable ? [commandBox(commandOf(commands, state, tiles.key[row]))] : []),
  ];
}

/** @param {import("./types").Commands} commands @param {string} state @param {string} key */
function commandOf(commands, state, key) {
  if (state === "at_provider") return commands.collect;
  const verb = state === "pending" ? commands.run : commands.retry;
  // Without a state, retry takes failed jobs.
  return `${verb}${RETRIED.has(state) ? ` --status ${state}` : ""} --id ${quote(key)}`;
}

/** The provider's own words about the job, once its details are here. @param {Page} page @param {number} row */
function message(page, row) {
  const element = h("p", { class: "text message", hidden: true });
  page.detail(row).then(
    (detail) => {
      element.textContent = detail.message ?? "";
      element.hidden = !detail.message;
    },
    () => {}, // the panel says that the details cannot be read
  );
  return element;
}
