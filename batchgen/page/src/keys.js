/** Keys of the page: layers get them one after another, the layer added last first. */

import { isField } from "./dom.js";

/** @typedef {import("./types").KeyLayer} KeyLayer */

/** @type {KeyLayer[]} */
const layers = [];

/** @param {KeyLayer} layer */
export function addKeys(layer) {
  layers.unshift(layer);
}

/** Listens on the document, so that keys work whatever has the focus. Fields and open sheets keep their keys. */
export function connectKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (isField(event.target)) {
      if (event.key === "Escape") /** @type {HTMLElement} */ (event.target).blur();
      return;
    }
    if (ofControl(event)) return;
    if (layers.some((layer) => layer.active() && layer.down(event))) event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    const taken = layers.some((layer) => layer.active() && layer.up?.(event));
    if (taken && !ofControl(event)) event.preventDefault(); // a button is pressed when Space comes up
  });
  document.addEventListener("click", giveBack);
}

/** Whether the key belongs to the control that has the focus: Enter and Space press buttons.
 * @param {KeyboardEvent} event */
function ofControl(event) {
  if (!(event.target instanceof Element)) return false;
  if (event.key === "Enter" || event.key === " ") {
    return event.target.closest("button, a[href], summary, [role=slider]") !== null;
  }
  return event.key.startsWith("Arrow") && event.target.matches('input[type="range"], [role="slider"], [role="tab"]');
}

/** A button that was pressed by mouse gives the focus back, so that Space and Enter go to the pictures.
 * @param {MouseEvent} event */
function giveBack(event) {
  if (!event.detail || !(event.target instanceof Element)) return;
  const button = event.target.closest("button, input[type=range]");
  if (button instanceof HTMLElement && !button.closest("dialog")) button.blur();
}

/** The key as the tables of keys name it: letters in lower case. @param {KeyboardEvent} event */
export function keyName(event) {
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}
