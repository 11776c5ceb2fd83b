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

/** Draws a section again when its part of the data has changed; the focus stays at its place in the section.
 * @param {Page["view"]} view @param {{element: HTMLElement, draw: () => void}} section @param {() => unknown} part */
function redraw(view, section, part) {
  let before = JSON.stringify(part());
  const controls = () => [...section.element.querySelectorAll("button, summary, [tabindex]")];
  view.on("data", () => {
    const now = JSON.stringify(part());
    if (now === before) return;
    before = now;
    const focused = document.activeElement,
      place = focused ? controls().indexOf(focused) : -1;
    section.draw();
    const next = controls()[place];
    if (next instanceof HTMLElement && !focused?.isConnected) next.focus({ preventScroll: true });
  });
}
