/** What a picture is compared with: the inputs of its edit, its mask, and earlier forms of the same job. */

import { fileUrl, thumbOf } from "./data.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Source} Source */
/** @typedef {import("./layer.js").Picture} Picture */
/**
 * A picture that came before: an input, or an earlier form; `label` and `after` name the two sides of the slider.
 * @typedef {{
 *   kind: "input" | "earlier", title: string, label: string, after: string, picture: Picture,
 *   at: number, prompt: string,
 * }} Partner
 */

/** How a picture and the one before it are shown. @type {[import("./types").View["mode"], string][]} */
export const MODES = [
  ["result", "Result"],
  ["slider", "Slider"],
  ["sides", "Side by side"],
  ["before", "Before"],
];
/** Where the size is unknown, the picture is laid out as a square of this edge. */
const EDGE = 1024;

/** @param {number} width @param {number} height */
const size = (width, height) => (width && height ? { width, height } : { width: EDGE, height: EDGE });

/** The lists of rows as sets, made once for each state of the data. @type {WeakMap<number[], Set<number>>} */
const sets = new WeakMap();

/** @param {number[]} list @param {number} row */
export function holds(list, row) {
  let set = sets.get(list);
  if (!set || set.size !== list.length) sets.set(list, (set = new Set(list)));
  return set.has(row);
}

/** A picture by the id of its job, and its number from the second on. @param {Page} page @param {number} row */
export function nameOf(page, row) {
  const { key, ordinal } = page.document.tiles;
  return ordinal[row] > 0 ? `${key[row]}, picture ${ordinal[row] + 1}` : key[row];
}

/** The picture of a row; null where its job has none.
 * @param {Page} page @param {number} row @returns {Picture | null} */
export function pictureOf(page, row) {
  const { tiles } = page.document;
  if (tiles.ordinal[row] < 0 || !tiles.sha[row]) return null;
  return {
    url: page.image(row),
    thumb: holds(tiles.no_thumb, row) ? "" : page.thumb(row),
    alpha: holds(tiles.alpha, row),
    title: tiles.key[row],
    path: tiles.path[row],
    ...size(tiles.width[row], tiles.height[row]),
  };
}

/** @param {Page} page @param {Source} source @returns {Picture} */
function sourcePicture(page, source) {
  const name = source.path.split("/").at(-1) ?? source.path;
  return {
    url: source.url ?? "",
    thumb: source.sha ? thumbOf(page.document, source.sha) : "",
    alpha: source.alpha ?? false,
    title: name,
    path: source.path,
    ...size(source.width, source.height),
  };
}

/** Pictures that came before the one of the row, inputs first.
 * @param {Page} page @param {number} row @returns {Partner[]} */
export function partners(page, row) {
  const { tiles, words } = page.document;
  if (!pictureOf(page, row)) return [];
  const inputs = (tiles.sources[row] ?? []).map((number, index, all) => {
    const picture = sourcePicture(page, words.source[number]);
    const label = all.length > 1 ? `Input ${index + 1}` : "Before";
    return {
      kind: /** @type {const} */ ("input"),
      title: picture.title,
      label,
      after: "After",
      picture,
      at: 0,
      prompt: "",
    };
  });
  const earlier = (tiles.earlier[row] ?? []).map((form) => ({
    kind: /** @type {const} */ ("earlier"),
    title: "Earlier form",
    label: "Earlier",
    after: "Now",
    at: form.at,
    prompt: form.prompt ?? "",
    picture: {
      url: fileUrl(page.document, form.path, form.sha),
      thumb: thumbOf(page.document, form.sha),
      alpha: form.alpha ?? false,
      title: form.path.split("/").at(-1) ?? form.path,
      path: form.path,
      ...size(form.width, form.height),
    },
  }));
  return [...inputs, ...earlier];
}

/** @param {Page} page @param {number} row @returns {Picture | null} */
export function maskOf(page, row) {
  const number = page.document.tiles.mask[row];
  return number === undefined ? null : sourcePicture(page, page.document.words.source[number]);
}

/** Whether two pictures differ in ratio by more than a rounding. @param {Picture} one @param {Picture} two */
export function unlike(one, two) {
  return Math.abs((one.width * two.height) / (one.height * two.width) - 1) > 0.01;
}
