/** The stage: layers of pictures in one pane, which the zoom places. */

import { h } from "./dom.js";
import { addGestures } from "./gestures.js";
import { Layer } from "./layer.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./layer.js").Picture} Picture */
/** @typedef {import("./layer.js").Shape} Shape */
/** @typedef {import("./originals.js").Originals} Originals */
/** @typedef {import("./zoom.js").Box} Box */

/** A picture that cannot be seen yet leaves the one before it in place for so long. */
const HANDOVER = 250; // ms
const PIXELS = 300; // percent from which the pixels are drawn as squares

export class Stage {
  width = 1;
  height = 1;
  pictureWidth = 1;
  pictureHeight = 1;
  /** @type {Layer[]} */
  layers = [];
  /** Called with the box of the picture after it was placed. @type {(box: Box) => void} */
  onPlace = () => {};
  #pane = h("div", { class: "pane" });
  #notice = h("p", { class: "stage-notice", role: "status", hidden: true });
  /** @type {HTMLElement | null} */
  #old = null;
  /** @type {Layer[]} */
  #oldLayers = [];
  #timer = 0;
  /** @type {Zoom} */
  #zoom;

  /** @param {Originals} originals @param {Zoom} zoom @param {(by: 1 | -1) => void} [swipe] */
  constructor(originals, zoom, swipe) {
    this.originals = originals;
    this.element = h("div", { class: "stage" }, this.#pane, this.#notice);
    this.#zoom = zoom;
    zoom.frames.add(this);
    const drag = (/** @type {number} */ left) => {
      this.element.style.setProperty("--drag", `${left}px`);
    };
    addGestures(this.element, () => this.#zoom, this, swipe ? { swipe, drag } : {});
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.element);
  }

  get zoom() {
    return this.#zoom;
  }

  /**
   * Show pictures, each in a layer of its name, the last one on top. The pane has the size of the given picture.
   * @param {Record<string, Picture>} pictures by the name of the layer
   * @param {{ width: number, height: number }} size
   * @param {Shape} [shape]
   * @param {string[]} [lazy] layers whose originals are not loaded yet
   */
  show(pictures, size, shape = "fit", lazy = []) {
    this.#retire();
    this.#pane = h("div", { class: `pane ${shape}` });
    this.layers = Object.entries(pictures).map(
      ([name, picture]) => new Layer(this.originals, picture, name, lazy.includes(name)),
    );
    this.pictureWidth = size.width || 1;
    this.pictureHeight = size.height || 1;
    for (const layer of this.layers) {
      layer.place(this.pictureWidth / this.pictureHeight, shape);
      layer.onShow = () => this.#takeOver();
      layer.onMissing = () => this.#missing(layer.picture);
      this.#pane.append(layer.element);
    }
    this.#notice.hidden = true;
    this.element.prepend(this.#pane);
    if (this.layers.every((layer) => layer.shows)) this.#takeOver();
    else this.#timer = setTimeout(() => this.settle(), HANDOVER);
    this.#zoom.drawNow();
  }

  /** Lay one more layer over the others. @param {Layer} layer */
  add(layer) {
    this.layers.push(layer);
    this.#pane.append(layer.element);
  }

  /** @param {string} name */
  layer(name) {
    return this.layers.find((layer) => layer.element.classList.contains(name));
  }

  /** @param {Box} box */
  draw(box) {
    Object.assign(this.#pane.style, {
      width: `${box.width}px`,
      height: `${box.height}px`,
      transform: `translate(${box.left}px, ${box.top}px)`,
    });
    this.element.classList.toggle("pixels", this.#zoom.percent(this) >= PIXELS);
    this.element.classList.toggle("large", box.width > this.width + 1 || box.height > this.height + 1);
    this.onPlace(box);
  }

  /** Take in the stage's size, and place the picture. */
  measure() {
    this.width = this.element.clientWidth || 1;
    this.height = this.element.clientHeight || 1;
    this.#zoom.drawNow();
  }

  drop() {
    this.observer.disconnect();
    this.#zoom.frames.delete(this);
    this.#retire();
    this.settle();
    this.element.remove();
  }

  #takeOver() {
    if (this.layers.every((layer) => layer.shows)) this.settle();
  }

  /** The layers so far stay below until those that follow can be seen. */
  #retire() {
    this.settle();
    this.#old = this.#pane;
    this.#oldLayers = this.layers;
    this.layers = [];
  }

  /** Take away what was shown before. */
  settle() {
    clearTimeout(this.#timer);
    for (const layer of this.#oldLayers) layer.drop();
    this.#old?.remove();
    this.#old = null;
    this.#oldLayers = [];
  }

  /** @param {Picture} picture */
  #missing(picture) {
    this.#notice.textContent = picture.thumb
      ? `The original cannot be shown, so this is its thumbnail: ${picture.path} is missing or damaged.`
      : `The picture cannot be shown: ${picture.path} is missing or damaged.`;
    this.#notice.hidden = false;
    this.settle();
  }
}
