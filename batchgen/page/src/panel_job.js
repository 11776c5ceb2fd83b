/** Sections of the details that come from the job's record: parameters, attempts, files. */

import { fileUrl } from "./data.js";
import { h } from "./dom.js";
import { bytes, clock, count, day, duration, money } from "./format.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Detail} Detail */
/** @typedef {Detail["attempts"][number]} Attempt */

/** @type {Record<string, string>} */
const STATES = {
  delivered: "Delivered",
  missed: "Failed",
  open: "Not answered yet",
  at_provider: "At the provider",
  unknown: "Unknown",
};
/** @type {Record<string, string>} class of the dot */
const DOTS = { delivered: "done", missed: "failed", open: "running", unknown: "unknown" };

/** Parameters that are among the facts about the picture already. */
const ELSEWHERE = new Set(["kind", "provider", "model"]);

/** @param {unknown} value */
const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** All that the job asks for. @param {Detail} detail */
export function parameters(detail) {
  const entries = Object.entries(detail.parameters).filter(([name]) => !ELSEWHERE.has(name));
  return (
    entries.length > 0 &&
    h(
      "section",
      {},
      h("h3", { text: "Parameters" }),
      h(
        "dl",
        { class: "parameters" },
        entries.map(([name, value]) => [
          h("dt", { class: "text", text: name }),
          h("dd", { class: "text", text: plain(value) }),
        ]),
      ),
    )
  );
}

/** @param {Attempt} attempt */
function costText(attempt) {
  const cost = [
    attempt.usd && money(attempt.usd),
    attempt.credits && `${attempt.credits} credits`,
    attempt.reserved_usd && `${money(attempt.reserved_usd)} reserved`,
  ];
  return cost.filter(Boolean).join(", ");
}

/** The mode, and for flex the tier in which the answer states that it was carried out. @param {Attempt} attempt */
function modeText({ mode = "standard", tier, state }) {
  if (mode !== "flex" || state !== "delivered") return mode;
  if (!tier) return "flex, not confirmed by the answer";
  return tier === mode ? "flex, confirmed by the answer" : `flex, carried out as ${tier}`;
}

/** The batch or the task in which a call is at its provider. @param {Page} page @param {Attempt} attempt */
function whereText({ document }, attempt) {
  if (!attempt.submission) return `Task ${attempt.task ?? ""}`.trim();
  const place = document.at_provider.find((each) => each.submission === attempt.submission);
  return place?.id ? `Batch ${place.id}` : "In a batch";
}

/** @param {Page} page @param {Attempt} attempt */
function attemptItem(page, attempt) {
  const state = attempt.at_provider ? "at_provider" : attempt.state;
  const title = [STATES[state] ?? state, attempt.cause].filter(Boolean).join(": ");
  return h(
    "li",
    { class: "attempt" },
    h("span", { class: `dot ${DOTS[state] ?? state}` }),
    h("p", { class: "row" }, h("b", { text: title }), h("span", { text: costText(attempt) })),
    h("p", { class: "muted", text: factsText(page, attempt) }),
    attempt.at_provider && h("p", { class: "text", text: whereText(page, attempt) }),
    attempt.message && h("p", { class: "text message", text: attempt.message }),
    h("p", { class: "faint mono", text: [attempt.id, attempt.request_id].filter(Boolean).join(" · ") }),
  );
}

/** @param {Page} page @param {Attempt} attempt */
function factsText({ document: { zone } }, attempt) {
  const seconds = Date.parse(attempt.at) / 1000;
  return [
    `${attempt.provider}${attempt.account ? ` (${attempt.account})` : ""}`,
    attempt.model,
    seconds > 0 && `${day(seconds, zone)}, ${clock(seconds, zone)}`,
    attempt.seconds !== null && duration(attempt.seconds),
    attempt.status && `HTTP ${attempt.status}`,
    modeText(attempt),
    attempt.basis,
    attempt.charged && `charged: ${attempt.charged}`,
    attempt.standard_usd && `standard price: ${money(attempt.standard_usd)}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** The calls that were made for the job, the last one first. @param {Page} page @param {Detail} detail */
export function attempts(page, detail) {
  const items = detail.attempts.toReversed().map((attempt) => attemptItem(page, attempt));
  return h(
    "section",
    {},
    h("h3", { text: items.length ? count(items.length, "attempt") : "No attempts yet" }),
    h("ol", { class: "attempts" }, items),
  );
}

/** Files of the job, the one of the row first, with sidecars and copies.
 * @param {Page} page @param {number} row @param {Detail} detail */
export function files(page, row, detail) {
  const { ordinal } = page.document.tiles;
  const link = (/** @type {string} */ path, /** @type {string} */ sha, text = path) =>
    h("a", { class: "mono", href: fileUrl(page.document, path, sha), target: "_blank", rel: "noreferrer", text });
  const sorted = detail.files.toSorted(
    (one, two) =>
      Number(two.ordinal === ordinal[row]) - Number(one.ordinal === ordinal[row]) || one.ordinal - two.ordinal,
  );
  const items = sorted.map((file) =>
    h(
      "li",
      {},
      link(file.path, file.sha256),
      h(
        "p",
        { class: "faint" },
        [bytes(file.bytes), `${file.width} × ${file.height}`, file.mime].join(", "),
        file.sidecar && !page.document.live && [", ", link(file.sidecar, "", "sidecar")],
      ),
      h("p", { class: "faint mono hash", text: `sha256 ${file.sha256}` }),
    ),
  );
  const copies = detail.copies.map((each) =>
    h(
      "li",
      {},
      page.document.live ? h("span", { class: "mono", text: each.path }) : link(each.path, ""),
      h("p", { class: "faint", text: `copy: ${each.name}` }),
    ),
  );
  return (
    items.length + copies.length > 0 &&
    h(
      "section",
      {},
      h("h3", { text: items.length + copies.length === 1 ? "File" : "Files" }),
      h("ul", { class: "panel-files" }, items, copies),
    )
  );
}
