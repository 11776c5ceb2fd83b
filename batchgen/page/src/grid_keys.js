/** Keys, mouse and touch on the grid, and keys that work everywhere on the page. */

import { addKeys, keyName } from "./keys.js";
import { openHelp } from "./help.js";
import { openSendBack } from "./send_back.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./grid").Grid} Grid */

const LONG_PRESS = 420; // ms
/** @type {Record<string, [number, number]>} */
const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  h: [-1, 0],
  ArrowRight: [1, 0],
  l: [1, 0],
  ArrowUp: [0, -1],
  k: [0, -1],
  ArrowDown: [0, 1],
  j: [0, 1],
};

/** @param {BuiltPage} page @param {Grid} grid */
export function connectGrid(page, grid) {
  const { view } = page;
  addKeys({ active: () => true, down: (event) => everywhere(page, event) });
  addKeys({
    active: () => view.full < 0 && !view.comparison.length,
    down: (event) => move(page, grid, event) || act(page, grid, event),
    up: (event) => event.key === " " && flicker(page, grid, false),
  });
  addEventListener("blur", () => flicker(page, grid, false));
  connectPointer(page, grid);
}

/** @param {BuiltPage} page @param {KeyboardEvent} event */
function everywhere(page, event) {
  const key = keyName(event),
    control = event.ctrlKey || event.metaKey;
  if (control && key === "z" && !event.shiftKey) page.marks.undo();
  else if (control || event.altKey) return false;
  else if (key === "?") openHelp(page);
  else if (key === "s") openSendBack(page);
  else if (key === "a") {
    page.view.auto = !page.view.auto;
    page.toast(page.view.auto ? "Marking goes to the next picture" : "Marking stays on the picture");
  } else if (key === "/") {
    if (page.view.full >= 0 || page.view.comparison.length) page.view.close();
    const field = /** @type {HTMLInputElement} */ (document.getElementById("search"));
    field.focus();
    field.select();
  } else return false;
  return true;
}

/** @param {BuiltPage} page @param {Grid} grid @param {KeyboardEvent} event */
function move({ view }, grid, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const direction = DIRECTIONS[keyName(event)],
    last = view.rows.length - 1;
  if (last < 0 || (!direction && event.key !== "Home" && event.key !== "End")) return false;
  const from = view.position(view.cursor);
  let to = event.key === "End" ? last : 0;
  if (direction) to = direction[0] ? from + direction[0] : grid.layout.vertical(from, direction[1]);
  view.move(view.rows[Math.min(last, Math.max(0, to))], event.shiftKey);
  grid.showCursor();
  return true;
}

/** @param {BuiltPage} page @param {Grid} grid @param {KeyboardEvent} event */
function act(page, grid, event) {
  const { view } = page,
    key = keyName(event),
    control = event.ctrlKey || event.metaKey;
  if (control && key === "a") {
    view.select(view.rows);
    return true;
  }
  if (control || event.altKey) return false;
  if (key === "Escape") {
    view.select([]);
    return true;
  }
  if (key === "+" || key === "=") view.tile *= 1.18;
  else if (key === "-") view.tile /= 1.18;
  else if (view.cursor < 0) return false;
  else if (key === "Enter" || key === "e") view.open(view.cursor);
  else if (key === " ") flicker(page, grid, true);
  else if (key === "c") compare(page);
  else if (key === "n") view.open(view.cursor, "note");
  else return mark(page, grid, key, event.shiftKey);
  return true;
}

/** @param {BuiltPage} page @param {Grid} grid @param {string} key @param {boolean} stay */
function mark({ view }, grid, key, stay) {
  if (key === "p") view.mark({ mark: "pick" }, "Picked", stay);
  else if (key === "x") view.mark({ mark: "reject" }, "Rejected", stay);
  else if (key === "u") view.mark({ mark: null, stars: 0 }, "Cleared", true);
  else if (/^[0-5]$/.test(key))
    view.mark({ stars: Number(key) }, key === "0" ? "No stars for" : `${"★".repeat(Number(key))} for`, true);
  else return false;
  grid.showCursor();
  return true;
}

/** Compares the targets; a single one with the next picture. @param {BuiltPage} page */
export function compare({ view, document, toast }) {
  const pictures = (/** @type {number[]} */ rows) => rows.filter((row) => document.tiles.ordinal[row] >= 0);
  let rows = pictures(view.targets());
  if (rows.length === 1)
    rows = pictures([rows[0], view.rows[view.position(rows[0]) + 1] ?? view.rows[view.position(rows[0]) - 1] ?? -1]);
  if (rows.length < 2) return toast("Comparing takes two pictures: select two to four");
  if (rows.length > 4) toast(`Compares the first four of ${rows.length} pictures`);
  view.compare(rows);
}

/** @param {BuiltPage} page @param {Grid} grid @param {boolean} on */
function flicker({ view }, grid, on) {
  grid.tileOf(view.cursor)?.flicker(on);
  return true;
}

/** @param {BuiltPage} page @param {Grid} grid */
function connectPointer({ view }, grid) {
  let timer = 0,
    touch = false,
    isLong = false; // the press lasted, and selected its tile
  const rowOf = (/** @type {Event} */ event) => {
    const tile = event.target instanceof Element ? event.target.closest(".tile") : null;
    return tile instanceof HTMLElement ? Number(tile.dataset.row) : -1;
  };
  grid.element.addEventListener("pointerdown", (event) => {
    touch = event.pointerType === "touch";
    isLong = false;
    const row = rowOf(event);
    if (!touch || row < 0) return;
    timer = setTimeout(() => {
      isLong = true;
      view.toggle(row);
    }, LONG_PRESS);
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"])
    grid.element.addEventListener(name, () => clearTimeout(timer));
  addEventListener("scroll", () => clearTimeout(timer), { passive: true });
  grid.element.addEventListener("contextmenu", (event) => {
    if (touch) event.preventDefault();
  });
  grid.element.addEventListener("click", (event) => {
    const row = rowOf(event);
    if (row < 0 || isLong) return;
    const onOpen = event.target instanceof Element && event.target.closest(".open");
    if (event.shiftKey) view.move(row, true);
    else if (event.ctrlKey || event.metaKey || (touch && view.selection.size)) view.toggle(row);
    else if (touch || onOpen) view.open(row);
    else view.move(row);
  });
  grid.element.addEventListener("dblclick", (event) => {
    if (rowOf(event) >= 0 && !touch) view.open(rowOf(event));
  });
}
