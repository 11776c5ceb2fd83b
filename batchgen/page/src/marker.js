/** Buttons that mark a picture: pick, reject, stars. */

import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("./types").Mark} Mark */
/** @typedef {import("./types").MarkChange} MarkChange */

/** What a change of marks is called in a toast, before the picture's name. @param {MarkChange} change */
export function changeTitle(change) {
  if (change.mark === "pick") return "Picked";
  if (change.mark === "reject") return "Rejected";
  if (change.mark === null) return "Cleared";
  return change.stars ? `${change.stars} ${change.stars === 1 ? "star" : "stars"} for` : "No stars for";
}

/** A mark as words: "picked, 3 stars". @param {Mark | undefined} mark */
export function markWords(mark) {
  const words = [];
  if (mark?.mark) words.push(mark.mark === "pick" ? "picked" : "rejected");
  if (mark?.stars) words.push(mark.stars === 1 ? "1 star" : `${mark.stars} stars`);
  return words.length ? words.join(", ") : "not marked";
}

export class Marker {
  /** @type {HTMLElement[]} */
  #stars = [];
  #current = 0;

  /**
   * @param {(change: MarkChange) => void} change
   * @param {{ words?: boolean, of?: string }} [options] words: beside the icons; of: the picture, for screen readers
   */
  constructor(change, { words = true, of = "" } = {}) {
    const suffix = of && ` ${of}`;
    this.pick = this.#button("pick", "check", `Pick${suffix}`, words && "Pick", () =>
      change({ mark: this.pick.ariaPressed === "true" ? null : "pick" }),
    );
    this.reject = this.#button("reject", "x", `Reject${suffix}`, words && "Reject", () =>
      change({ mark: this.reject.ariaPressed === "true" ? null : "reject" }),
    );
    const rate = h(
      "div",
      { class: "rate", role: "group", "aria-label": `Stars${suffix}` },
      [1, 2, 3, 4, 5].map((stars) => {
        const star = h(
          "button",
          {
            type: "button",
            "aria-label": stars === 1 ? "1 star" : `${stars} stars`,
            title: `${stars}`,
            onclick: () => change({ stars: this.#current === stars ? 0 : stars }),
          },
          icon("star"),
        );
        this.#stars.push(star);
        return star;
      }),
    );
    this.element = h("div", { class: "marker" }, this.pick, this.reject, rate);
  }

  /** @param {Mark | undefined} mark */
  show(mark) {
    setAttribute(this.pick, "aria-pressed", String(mark?.mark === "pick"));
    setAttribute(this.reject, "aria-pressed", String(mark?.mark === "reject"));
    this.#current = mark?.stars ?? 0;
    this.#stars.forEach((star, index) => {
      star.classList.toggle("on", index < this.#current);
      setAttribute(star, "aria-pressed", String(index + 1 === this.#current));
    });
  }

  /**
   * @param {"pick" | "reject"} name @param {"check" | "x"} sign @param {string} label
   * @param {string | false} text @param {() => void} press
   */
  #button(name, sign, label, text, press) {
    return h(
      "button",
      {
        class: text ? `btn ${name}` : `btn icon ${name}`,
        type: "button",
        "aria-label": label,
        "aria-pressed": "false",
        title: `${label} (${name === "pick" ? "P" : "X"})`,
        onclick: press,
      },
      icon(sign),
      text && h("span", { text }),
    );
  }
}
