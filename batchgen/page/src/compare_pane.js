/** One picture of a comparison, with its name and its marks. */

import { iconButton } from "./buttons.js";
import { h } from "./dom.js";
import { nameOf, pictureOf } from "./edits.js";
import { money } from "./format.js";
import { Layer } from "./layer.js";
import { Marker } from "./marker.js";
import { Stage } from "./stage.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").MarkChange} MarkChange */
/** @typedef {import("./layer.js").Picture} Picture */
/** @typedef {import("./originals.js").Originals} Originals */
/** @typedef {import("./zoom.js").Zoom} Zoom */
/**
 * @typedef {{
 *   choose: (pane: ComparePane) => void, remove: (pane: ComparePane) => void,
 *   mark: (pane: ComparePane, change: MarkChange) => void,
 * }} PaneHooks
 */

export class ComparePane {
  /** What lies over the picture: another one in turns, or as a difference. @type {"" | "flicker" | "difference"} */
  overlaid = "";
  /** @type {Layer | null} */
  #over = null;

  /**
   * @param {Page} page @param {number} row
   * @param {Originals} originals @param {Zoom} zoom @param {PaneHooks} hooks
   */
  constructor(page, row, originals, zoom, hooks) {
    const { tiles, words } = page.document;
    this.page = page;
    this.row = row;
    this.sha = tiles.sha[row];
    this.originals = originals;
    this.picture = /** @type {Picture} */ (pictureOf(page, row));
    this.stage = new Stage(originals, zoom);
    this.marker = new Marker((change) => hooks.mark(this, change), { words: false, of: this.picture.title });
    this.over = h("span", { class: "side-label left", hidden: true });
    const facts = [words.provider[tiles.provider[row]], tiles.usd[row] !== null && money(tiles.usd[row])];
    const name = nameOf(page, row);
    this.element = h(
      "section",
      { class: "pane-cell", "aria-label": name, onpointerdown: () => hooks.choose(this) },
      h("div", { class: "pane-stage" }, this.stage.element, this.over),
      h(
        "footer",
        { class: "pane-foot" },
        h(
          "p",
          { class: "name", title: page.prompt(row) },
          h("b", { text: name }),
          " ",
          h("span", { class: "faint", text: facts.filter(Boolean).join(" · ") }),
        ),
        this.marker.element,
        iconButton("minus", `Take ${name} out of the comparison`, () => hooks.remove(this), "remove"),
      ),
    );
    this.stage.show({ picture: this.picture }, this.picture);
  }

  /** Whether the picture was replaced since. */
  get outdated() {
    return this.page.document.tiles.sha[this.row] !== this.sha;
  }

  /** @param {boolean} current */
  setCurrent(current) {
    this.element.classList.toggle("current", current);
    if (current) this.element.setAttribute("aria-current", "true");
    else this.element.removeAttribute("aria-current");
  }

  showMark() {
    const mark = this.page.marks.get(this.row);
    this.marker.show(mark);
    this.element.dataset.mark = mark?.mark ?? "";
  }

  /** Lay another picture over this one, or take it away.
   * @param {Picture | null} picture @param {"flicker" | "difference"} [how] */
  overlay(picture, how = "flicker") {
    this.#over?.drop();
    this.#over = null;
    this.overlaid = picture ? how : "";
    this.over.hidden = !picture;
    if (!picture) return;
    this.#over = new Layer(this.originals, picture, `overlay ${how}`);
    this.#over.place(this.picture.width / this.picture.height, "fit");
    this.#over.load();
    this.stage.add(this.#over);
    this.over.textContent = how === "flicker" ? picture.title : `Difference from ${picture.title}`;
  }

  drop() {
    this.overlay(null);
    this.stage.drop();
    this.element.remove();
  }
}
