/** The middle of the full view: the picture, and with a partner both as slider, side by side or in turns. */

import { segment } from "./buttons.js";
import { h } from "./dom.js";
import { maskOf, partners, pictureOf, unlike } from "./edits.js";
import { Slider } from "./slider.js";
import { Stage } from "./stage.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").View} View */
/** @typedef {import("./layer.js").Picture} Picture */
/** @typedef {import("./layer.js").Shape} Shape */
/** @typedef {import("./edits.js").Partner} Partner */
/** @typedef {import("./originals.js").Originals} Originals */
/** @typedef {import("./slider.js").Blend} Blend */

/** @type {[Blend, string, string][]} */
const BLENDS = [
  ["wipe", "Wipe", "The handle divides before and after"],
  ["fade", "Overlay", "The handle fades from before to after"],
  ["difference", "Difference", "Black where nothing changed (D)"],
];

/** @type {[Shape, string, string][]} */
const SHAPES = [
  ["fit", "Fit", "All of the picture before"],
  ["fill", "Fill", "The picture before, cut at its edges"],
];

export class BeforeAfter {
  zoom = new Zoom();
  row = -1;
  /** @type {Picture | null} */
  picture = null;
  /** @type {Partner[]} */
  partners = [];
  /** @type {Picture | null} */
  mask = null;
  /** @type {View["mode"]} */
  mode = "result";
  masked = false;
  /** Called after anything of it changed. */
  changed = () => {};
  #partner = 0;
  /** @type {Shape} */
  #shape = "fit";
  /** @type {Blend} */
  #blend = "wipe";
  #labels = { before: h("span", { class: "side-label left" }), after: h("span", { class: "side-label right" }) };
  #inputs = h("div", { class: "inputs", role: "group", "aria-label": "Before: inputs and earlier forms" });
  #controls = h("div", { class: "blends" });

