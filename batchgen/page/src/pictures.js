/** The section of the pictures: facets, bar and grid, put together. */

import { bar, emptyState } from "./bar.js";
import { h } from "./dom.js";
import { facetList } from "./facets.js";
import { Grid } from "./grid.js";
import { connectGrid } from "./grid_keys.js";
import { connectPrint } from "./contact_sheet.js";
import { selectionBar } from "./selection_bar.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */

/** Fills the section, once it is in the document. @param {BuiltPage} page @param {HTMLElement} section */
export function mountPictures(page, section) {
  const { view } = page,
    grid = new Grid(page);
  section.append(
    h("nav", { class: "side not-narrow", "aria-label": "Filters" }, facetList(page)),
    h("div", { class: "shelf" }, bar(page), grid.root, emptyState(page)),
  );
  document.body.append(selectionBar(page));
  grid.mount();
  connectGrid(page, grid);
  connectPrint(page, section);
  connectFiles(page);
  view.search.prepare();
  view.on("jump", () => {
    if (section.getBoundingClientRect().top > innerHeight * 0.5) section.scrollIntoView();
  });
  let opened = false;
  view.on("open", () => {
    const open = view.full >= 0 || view.comparison.length > 0;
    if (opened && !open) grid.showCursor(); // the focus returns to the tile
    opened = open;
  });
}

/** Takes files of marks in that are dropped on the page. @param {BuiltPage} page */
function connectFiles({ marks }) {
  const holdsFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    for (const file of event.dataTransfer?.files ?? []) marks.read(file);
  });
}
