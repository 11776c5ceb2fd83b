/** The filmstrip: the neighbours of the picture in full view. Only those that fit are in the page. */

import { h, setAttribute } from "./dom.js";
import { holds } from "./edits.js";
import { clamp } from "./zoom.js";

/** @typedef {import("./types").Page} Page */

const PITCH = 52; // px from one thumbnail to the next
const GAP = 4; // px between two of them

export class Filmstrip {
  /** @type {Map<number, HTMLButtonElement>} */
  #buttons = new Map();
  #row = -1;
  #room = 1; // px

  /** @param {Page} page @param {(row: number) => void} open */
  constructor(page, open) {
    this.page = page;
    this.open = open;
    this.strip = h("div", { class: "film-strip" });
    this.element = h("div", { class: "film", role: "group", "aria-label": "Neighbours" }, this.strip);
    new ResizeObserver(() => this.#measure()).observe(this.element);
  }

  /** @param {number} row @param {number} position of the row among those shown */
  show(row, position) {
    this.#row = row;
    const { rows } = this.page.view;
    // As many on each side as fit in all: at an edge they fill the strip, else they are loaded ahead.
    const places = Math.ceil(this.#room / PITCH);
    const from = Math.max(0, position - places);
    const wanted = rows.subarray(from, position + places + 1);
    const wantedSet = new Set(wanted);
    for (const [old, button] of this.#buttons) {
      if (wantedSet.has(old)) continue;
      button.remove();
      this.#buttons.delete(old);
    }
    wanted.forEach((other, index) => {
      const button = this.#button(other);
      if (this.strip.children[index] !== button) this.strip.insertBefore(button, this.strip.children[index] ?? null);
      if (other === row) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    this.strip.style.transform = `translateX(${this.#offset(position, from)}px)`;
    this.marks();
  }

  /** The current one in the middle, but no room wasted before the first and after the last. A few lie in the middle.
   * @param {number} position @param {number} from position of the first button */
  #offset(position, from) {
    const { length } = this.page.view.rows;
    const room = this.#room;
    const all = length * PITCH - GAP;
    const start = all <= room ? (all - room) / 2 : clamp(position * PITCH + (PITCH - GAP - room) / 2, 0, all - room);
    return Math.round(from * PITCH - start);
  }

  /** Bring the signs of marks up to date. */
  marks() {
    for (const [row, button] of this.#buttons) setAttribute(button, "data-mark", this.page.marks.get(row)?.mark ?? "");
  }

  clear() {
    this.#row = -1;
    this.#buttons.clear();
    this.strip.replaceChildren();
  }

  #measure() {
    this.#room = this.element.clientWidth;
    if (this.#row >= 0) this.show(this.#row, Math.max(0, this.page.view.position(this.#row)));
  }

  /** @param {number} row */
  #button(row) {
    let button = this.#buttons.get(row);
    if (button) return button;
    const { tiles, words } = this.page.document;
    const pictured = tiles.ordinal[row] >= 0 && !holds(tiles.no_thumb, row);
    button = h(
      "button",
      {
        type: "button",
        tabindex: "-1",
        "aria-label": tiles.key[row],
        title: tiles.key[row],
        onclick: () => this.open(row),
      },
      pictured
        ? h("img", { src: this.page.thumb(row), alt: "", decoding: "sync", draggable: "false" })
        : h("span", { class: `dot ${words.state[tiles.state[row]]}` }),
    );
    this.#buttons.set(row, button);
    return button;
  }
}
