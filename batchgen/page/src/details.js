/** Details of jobs: inline, in chunk scripts that load on demand, or from the server of a live page. */

import { h } from "./dom.js";

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").Detail} Detail */

/** Chunks that stay in memory; the one used last goes last. */
const KEPT = 12;

/** @param {PageDocument} page @returns {(row: number) => Promise<Detail>} */
export function detailReader(page) {
  if (page.live) return liveReader(page, page.live.details);
  if (page.details) return async (row) => /** @type {Detail[]} */ (page.details)[page.tiles.job[row]];
  const size = page.chunk ?? 500,
    chunk = chunkLoader();
  return async (row) => {
    const job = page.tiles.job[row];
    return (await chunk(Math.floor(job / size)))[job % size];
  };
}

/** @param {PageDocument} page @param {string} url @returns {(row: number) => Promise<Detail>} */
function liveReader(page, url) {
  return async (row) => {
    const answer = await fetch(url + encodeURIComponent(page.tiles.key[row]));
    if (!answer.ok) throw new Error(`The details cannot be read: HTTP ${answer.status}.`);
    return answer.json();
  };
}

/** Loads chunks as classic scripts, which pages opened from disk may load.
 * @returns {(number: number) => Promise<Detail[]>} */
function chunkLoader() {
  /** @type {Map<number, Promise<Detail[]>>} */
  const chunks = new Map();
  /** @type {Map<number, (details: Detail[]) => void>} */
  const waiting = new Map();
  /** @type {any} */ (window).batchgenDetails = (/** @type {number} */ number, /** @type {Detail[]} */ details) => {
    waiting.get(number)?.(details);
    waiting.delete(number);
  };
  return (number) => {
    const chunk = chunks.get(number) ?? load(number, waiting);
    chunk.catch(() => chunks.delete(number));
    chunks.delete(number);
    chunks.set(number, chunk);
    for (const old of chunks.keys()) if (chunks.size > KEPT) chunks.delete(old);
    return chunk;
  };
}

/** @param {number} number @param {Map<number, (details: Detail[]) => void>} waiting @returns {Promise<Detail[]>} */
function load(number, waiting) {
  const name = `data/${String(number).padStart(4, "0")}.js`;
  return new Promise((resolve, reject) => {
    waiting.set(number, resolve);
    const script = h("script", { src: name });
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      reject(new Error(`The details are in ${name} beside the page, which cannot be read.`));
    };
    document.head.append(script);
  });
}
