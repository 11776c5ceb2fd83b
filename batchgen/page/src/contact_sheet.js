/** Printing: the pictures of the current filter as a contact sheet, all at once instead of those in sight. */

import { h } from "./dom.js";
import { count } from "./format.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */

const MOST = 500; // pictures on paper; more would take the browser minutes

/** @param {BuiltPage} page @param {HTMLElement} section */
export function connectPrint(page, section) {
  const sheet = h("div", { class: "contact-sheet", "aria-hidden": "true" });
  section.append(sheet);
  addEventListener("beforeprint", () => {
    const { view } = page,
      rows = [...view.rows.subarray(0, MOST)],
      left = view.rows.length - rows.length;
    sheet.replaceChildren(...rows.map((row) => entry(page, row)));
    if (left > 0)
      sheet.append(
        h("p", {
          class: "left",
          text: `${count(left, "picture")} more; filter, or use batchgen report --contact-sheet.`,
        }),
      );
  });
  addEventListener("afterprint", () => sheet.replaceChildren());
}

/** @param {BuiltPage} page @param {number} row */
function entry(page, row) {
  const { tiles } = page.document,
    mark = page.marks.get(row);
  const sign = mark?.mark === "pick" ? "✓ " : mark?.mark === "reject" ? "✕ " : "";
  return h(
    "figure",
    {},
    h(
      "div",
      { class: "frame" },
      tiles.ordinal[row] < 0 ? h("span", { text: "no picture" }) : h("img", { src: page.thumb(row), alt: "" }),
    ),
    h(
      "figcaption",
      {},
      h("b", { text: sign }),
      h("span", { text: tiles.key[row] + (tiles.ordinal[row] > 0 ? ` · ${tiles.ordinal[row] + 1}` : "") }),
      h("span", { class: "stars", text: "★".repeat(mark?.stars ?? 0) }),
      mark?.note && h("i", { class: "text", text: mark.note }),
    ),
  );
}
