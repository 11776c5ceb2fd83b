/** Keys of the comparison. */

import { keyName } from "./keys.js";

/** @typedef {import("./types").KeyLayer} KeyLayer */
/** @typedef {import("./compare.js").Comparison} Comparison */

const PAN = 80; // px
/** @type {Record<string, [number, number]>} */
const PANS = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };
/** Keys of the page, which are in use here too: undo, help, send back, auto-advance. */
const SHARED = new Set(["?", "s", "a", "Tab"]);

/** What each key does. @param {Comparison} comparison @returns {Record<string, (event: KeyboardEvent) => void>} */
function actions(comparison) {
  const { view } = comparison.page;
  const go = (/** @type {number} */ by) => () => comparison.choose(comparison.at + by);
  // Four panes lie two by two, so up and down pass a whole row.
  const down = () => comparison.choose(comparison.at + (comparison.panes.length === 4 ? 2 : 1));
  const up = () => comparison.choose(comparison.at - (comparison.panes.length === 4 ? 2 : 1));
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    Escape: () => view.close(),
    g: () => view.close(),
    c: () => view.close(),
    Enter: () => view.open(comparison.pane.row),
    e: () => view.open(comparison.pane.row),
    ArrowLeft: go(-1),
    ArrowRight: go(1),
    h: go(-1),
    l: go(1),
    ArrowUp: up,
    ArrowDown: down,
    j: down,
    k: () => comparison.keep(),
    d: () => comparison.toggleDifference(),
    p: (event) => comparison.mark({ mark: "pick" }, event.shiftKey),
    x: (event) => comparison.mark({ mark: "reject" }, event.shiftKey),
    u: () => comparison.mark({ mark: null, stars: 0 }),
    z: () => comparison.toggleZoom(),
    "+": () => comparison.step(1),
    "=": () => comparison.step(1),
    "-": () => comparison.step(-1),
    Backspace: () => comparison.toggle(comparison.pane.row),
    Delete: () => comparison.toggle(comparison.pane.row),
    " ": (event) => {
      if (!event.repeat) comparison.flicker(true);
    },
  };
  for (let stars = 0; stars <= 5; stars++) keys[stars] = () => comparison.mark({ stars });
  return keys;
}

/** @param {Comparison} comparison @returns {KeyLayer} */
export function compareKeys(comparison) {
  const keys = actions(comparison);
  addEventListener("blur", () => {
    if (comparison.panes.length) comparison.flicker(false);
  });
  return {
    active: () => comparison.panes.length > 0,
    down(event) {
      const key = keyName(event);
      if (event.ctrlKey || event.metaKey || event.altKey) return key === "a" && (event.ctrlKey || event.metaKey);
      if (key === "/") comparison.page.view.close();
      if (key === "/" || SHARED.has(key)) return false;
      if (event.shiftKey && key in PANS) comparison.zoom.pan(...PANS[key], comparison.pane.stage);
      else keys[key]?.(event);
      return key in keys;
    },
    up(event) {
      if (event.key !== " ") return false;
      comparison.flicker(false);
      return true;
    },
  };
}