  /** @param {Page} page @param {Originals} originals @param {(by: 1 | -1) => void} swipe */
  constructor(page, originals, swipe) {
    this.page = page;
    this.main = new Stage(originals, this.zoom, swipe);
    this.main.element.classList.add("main");
    this.slider = new Slider(this.main);
    this.originals = originals;
    this.swipe = swipe;
    /** @type {Stage | null} */
    this.side = null;
    this.element = h(
      "div",
      { class: "stages" },
      this.main.element,
      this.#labels.before,
      this.#labels.after,
      h("div", { class: "stage-foot" }, this.#inputs, this.#controls),
    );
  }

  /** @returns {Partner | undefined} */
  get partner() {
    return this.partners[this.#partner];
  }

  /** @param {number} row @param {View["mode"]} mode */
  show(row, mode) {
    const last = this.picture;
    const other = row !== this.row;
    this.row = row;
    this.picture = pictureOf(this.page, row);
    this.partners = partners(this.page, row);
    this.mask = maskOf(this.page, row);
    if (other) this.#partner = 0;
    if (last && (last.width !== this.picture?.width || last.height !== this.picture.height)) this.zoom.reset();
    this.mode = this.partners.length ? mode : "result";
    this.#draw();
  }

  /** @param {number} index */
  choose(index) {
    this.#partner = index;
    this.#draw();
  }

  /** @param {boolean} on */
  setMask(on) {
    this.masked = on && !!this.mask;
    this.element.classList.toggle("masked", this.masked);
    this.changed();
  }

  /** @param {Blend} blend */
  setBlend(blend) {
    this.#blend = blend;
    this.#dress();
  }

  get blend() {
    return this.#blend;
  }

  /** While on, the other picture is seen in place of this one. @param {boolean} on */
  flicker(on) {
    if (!this.partner || this.mode === "sides" || this.element.classList.contains("flicker") === on) return;
    if (on) this.main.layer("before")?.load();
    this.element.classList.toggle("flicker", on);
    this.#label();
  }

  /** Give up what is shown, when the view closes. */
  clear() {
    this.flicker(false);
    this.setMask(false);
    this.row = -1;
    this.picture = null;
    this.#dropSide();
    this.main.show({}, { width: 1, height: 1 });
    this.main.settle();
    this.zoom.reset();
  }

  #draw() {
    const { picture, partner, mask } = this;
    this.element.classList.toggle("empty-stage", !picture);
    this.element.dataset.mode = this.mode;
    if (!picture) {
      this.#dropSide();
      this.main.show({}, { width: 1, height: 1 });
    } else if (this.mode === "sides" && partner) {
      this.side ??= this.#makeSide();
      this.main.show(mask ? { before: partner.picture, mask } : { before: partner.picture }, partner.picture);
      this.side.show(mask ? { after: picture, mask } : { after: picture }, picture);
    } else {
      this.#dropSide();
      this.#drawOne(picture, partner?.picture);
    }
    this.setMask(this.masked);
    this.#dress();
  }

  /** All pictures in one pane; what came before is loaded in full only once it is to be seen.
   * @param {Picture} picture @param {Picture | undefined} before */
  #drawOne(picture, before) {
    /** @type {Record<string, Picture>} */
    const layers = before ? { before, after: picture } : { after: picture };
    if (this.mask) layers.mask = this.mask;
    const lazy = this.mode === "result" ? ["before", "mask"] : [];
    this.main.show(layers, this.mode === "before" && before ? before : picture, this.#shape, lazy);
  }

  /** Bring classes, labels and controls in line with mode, blend and partner. */
  #dress() {
    const slides = this.mode === "slider";
    this.slider.set(slides, this.#blend);
    this.element.classList.toggle("difference", slides && this.#blend === "difference");
    this.#label();
    this.#drawInputs();
    this.#drawControls();
    this.changed();
  }

  /** Show what mode and flicker ask for, with its label. */
  #label() {
    const { before, after } = this.#sides();
    this.element.classList.toggle("shows-before", before);
    this.element.classList.toggle("shows-after", after);
    this.#labels.before.textContent = this.partner?.label ?? "";
    this.#labels.after.textContent = this.partner?.after ?? "";
    this.#labels.before.hidden = !before;
    this.#labels.after.hidden = !after || !this.partner || this.mode === "result";
  }

  #sides() {
    const flickers = this.element.classList.contains("flicker");
    if (this.mode === "sides" || (this.mode === "slider" && !flickers)) return { before: true, after: true };
    const before = this.mode === "slider" || (this.mode === "before") !== flickers;
    return { before, after: !before };
  }

  #drawInputs() {
    this.#inputs.hidden = this.partners.length < 2;
    this.#inputs.replaceChildren(
      ...(this.partners.length < 2 ? [] : this.partners).map((partner, index) =>
        h(
          "button",
          {
            type: "button",
            title: `${partner.label}: ${partner.title}`,
            "aria-label": `${partner.label}: ${partner.title}`,
            "aria-pressed": String(index === this.#partner),
            onclick: () => this.onChoose(index),
          },
          partner.picture.thumb ? h("img", { src: partner.picture.thumb, alt: "" }) : partner.label,
        ),
      ),
    );
  }

  /** A partner was chosen by its button; the full view may change the mode. @param {number} index */
  onChoose(index) {
    this.choose(index);
  }

  #drawControls() {
    const { picture, partner } = this;
    const slides = this.mode === "slider" && partner && picture;
    const controls = [];
    if (slides && unlike(picture, partner.picture)) {
      controls.push(
        segment("Before and after have different shapes", SHAPES, this.#shape, (shape) => {
          this.#shape = shape;
          this.#draw();
        }),
      );
    }
    if (slides) controls.push(segment("Blend", BLENDS, this.#blend, (blend) => this.setBlend(blend)));
    this.#controls.replaceChildren(...controls);
  }

  #makeSide() {
    const side = new Stage(this.originals, this.zoom, this.swipe);
    side.element.classList.add("second");
    this.main.element.after(side.element);
    return side;
  }

  #dropSide() {
    this.side?.drop();
    this.side = null;
  }
}
