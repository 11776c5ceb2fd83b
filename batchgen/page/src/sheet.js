/** Sheets: dialogs over the page, one at a time. Focus, Esc and the inert page behind are the browser's own. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @type {HTMLDialogElement | null} */
let sheet = null;
let numbers = 0;

/**
 * Opens a sheet and returns it; `side` puts it to the right edge (on a phone every sheet rises from below).
 * @param {string} title @param {HTMLElement} body @param {{side?: boolean, closed?: () => void}} [options]
 * @returns {HTMLElement}
 */
export function openSheet(title, body, options = {}) {
  closeSheet();
  const id = `sheet-${++numbers}`;
  const dialog = h(
    "dialog",
    { class: options.side ? "sheet right" : "sheet", "aria-labelledby": id },
    h(
      "header",
      {},
      h("h2", { id, text: title }),
      h(
        "button",
        { class: "btn quiet icon", type: "button", "aria-label": "Close (Esc)", onclick: closeSheet },
        icon("x"),
      ),
    ),
    body,
  );
  body.classList.add("body");
  body.tabIndex = -1;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) closeSheet();
  });
  dialog.addEventListener("wheel", keepPage, { passive: false });
  dialog.addEventListener("close", () => {
    if (sheet === dialog) sheet = null;
    dialog.remove();
    options.closed?.();
  });
  sheet = dialog;
  document.body.append(dialog);
  dialog.showModal();
  body.focus({ preventScroll: true });
  return dialog;
}

export function closeSheet() {
  sheet?.close();
}

/** Keeps the page behind a sheet where it is. @param {WheelEvent} event */
function keepPage(event) {
  if (event.target instanceof Element && !event.target.closest(".body")) event.preventDefault();
}
