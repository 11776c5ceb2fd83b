/** Pictures that the chosen one may be compared with: of the same prompt, of the same source, alike, or next to it. */

import { segment } from "./buttons.js";
import { h } from "./dom.js";
import { pictureOf } from "./edits.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {"prompt" | "source" | "alike" | "next"} Kin */

/** Candidates of each sort that are offered. */
const OFFERED = 24;
/** @type {[Kin, string][]} */
const SORTS = [
  ["alike", "Alike"],
  ["prompt", "Same prompt"],
  ["source", "Same source"],
  ["next", "Neighbours"],
];

/** Rows of pictures that are akin to one; the picture itself is not among them.
 * @param {Page} page @param {number} row @param {Kin} kin @returns {number[]} */
function akin(page, row, kin) {
  const { tiles } = page.document;
  if (kin === "alike")
    return (tiles.suspects[row] ?? []).map(([, other]) => other).filter((other) => pictured(page, other));
  if (kin === "next") return neighbours(page, row);
  const sources = new Set(tiles.sources[row] ?? []);
  const matches =
    kin === "prompt"
      ? (/** @type {number} */ other) => tiles.prompt[other] === tiles.prompt[row]
      : (/** @type {number} */ other) => (tiles.sources[other] ?? []).some((source) => sources.has(source));
  if (kin === "source" && !sources.size) return [];
  const rows = [];
  for (let other = 0; other < tiles.count && rows.length < OFFERED; other++) {
    if (other !== row && matches(other) && pictured(page, other)) rows.push(other);
  }
  return rows;
}

/** @param {Page} page @param {number} row */
const pictured = (page, row) => row >= 0 && pictureOf(page, row) !== null;

/** Pictures around the row in the order of the view, those that follow first. @param {Page} page @param {number} row */
function neighbours(page, row) {
  const { rows } = page.view;
  const position = Math.max(0, page.view.position(row));
  const around = [
    ...rows.subarray(position, position + OFFERED),
    ...rows.subarray(Math.max(0, position - OFFERED), position).toReversed(),
  ];
  return around.filter((other) => other !== row && pictured(page, other)).slice(0, OFFERED);
}

export class Candidates {
  /** @type {Kin | ""} */
  #chosen = "";
  #row = -1;
  /** @type {number[]} */
  #compared = [];
  element = h("footer", { class: "candidates" });

  /** @param {Page} page @param {(row: number) => void} toggle */
  constructor(page, toggle) {
    this.page = page;
    this.toggle = toggle;
  }

  /** The picture that a comparison of one begins with; -1: there is none. @param {number} row */
  best(row) {
    for (const [kin] of SORTS) {
      const [first] = akin(this.page, row, kin);
      if (first !== undefined) return first;
    }
    return -1;
  }

  /** @param {number} row @param {number[]} compared */
  show(row, compared) {
    this.#row = row;
    this.#compared = compared;
    const offers = SORTS.map((sort) => ({ sort, rows: akin(this.page, row, sort[0]) })).filter(
      ({ rows }) => rows.length,
    );
    const offer = offers.find(({ sort }) => sort[0] === this.#chosen) ?? offers[0];
    this.element.hidden = !offer;
    if (!offer) return;
    const choose = (/** @type {Kin} */ kin) => {
      this.#chosen = kin;
      this.show(this.#row, this.#compared);
    };
    const sorts = offers.map(({ sort }) => sort);
    this.element.replaceChildren(
      segment("Compare with", sorts, offer.sort[0], choose),
      h(
        "div",
        { class: "candidate-strip" },
        offer.rows.map((other) => this.#button(other, compared.includes(other))),
      ),
    );
  }

  clear() {
    this.#chosen = "";
    this.element.replaceChildren();
  }

  /** @param {number} row @param {boolean} inside */
  #button(row, inside) {
    const key = this.page.document.tiles.key[row];
    return h(
      "button",
      {
        type: "button",
        title: key,
        "aria-label": inside ? `${key}, in the comparison` : `Compare with ${key}`,
        "aria-pressed": String(inside),
        onclick: () => this.toggle(row),
      },
      h("img", { src: this.page.thumb(row), alt: "", loading: "lazy", draggable: "false" }),
    );
  }
}
