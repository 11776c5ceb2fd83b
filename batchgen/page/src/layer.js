/** One picture on a stage: the thumbnail at once, the original over it as soon as it is decoded. */

import { h } from "./dom.js";

/** @typedef {import("./originals.js").Original} Original */
/** @typedef {import("./originals.js").Originals} Originals */
/**
 * A picture to show; `url` and `thumb` are "" where there is none.
 * @typedef {{
 *   url: string, thumb: string, width: number, height: number, alpha: boolean, title: string, path: string,
 * }} Picture
 */
/** How a picture lies in a pane of another shape. @typedef {"fit" | "fill"} Shape */

/** Originals of pictures that are passed quickly are not loaded at all. */
const PATIENCE = 120; // ms

export class Layer {
  /** @type {Original | null} */
  #original = null;
  #timer = 0;
  #dropped = false;
  /** Called when the picture can be seen, and when its original is missing. */
  onShow = () => {};
  onMissing = () => {};
  shows = false;

  /**
   * @param {Originals} originals
   * @param {Picture} picture
   * @param {string} name class of the layer: after, before, mask, other
   * @param {boolean} [lazy] the original is loaded only when `load` is called
   */
  constructor(originals, picture, name, lazy = false) {
    this.originals = originals;
    this.picture = picture;
    this.thumb = picture.thumb
      ? h("img", { class: "thumb", alt: "", draggable: "false", decoding: "sync", src: picture.thumb })
      : null;
    const checker = picture.alpha && name !== "mask"; // through a mask, the picture is seen
    this.frame = h("div", { class: checker ? "picture checker" : "picture" }, this.thumb);
    this.element = h("div", { class: `layer ${name}` }, this.frame);
    if (this.thumb?.complete && this.thumb.naturalWidth) this.shows = true;
    else this.thumb?.addEventListener("load", () => this.#shown(), { once: true });
    if (this.thumb) this.thumb.addEventListener("error", () => this.thumb?.remove(), { once: true });
    if (lazy || !picture.url) this.shows ||= !picture.thumb;
    else if (originals.ready(picture.url)) this.load();
    else this.#timer = setTimeout(() => this.load(), PATIENCE);
  }

  /** Lay the picture into a pane of this ratio. @param {number} ratio width by height @param {Shape} shape */
  place(ratio, shape) {
    const own = this.picture.width / this.picture.height || ratio;
    const wider = own > ratio === (shape === "fit");
    const width = wider ? 1 : own / ratio;
    const height = wider ? ratio / own : 1;
    const percent = (/** @type {number} */ part) => `${(part * 100).toFixed(4)}%`;
    Object.assign(this.frame.style, {
      left: percent((1 - width) / 2),
      top: percent((1 - height) / 2),
      width: percent(width),
      height: percent(height),
    });
  }

  drop() {
    this.#dropped = true;
    clearTimeout(this.#timer);
    this.#original?.drop();
    this.#original = null;
    this.element.remove();
  }

  /** Load the original, if that has not begun. */
  async load() {
    clearTimeout(this.#timer);
    if (this.#original || this.#dropped || !this.picture.url) return;
    const original = (this.#original = this.originals.take(this.picture.url));
    if (original.state === "ready") this.#put(original);
    const state = await original.fresh();
    if (this.#dropped) return;
    if (state === "ready") this.#put(original);
    else this.onMissing();
  }

  /** @param {Original} original */
  #put(original) {
    if (original.image.isConnected) return;
    original.image.decoding = "sync";
    this.frame.append(original.image);
    this.#shown();
    // The thumbnail stays for two frames: the original is then painted, and nothing flashes.
    requestAnimationFrame(() => requestAnimationFrame(() => this.thumb?.remove()));
  }

  #shown() {
    if (this.#dropped || this.shows) return;
    this.shows = true;
    this.onShow();
  }
}
