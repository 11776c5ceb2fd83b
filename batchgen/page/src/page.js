/** The page as its parts see it: document, view, marks, and the texts and URLs of a row. */

import { fileUrl, readDocument, thumbOf } from "./data.js";
import { detailReader } from "./details.js";
import { PageMarks } from "./marks.js";
import { toast } from "./toast.js";
import { PageView } from "./view.js";

/** @typedef {{view: PageView, marks: PageMarks, isClear: (row: number) => boolean}} Parts isClear: has transparency */
/** @typedef {import("./types").Page & Parts} BuiltPage */

/** @param {ReturnType<typeof readDocument>} document @returns {BuiltPage} */
export function createPage(document) {
  const { tiles, words } = document;
  const marks = new PageMarks(document, (text, action, run) => page.toast(text, action, run));
  const image = (/** @type {number} */ row) => fileUrl(document, tiles.path[row], tiles.sha[row]);
  let withoutThumb = new Set(tiles.no_thumb);
  let clear = new Set(tiles.alpha);
  /** @type {BuiltPage} */
  const page = {
    document,
    marks,
    view: new PageView(document, marks),
    detail: detailReader(document),
    image,
    toast,
    thumb: (row) => (withoutThumb.has(row) ? image(row) : thumbOf(document, tiles.sha[row])),
    prompt: (row) => words.prompt[tiles.prompt[row]] ?? "",
    isClear: (row) => clear.has(row),
  };
  page.view.on("data", () => {
    withoutThumb = new Set(tiles.no_thumb);
    clear = new Set(tiles.alpha);
  });
  return page;
}

/** Has screen readers read a text. @param {string} text */
export function announce(text) {
  const place = document.getElementById("announcements");
  if (place) place.textContent = text;
}
