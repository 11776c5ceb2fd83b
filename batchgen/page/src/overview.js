/** The overview: what came out, what it cost, the night, and what needs a decision. */

import { costCard } from "./costs.js";
import { h } from "./dom.js";
import { headSection } from "./head.js";
import { needsCard } from "./needs.js";
import { nightCard } from "./night.js";

/** @typedef {import("./types").Page} Page */

/** @param {Page} page @returns {HTMLElement} */
export function overview(page) {
  const head = headSection(page),
    night = nightCard(page),
    cost = costCard(page),
    needs = needsCard(page);
  const { view } = page;
  redraw(view, head, () => [page.document.head, page.document.night.from, page.document.night.to]);
  redraw(view, night, () => page.document.night);
  redraw(view, cost, () => page.document.costs);
  redraw(view, needs, () => page.document.needs);
  return h(
    "div",
    { class: "overview" },
    head.element,
    h("div", { class: "cards" }, night.element, cost.element),
    needs.element,
  );
}

/** Draws a section again when its part of the data has changed, so that focus and scrolling survive other changes.
 * @param {Page["view"]} view @param {{draw: () => void}} section @param {() => unknown} part */
function redraw(view, section, part) {
  let before = JSON.stringify(part());
  view.on("data", () => {
    const now = JSON.stringify(part());
    if (now !== before) section.draw();
    before = now;
  });
}
