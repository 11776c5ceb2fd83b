/** The bar that floats while several pictures are selected: marks for all of them at once. */

import { h, setText } from "./dom.js";
import { number } from "./format.js";
import { compare } from "./grid_keys.js";
import { icon } from "./icons.js";
import { announce } from "./page.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */

/** @param {BuiltPage} page @returns {HTMLElement} */
export function selectionBar(page) {
  const { view } = page;
  const label = h("span", { class: "label" });
  const button = (
    /** @type {string} */ text,
    /** @type {string} */ key,
    /** @type {import("./icons").IconName} */ sign,
    /** @type {string} */ tone,
    /** @type {() => void} */ run,
  ) =>
    h(
      "button",
      { class: "btn quiet", type: "button", title: `${text} (${key})`, "aria-label": text, onclick: run },
      icon(sign, tone),
      h("span", { class: "tx", text }),
    );
  const comparison = button("Compare", "C", "compare", "", () => compare(page));
  const element = h(
    "div",
    { class: "float", role: "toolbar", "aria-label": "Selection", hidden: true },
    label,
    h("span", { class: "sep" }),
    button("Pick", "P", "check", "pk", () => view.mark({ mark: "pick" }, "Picked")),
    button("Reject", "X", "x", "rj", () => view.mark({ mark: "reject" }, "Rejected")),
    button("Clear marks", "U", "undo", "", () => view.mark({ mark: null, stars: 0 }, "Cleared")),
    comparison,
    h("span", { class: "sep" }),
    button("Deselect", "Esc", "minus", "", () => view.select([])),
  );
  view.on("selection", () => {
    const size = view.selection.size,
      before = element.hidden;
    element.hidden = size < 1;
    comparison.hidden = size < 2 || size > 4;
    setText(label, `${number(size)} selected`);
    if (size || !before) announce(size ? `${size} selected` : "Nothing selected");
  });
  return element;
}
