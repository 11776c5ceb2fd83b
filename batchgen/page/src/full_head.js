/** The head of the full view: what is shown, how, and the tools for looking. */

import { iconButton, segment, textButton } from "./buttons.js";
import { h, setAttribute, setText } from "./dom.js";
import { MODES } from "./edits.js";

/** @typedef {import("./full.js").FullView} FullView */

export class FullHead {
  #title = h("b", { id: "full-title" });
  #place = h("span", { class: "muted" });
  #modes = h("div", { class: "modes" });

  /** @param {FullView} full */
  constructor(full) {
    const { view } = full.page;
    this.full = full;
    this.mask = textButton("Mask", "Mask over the picture (M)", () => full.toggleMask(), {
      icon: "mask",
      classes: "mask",
    });
    this.percent = textButton("", "Fit or 100 % (Z)", () => full.zoom("toggle"), { classes: "percent" });
    this.info = iconButton("panel", "Details (I)", () => full.toggleDetails());
    this.zooms = h(
      "div",
      { class: "zooms" },
      iconButton("compare", "Compare (C)", () => view.compare([full.row])),
      iconButton("zoom-out", "Smaller (-)", () => full.zoom(-1), "not-narrow"),
      this.percent,
      iconButton("zoom-in", "Larger (+)", () => full.zoom(1), "not-narrow"),
    );
    const back = iconButton("left", "Back to all pictures (Esc)", () => view.close());
    const turns = [
      iconButton("left", "The picture before (←)", () => full.go(-1), "not-narrow"),
      iconButton("right", "The next picture (→)", () => full.go(1), "not-narrow"),
    ];
    this.element = h(
      "header",
      { class: "full-head" },
      h("div", { class: "who" }, back, this.#title, this.#place),
      this.#modes,
      h("div", { class: "tools" }, this.mask, this.zooms, turns, this.info),
    );
  }

  /** @param {string} name @param {string} path @param {string} place */
  show(name, path, place) {
    setText(this.#title, name);
    setAttribute(this.#title, "title", path);
    setText(this.#place, place);
  }

  /** Bring modes, mask and details in line. */
  dress() {
    const { stages, details, page } = this.full;
    this.#modes.replaceChildren();
    if (stages.partners.length) {
      const modes = segment("Show", MODES, stages.mode, (mode) => {
        page.view.mode = mode;
      });
      modes.classList.remove("small");
      this.#modes.append(modes);
    }
    this.zooms.hidden = !stages.picture;
    this.mask.hidden = !stages.mask;
    this.mask.classList.toggle("on", stages.masked);
    setAttribute(this.mask, "aria-pressed", String(stages.masked));
    this.info.classList.toggle("on", details);
    setAttribute(this.info, "aria-pressed", String(details));
  }

  showPercent() {
    const { zoom, main } = this.full.stages;
    setText(/** @type {Element} */ (this.percent.lastElementChild), `${zoom.percent(main)} %`);
    const action = zoom.fitted ? "show at 100 %" : "fit into the window";
    setAttribute(this.percent, "aria-label", `${zoom.percent(main)} %, ${action}`);
  }
}
