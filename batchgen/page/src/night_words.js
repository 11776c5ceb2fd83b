/** The night in words: what a bar means, the legend, and the same data as a table. */

import { h, svg } from "./dom.js";
import { clock, clockSeconds, count, day, money } from "./format.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Night} Night */
/** @typedef {{from: number, to: number, images: number, usd: number | null}} Bar */

const MESSAGE = 90; // characters of a provider's message in the tip

/** @type {Record<Night["lanes"][number]["spans"][number]["kind"], string>} */
const TROUBLE = { throttled: "throttled", outage: "outage", closed: "lane closed", paused: "lane paused" };

/** Lines about a bar: its time, what was delivered and spent, what went wrong.
 * @param {Page} page @param {Bar[]} bars @param {number} index @returns {string[]} */
export function describeBar(page, bars, index) {
  const bar = bars[index];
  const spent = bars.slice(0, index + 1).reduce((sum, each) => sum + (each.usd ?? 0), 0);
  const priced = bars.some((each) => each.usd !== null);
  return [
    period(page, bar.from, bar.to),
    count(bar.images, "image") + (bar.usd ? `, ${money(bar.usd)}` : ""),
    ...(priced ? [`${money(spent)} spent so far`] : []),
    ...troubles(page.document.night, bar.from, bar.to),
  ];
}

/** "23:10 to 23:20", with the day where the night has several. @param {Page} page @param {number} from
 * @param {number} to seconds after the start */
function period(page, from, to) {
  const { night, zone } = page.document,
    start = Date.parse(night.from) / 1000;
  const several = day(start, zone) !== day(Date.parse(night.to) / 1000, zone);
  const time = night.step < 60 ? clockSeconds : clock;
  return `${several ? `${day(start + from, zone)}, ` : ""}${time(start + from, zone)} to ${time(start + to, zone)}`;
}

/** @param {Night} night @param {number} from @param {number} to @returns {string[]} */
function troubles(night, from, to) {
  const lines = night.lanes.flatMap((lane) =>
    lane.spans
      .filter((span) => span.from < to && span.to > from)
      .map((span) => `${lane.name}: ${TROUBLE[span.kind]}${span.message ? `, ${shorten(span.message)}` : ""}`),
  );
  return [...new Set(lines)];
}

/** @param {string} message */
function shorten(message) {
  return message.length > MESSAGE ? `${message.slice(0, MESSAGE)}…` : message;
}

/** The legend names only what the chart shows. @param {Night} night */
export function legend(night) {
  const kinds = new Set(night.lanes.flatMap((lane) => lane.spans.map((span) => span.kind)));
  const shown = /** @type {[string, string][]} */ (Object.entries(TROUBLE)).filter(([kind]) =>
    kinds.has(/** @type {any} */ (kind)),
  );
  const entries = [["bar", "delivered"], ...shown, ...(night.gaps.length ? [["gap", "between runs"]] : [])];
  return h(
    "ul",
    { class: "legend" },
    entries.map(([kind, word]) =>
      h(
        "li",
        {},
        svg(
          "svg",
          { class: "swatch", viewBox: "0 0 14 8", "aria-hidden": "true" },
          svg("rect", { class: kind, width: 14, height: 8, rx: 2 }),
        ),
        word,
      ),
    ),
  );
}

/** The night as a table for those who do not see the chart; its rows are made when it is opened. @param {Page} page */
export function nightTable(page) {
  const details = h("details", { class: "tabular" }, h("summary", { text: "As a table" }));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(rows(page));
  });
  return details;
}

/** @param {Page} page */
function rows(page) {
  const { night } = page.document;
  const body = night.bars
    .map((images, index) => ({
      images,
      from: index * night.step,
      to: (index + 1) * night.step,
      usd: night.usd[index],
      trouble: troubles(night, index * night.step, (index + 1) * night.step),
    }))
    .filter((row) => row.images || row.trouble.length);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "The night as a table" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Time", "Images", "Spent", "In the way"].map((text) => h("th", { scope: "col", text })),
        ),
      ),
      h(
        "tbody",
        {},
        body.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row", text: period(page, row.from, row.to) }),
            h("td", { text: String(row.images) }),
            h("td", { text: row.usd === null ? "" : money(row.usd) }),
            h("td", { class: "text", text: row.trouble.join("\n") }),
          ),
        ),
      ),
    ),
  );
}
