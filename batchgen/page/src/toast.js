/** Toasts: short messages at the foot of the page, with at most one action. A new toast replaces the one before. */

import { h } from "./dom.js";

const SHOWN = 5000; // ms
const SHOWN_WITH_ACTION = 8000;

/** Holder of the toast and live region for screen readers. */
const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Shows a message; the action (such as Undo) is a button beside it.
 * @param {string} text @param {string} [action] @param {() => void} [run]
 */
export function toast(text, action, run) {
  house();
  const button = action ? h("button", { type: "button", text: action }) : null;
  const message = h("div", { class: "toast" }, h("span", { class: "text", text }), button);
  button?.addEventListener("click", () => {
    hide();
    run?.();
  });
  region.replaceChildren(message);
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(hide, action ? SHOWN_WITH_ACTION : SHOWN);
  };
  for (const name of ["pointerenter", "focusin"]) message.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) message.addEventListener(name, wait);
  wait();
}

function hide() {
  clearTimeout(timer);
  region.replaceChildren();
}

/** Puts the region where it can be seen and clicked: a modal dialog makes everything outside itself inert. */
function house() {
  const dialogs = document.querySelectorAll("dialog[open]");
  const holder = dialogs[dialogs.length - 1] ?? document.body;
  if (region.parentElement !== holder) holder.append(region);
}

document.addEventListener("close", house, true); // a message outlives the dialog that it appeared in
