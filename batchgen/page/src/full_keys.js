/** Keys of the full view. */

import { MODES } from "./edits.js";
import { keyName } from "./keys.js";

/** @typedef {import("./types").KeyLayer} KeyLayer */
/** @typedef {import("./full.js").FullView} FullView */

const PAN = 80; // px

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
/** @type {Record<string, number>} */
const STEPS = {
  ArrowLeft: -1,
  ArrowUp: -1,
  ArrowRight: 1,
  ArrowDown: 1,
  h: -1,
  k: -1,
  l: 1,
  j: 1,
  PageUp: -1,
  PageDown: 1,
};
/** Keys of the page, which are in use in the full view too: undo, help, send back, auto-advance. */
const SHARED = new Set(["?", "s", "a"]);

/** What each key does, but for those that step or pan.
 * @param {FullView} full @returns {Record<string, (event: KeyboardEvent) => void>} */
function actions(full) {
  const { page, stages } = full;
  const mode = (/** @type {number} */ by) => {
    if (!stages.partners.length) return;
    const index = MODES.findIndex(([name]) => name === stages.mode);
    page.view.mode = MODES[(index + by + MODES.length) % MODES.length][0];
  };
  const difference = () => {
    if (!stages.partners.length) return;
    const on = stages.mode === "slider" && stages.blend === "difference";
    stages.setBlend(on ? "wipe" : "difference");
    if (stages.mode !== "slider") page.view.mode = "slider";
  };
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    Escape: () => page.view.close(),
    Enter: () => page.view.close(),
    e: () => page.view.close(),
    g: () => page.view.close(),
    Home: () => full.goTo(0),
    End: () => full.goTo(-1),
    p: (event) => full.mark({ mark: "pick" }, event.shiftKey),
    x: (event) => full.mark({ mark: "reject" }, event.shiftKey),
    u: () => full.mark({ mark: null, stars: 0 }),
    n: () => full.note(),
    i: () => full.toggleDetails(),
    m: () => full.toggleMask(),
    c: () => page.view.compare([full.row]),
    z: () => full.zoom("toggle"),
    "+": () => full.zoom(1),
    "=": () => full.zoom(1),
    "-": () => full.zoom(-1),
    v: (event) => mode(event.shiftKey ? -1 : 1),
    d: difference,
    "[": () => stages.slider.move(-5),
    "]": () => stages.slider.move(5),
    " ": (event) => {
      if (!event.repeat) stages.flicker(true);
    },
  };
  for (let stars = 0; stars <= 5; stars++) keys[stars] = () => full.mark({ stars });
  return keys;
}

/** @param {FullView} full @returns {KeyLayer} */
export function fullKeys(full) {
  const { page, stages } = full;
  const keys = actions(full);
  addEventListener("blur", () => stages.flicker(false));
  return {
    active: () => full.row >= 0,
    down(event) {
      const key = keyName(event);
      if (event.ctrlKey || event.metaKey || event.altKey) return key === "a" && (event.ctrlKey || event.metaKey);
      if (SHARED.has(key)) return false;
      if (key === "/") page.view.close();
      if (key === "/" || key === "Tab") return false;
      if (key in STEPS) {
        if (!pans(full, event)) full.go(STEPS[key]);
        return true;
      }
      keys[key]?.(event);
      return key in keys;
    },
    up(event) {
      if (event.key !== " ") return false;
      stages.flicker(false);
      return true;
    },
  };
}

/** Whether the key pans: an arrow, while more of the picture lies that way, or is held down at its edge.
 * @param {FullView} full @param {KeyboardEvent} event */
function pans(full, event) {
  const arrow = ARROWS[event.key];
  const { zoom, main } = full.stages;
  if (!arrow || zoom.scale < 1.005) return false;
  return zoom.pan(arrow[0] * PAN, arrow[1] * PAN, main) || event.repeat || event.shiftKey;
}
