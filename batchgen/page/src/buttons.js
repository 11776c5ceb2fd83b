/** Buttons of the full view and the comparison. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("./icons.js").IconName} IconName */

/** A button with only an icon. @param {IconName} name @param {string} label @param {() => void} press
 * @param {string} [classes] */
export function iconButton(name, label, press, classes = "") {
  const attributes = { class: `btn quiet icon ${classes}`.trim(), type: "button", "aria-label": label, title: label };
  return h("button", { ...attributes, onclick: press }, icon(name));
}

/** A button of words, perhaps after an icon. @param {string} text @param {string} title @param {() => void} press
 * @param {{ icon?: IconName, classes?: string }} [options] */
export function textButton(text, title, press, options = {}) {
  return h(
    "button",
    { class: `btn quiet ${options.classes ?? ""}`.trim(), type: "button", title, onclick: press },
    options.icon && icon(options.icon),
    h("span", { text }),
  );
}

/** A choice of one among a few, which looks like one piece.
 * @template {string} T
 * @param {string} label @param {[T, string, string?][]} choices value, text and title
 * @param {T} chosen @param {(value: T) => void} choose */
export function segment(label, choices, chosen, choose) {
  return h(
    "div",
    { class: "seg small", role: "group", "aria-label": label },
    choices.map(([value, text, title]) =>
      h("button", {
        type: "button",
        text,
        title,
        "aria-pressed": String(value === chosen),
        onclick: () => choose(value),
      }),
    ),
  );
}
