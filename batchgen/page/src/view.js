/** What the page shows: filters, order, cursor, selection, what is open. Calls its listeners; draws nothing. */

import { FacetCounts } from "./counts.js";
import { facetColumns, failures, updateMarks } from "./filters.js";
import { Topics } from "./topics.js";
import { groupedRows, GROUPS, sortedRows, SORTS } from "./order.js";
import { SearchIndex } from "./search.js";

/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").View} View */

/** Facets that concern jobs without a picture too: `only` takes the filter of states away for them. */
const ANY_STATE = new Set(["cause", "mark"]);
export const TILE = 184; // px, unless the reader chose another size

/** @implements {View} */
export class PageView extends Topics {
  /** @type {Map<Facet, Set<string>>} */
  filters = new Map();
  /** @type {Set<number>} */
  selection = new Set();
  /** @type {number[]} */
  comparison = [];
  cursor = -1;
  full = -1;
  /** The part of the full view that gets the focus when it opens. @type {"picture" | "note"} */
  part = "picture";
  /** The first row of a selection that grows with Shift. */
  anchor = -1;
  #query = "";
  #sort = "manifest";
  #group = "none";
  #tile = TILE;
  #auto = true;
  /** @type {View["mode"]} */
  #mode = "result";
  #stale = true;
  /** Where the picture in full view is or was among the rows. */
  #place = 0;
  /** @type {Uint32Array | null} */
  #order = null;

  /** @param {PageDocument} page @param {import("./marks").PageMarks} marks */
  constructor(page, marks) {
    super();
    this.page = page;
    this.marks = marks;
    this.search = new SearchIndex(page);
    this.columns = facetColumns(page, marks);
    /** @type {{rows: Uint32Array, groups: {title: string, start: number, count: number}[]}} */
    this.shown = { rows: new Uint32Array(), groups: [] };
    this.facetCounts = new FacetCounts(this.columns);
    this.positions = new Int32Array();
    marks.onRows((rows) => this.#marked(rows));
  }

  /** The filters of a page that was just opened: done jobs, where there are any. @returns {Map<Facet, Set<string>>} */
  defaults() {
    const done = this.page.words.state.indexOf("done");
    return this.page.tiles.state.includes(done) && done >= 0 ? new Map([["state", new Set(["done"])]]) : new Map();
  }

  get rows() {
    this.refresh();
    return this.shown.rows;
  }
  get groups() {
    this.refresh();
    return this.shown.groups;
  }
  get counts() {
    this.refresh();
    return this.facetCounts;
  }

  get query() {
    return this.#query;
  }
  set query(query) {
    if (query !== this.#query) {
      this.#query = query;
      this.#choose();
    }
  }
  get sort() {
    return this.#sort;
  }
  set sort(sort) {
    this.#sort = sort in SORTS ? sort : "manifest";
    this.#order = null;
    this.#choose();
  }
  get group() {
    return this.#group;
  }
  set group(group) {
    this.#group = group in GROUPS ? group : "none";
    this.#choose();
  }
  get tile() {
    return this.#tile;
  }
  set tile(tile) {
    this.#tile = Math.min(420, Math.max(84, Math.round(tile) || TILE));
    this.emit("size");
  }
  get auto() {
    return this.#auto;
  }
  set auto(auto) {
    this.#auto = auto;
    this.emit("auto");
  }
  get mode() {
    return this.#mode;
  }
  set mode(mode) {
    this.#mode = mode;
    this.emit("open");
  }

  /** @param {Facet} facet @param {string} value @param {boolean} [on] */
  filter(facet, value, on) {
    const values = new Set(this.filters.get(facet));
    if (on ?? !values.has(value)) values.add(value);
    else values.delete(value);
    if (values.size) this.filters.set(facet, values);
    else this.filters.delete(facet);
    this.#choose();
  }

  /** The values of a facet that are chosen. @param {Facet} facet @returns {string[]} */
  values(facet) {
    return [...(this.filters.get(facet) ?? [])];
  }

  /** Takes all values of a facet away. @param {Facet} facet */
  unfilter(facet) {
    this.filters.delete(facet);
    this.#choose();
  }

  /** @param {Facet} facet @param {string} value */
  only(facet, value) {
    const state = this.filters.get("state");
    this.filters = new Map();
    if (state && facet !== "state" && !ANY_STATE.has(facet)) this.filters.set("state", state);
    this.filters.set(facet, new Set([value]));
    this.#query = "";
    this.#choose();
    this.jump();
  }

  clear() {
    this.filters = new Map();
    this.#query = "";
    this.#choose();
  }

  /** Takes in what the reader chose to see: the cursor is brought into sight. */
  #choose() {
    this.invalidate();
    this.emit("reveal");
  }

  invalidate() {
    this.#stale = true;
    this.emit("rows");
  }

  /** Takes in that rows of the document changed or joined. */
  dataChanged() {
    this.marks.dataChanged();
    this.columns = facetColumns(this.page, this.marks);
    this.facetCounts = new FacetCounts(this.columns);
    this.search = new SearchIndex(this.page);
    this.#order = null;
    this.emit("data");
    this.invalidate();
  }

