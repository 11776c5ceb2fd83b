/** Search over prompts and ids: all words in any order, "quoted phrases", -without; case and accents do not count. */

import { fold } from "./format.js";

/** @typedef {import("./types").PageDocument} PageDocument */

/** @typedef {{text: string, without: boolean}} Term */

/** @param {string} query @returns {Term[]} */
export function terms(query) {
  const list = [];
  for (const [, minus, phrase, word] of query.matchAll(/(-?)(?:"([^"]*)"?|([^\s"]+))/g)) {
    const text = fold(phrase ?? word).trim();
    if (text && text !== "-") list.push({ text, without: minus === "-" });
  }
  return list;
}

export class SearchIndex {
  /** @param {PageDocument} page */
  constructor(page) {
    this.page = page;
    /** @type {string[]} */
    this.prompts = [];
    /** @type {string[]} */
    this.keys = [];
  }

  /** Folds texts ahead while the browser is idle, some at a time. */
  prepare() {
    const { words, tiles } = this.page;
    if (this.prompts.length >= words.prompt.length && this.keys.length >= tiles.key.length) return;
    const idle =
      window.requestIdleCallback ?? ((/** @type {(deadline: IdleDeadline) => void} */ run) => setTimeout(run, 16));
    idle(() => {
      const until = performance.now() + 6;
      while (this.prompts.length < words.prompt.length && performance.now() < until)
        this.#foldNext(this.prompts, words.prompt);
      while (this.keys.length < tiles.key.length && performance.now() < until) this.#foldNext(this.keys, tiles.key);
      this.prepare();
    });
  }

  /** @param {string[]} folded @param {string[]} texts */
  #foldNext(folded, texts) {
    for (let left = Math.min(64, texts.length - folded.length); left > 0; left--)
      folded.push(fold(texts[folded.length]));
  }

  /** @param {string} query @returns {Uint8Array | null} 1: the row matches; null: the query is empty */
  find(query) {
    const wanted = terms(query);
    if (!wanted.length) return null;
    const { words, tiles } = this.page;
    while (this.prompts.length < words.prompt.length) this.#foldNext(this.prompts, words.prompt);
    while (this.keys.length < tiles.key.length) this.#foldNext(this.keys, tiles.key);
    const matches = new Uint8Array(tiles.count).fill(1);
    for (const { text, without } of wanted) {
      const prompts = this.prompts.map((prompt) => prompt.includes(text));
      for (let row = 0; row < tiles.count; row++) {
        if (matches[row] && (prompts[tiles.prompt[row]] || this.keys[row].includes(text)) === without) matches[row] = 0;
      }
    }
    return matches;
  }
}
