/** Original files: decoded off the main thread, those of the neighbours ahead of need. */

import { h } from "./dom.js";

/** @typedef {"loading" | "ready" | "missing"} State */

/** An image element that is decoded before it is shown. */
export class Original {
  /** @type {State} */
  state = "loading";
  #dropped = false;

  /** @param {string} url */
  constructor(url) {
    this.url = url;
    this.image = h("img", { class: "original", alt: "", draggable: "false", decoding: "async", src: url });
    this.done = this.#decode();
  }

  /** Decode once more before drawing: the browser may have dropped the pixels since. @returns {Promise<State>} */
  async fresh() {
    await this.done;
    return this.state === "ready" ? this.#decode() : this.state;
  }

  /** Stop loading and give the memory back. */
  drop() {
    this.#dropped = true;
    this.image.remove();
    this.image.removeAttribute("src");
  }

  /** @returns {Promise<State>} */
  async #decode() {
    try {
      await this.image.decode();
      this.state = "ready";
    } catch {
      if (!this.#dropped) this.state = "missing";
    }
    return this.state;
  }
}

/** Originals that wait for their turn; what is shown belongs to its stage. */
export class Originals {
  /** @type {Map<string, Original>} */
  #waiting = new Map();

  /** The original of a URL, for the caller alone. @param {string} url */
  take(url) {
    const original = this.#waiting.get(url) ?? new Original(url);
    this.#waiting.delete(url);
    return original;
  }

  /** Whether the original is decoded already. @param {string} url */
  ready(url) {
    return this.#waiting.get(url)?.state === "ready";
  }

  /** Load these ahead, the first one first, and stop with all others. @param {string[]} urls */
  ahead(urls) {
    for (const [url, original] of this.#waiting) {
      if (urls.includes(url)) continue;
      original.drop();
      this.#waiting.delete(url);
    }
    for (const url of urls) {
      if (!this.#waiting.has(url)) this.#waiting.set(url, new Original(url));
    }
  }
}