  /** Takes in other marks. They do not sort again: the pictures stay where the eye left them.
   * @param {number[]} rows */
  #marked(rows) {
    updateMarks(this.columns.mark, this.marks, rows);
    this.facetCounts.forget("mark");
    this.emit("marks");
    if (this.filters.has("mark")) this.invalidate();
  }

  /** Computes the rows again if anything changed that they depend on. */
  refresh() {
    if (!this.#stale) return;
    this.#stale = false;
    this.#order ??= sortedRows(this.page, this.marks, this.#sort);
    const before = this.shown.rows;
    const failed = failures(this.columns, this.filters, this.search.find(this.#query), this.#order.length);
    this.facetCounts.update(failed);
    const rows = this.#order.filter((row) => !failed.misses[row]);
    this.shown = groupedRows(this.page, rows, this.#group);
    const old = this.positions;
    this.positions = new Int32Array(this.page.tiles.count).fill(-1);
    this.shown.rows.forEach((row, index) => {
      this.positions[row] = index;
    });
    this.#settle(before, old);
    if (this.full >= 0 && this.positions[this.full] >= 0) this.#place = this.positions[this.full];
  }

  /** Keeps the cursor on a tile that is shown, the next one after it first, and the selection within what is shown.
   * @param {Uint32Array} before @param {Int32Array} old the rows and their positions until now */
  #settle(before, old) {
    for (const row of this.selection) if (this.positions[row] < 0) this.selection.delete(row);
    if (this.cursor >= 0 && this.positions[this.cursor] >= 0) return;
    const isShown = (/** @type {number} */ row) => this.positions[row] >= 0;
    const place = this.cursor >= 0 ? (old[this.cursor] ?? -1) : -1,
      order = /** @type {Uint32Array} */ (this.#order);
    const after = (/** @type {Uint32Array} */ rows, /** @type {number} */ index) =>
      rows.subarray(Math.max(0, index)).find(isShown);
    const next = place < 0 ? undefined : (after(before, place) ?? before.subarray(0, place).findLast(isShown));
    this.cursor = next ?? after(order, order.indexOf(this.cursor)) ?? this.shown.rows[0] ?? -1;
    this.emit("cursor");
  }

  /** @param {number} row */
  position(row) {
    this.refresh();
    return this.positions[row] ?? -1;
  }

  /** Moves the cursor. Without Shift the selection goes; with it the selection runs from its first row to here.
   * @param {number} row @param {boolean} [extend] */
  move(row, extend = false) {
    if (row < 0) return;
    if (extend) {
      if (this.anchor < 0 || this.position(this.anchor) < 0) this.anchor = this.cursor >= 0 ? this.cursor : row;
      const [from, to] = [this.position(this.anchor), this.position(row)].sort((a, b) => a - b);
      this.select(this.rows.subarray(from, to + 1));
    } else {
      this.anchor = row;
      if (this.selection.size) this.select([]);
    }
    this.cursor = row;
    this.emit("cursor");
  }

  /** @param {Iterable<number>} rows */
  select(rows) {
    this.selection = new Set(rows);
    this.emit("selection");
  }

  /** Adds a row to the selection or takes it out. The cursor's row joins when a selection begins elsewhere.
   * @param {number} row */
  toggle(row) {
    const selection = new Set(this.selection);
    if (!selection.size && this.cursor >= 0 && this.cursor !== row) selection.add(this.cursor);
    if (!selection.delete(row)) selection.add(row);
    this.anchor = this.cursor = row;
    this.select(selection);
    this.emit("cursor");
  }

  targets() {
    this.refresh();
    if (this.selection.size) return [...this.selection].sort((a, b) => this.positions[a] - this.positions[b]);
    return this.cursor >= 0 ? [this.cursor] : [];
  }

  /** @param {number} by */
  step(by) {
    const index = this.position(this.full >= 0 ? this.full : this.cursor);
    if (index >= 0) return this.rows[index + by] ?? -1;
    // The picture in full view left the rows because of its mark: the row after it has taken its place.
    return this.full < 0 ? -1 : (this.rows[this.#place + (by > 0 ? by - 1 : by)] ?? -1);
  }

  /** Marks the picture in full view, or else the targets; a single one hands on to the next when auto-advance is on.
   * @param {import("./types").MarkChange} change @param {string} title @param {boolean} [stay] */
  mark(change, title, stay = false) {
    const rows = this.full >= 0 ? [this.full] : this.targets();
    if (!rows.length) return;
    const next = this.#auto && !stay && rows.length === 1 ? this.step(1) : -1; // before the mark can take the row away
    this.marks.change(rows, change, title);
    if (next < 0) return;
    if (this.full >= 0) this.open(next);
    else this.move(next);
  }

  /** @param {number} row @param {"picture" | "note"} [part] what gets the focus */
  open(row, part = "picture") {
    this.full = row;
    this.part = part;
    this.comparison = [];
    if (this.position(row) >= 0) this.#place = this.position(row);
    if (row >= 0) this.anchor = this.cursor = row;
    this.emit("open");
    this.emit("cursor");
  }

  close() {
    this.full = -1;
    this.comparison = [];
    this.emit("open");
  }

  /** @param {number[]} rows */
  compare(rows) {
    this.comparison = rows.slice(0, 4);
    if (rows.length) this.full = -1;
    this.emit("open");
  }

  jump() {
    this.emit("jump");
  }
}
