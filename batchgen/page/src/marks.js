/**
 * Marks of pictures: kept in the browser's storage under the database's and the batch's id, merged with those of the
 * job database. A mark belongs to the file that was marked: once the picture is replaced, it no longer counts.
 */

import { count } from "./format.js";
import { importMarks, marksCsv, marksJson } from "./marks_file.js";
import { download } from "./dom.js";

/** @typedef {import("./types").Mark} Mark */
/** @typedef {import("./types").MarkChange} MarkChange */
/** @typedef {import("./types").MarkEntry} MarkEntry */
/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {(text: string, action?: string, run?: () => void) => void} Toast */

const WRITE_AFTER = 120; // ms; many marks in a row are written once
const UNDO_STEPS = 200;
/** @type {Pick<Mark, "mark" | "stars" | "note">} */
const EMPTY = { mark: null, stars: 0, note: "" };

/** @param {Mark | undefined} mark */
const isEmpty = (mark) => !mark || (!mark.mark && !mark.stars && !mark.note);

/** Whether a value of the storage is a mark. @param {any} value */
function isMark(value) {
  if (!["pick", "reject", null].includes(value?.mark)) return false;
  const isText = [value.note, value.at, value.sha].every((text) => typeof text === "string");
  return isText && [0, 1, 2, 3, 4, 5].includes(value.stars);
}

/** @typedef {import("./types").MarkStore} MarkStore */

/** @implements {MarkStore} */
export class PageMarks {
  /**
   * Marks by key and ordinal; empty ones stay, as they outdate older marks of the database.
   * @type {Map<string, Mark>}
   */
  #marks = new Map();
  /** @type {{title: string, before: Map<string, Mark | undefined>}[]} */
  #undo = [];
  /** @type {((rows: number[]) => void)[]} */
  #changed = [];
  /** @type {((rows: number[]) => void)[]} */
  #shown = [];
  /** @type {Map<string, number>} */
  #rows = new Map();
  #timer = 0;
  #full = false;

  /** @param {PageDocument} page @param {Toast} toast */
  constructor(page, toast) {
    this.page = page;
    this.toast = toast;
    this.storageKey = `batchgen:${page.database}:${page.batch}`;
    for (const [row, mark] of Object.entries(page.tiles.marks)) this.#marks.set(this.#id(Number(row)), mark);
    this.#take(this.#stored());
    addEventListener("storage", (event) => {
      if (event.key === this.storageKey) this.#announce(this.#take(this.#stored()));
    });
    for (const name of ["pagehide", "visibilitychange"]) addEventListener(name, () => this.#write());
  }

  /** Takes in that rows changed: a job may have its first picture now. */
  dataChanged() {
    this.#rows.clear();
  }

  /** @param {number} row */
  #id(row) {
    const { key, ordinal } = this.page.tiles;
    return `${Math.max(0, ordinal[row] + 1)} ${key[row]}`;
  }

  /** @param {number} row */
  get(row) {
    const mark = this.#marks.get(this.#id(row));
    return !isEmpty(mark) && mark?.sha.slice(0, 16) === this.page.tiles.sha[row] ? mark : undefined;
  }

  /** @param {number} row */
  replaced(row) {
    const mark = this.#marks.get(this.#id(row));
    return !isEmpty(mark) && mark?.sha.slice(0, 16) !== this.page.tiles.sha[row] ? mark : undefined;
  }

  /** @param {Iterable<number>} rows @param {MarkChange} change @param {string} title */
  change(rows, change, title) {
    const list = [...rows];
    const subject = list.length === 1 ? this.page.tiles.key[list[0]] : count(list.length, "picture");
    this.changeEach(new Map(list.map((row) => [row, change])), title, subject);
  }

  /** Changes by row as one step of undo. @param {Map<number, MarkChange>} changes @param {string} title
   * @param {string} subject what the toast names beside the title */
  changeEach(changes, title, subject) {
    const at = new Date().toISOString();
    /** @type {Map<string, Mark | undefined>} */
    const before = new Map();
    for (const [row, change] of changes) {
      const id = this.#id(row);
      before.set(id, this.#marks.get(id));
      this.#marks.set(id, { ...EMPTY, ...this.get(row), ...change, at, sha: this.page.tiles.sha[row] });
    }
    this.#undo.push({ title, before });
    if (this.#undo.length > UNDO_STEPS) this.#undo.shift();
    this.#commit([...changes.keys()]);
    this.toast(`${title} ${subject}`, "Undo", () => this.undo());
  }

  undo() {
    const step = this.#undo.pop();
    if (!step) return this.toast("Nothing to undo");
    // The time is now, so that the undone mark wins over the one that another tab or the server has.
    const at = new Date().toISOString();
    for (const [id, mark] of step.before) this.#marks.set(id, { ...EMPTY, sha: "", ...mark, at });
    this.#commit(this.#rowsOf(step.before.keys()));
    this.toast(`Undone: ${step.title.toLowerCase()} ${count(step.before.size, "picture")}`);
  }

  clear() {
    const rows = this.marked().filter((row) => this.get(row));
    if (rows.length) this.change(rows, EMPTY, "Cleared");
  }

  /** @param {number[]} rows */
  #commit(rows) {
    this.#schedule();
    for (const listener of this.#shown) listener(rows);
    for (const listener of this.#changed) listener(rows);
  }

  /** Calls listeners after marks came from elsewhere. @param {Set<string>} ids */
  #announce(ids) {
    if (!ids.size) return;
    const rows = this.#rowsOf(ids);
    for (const listener of this.#shown) listener(rows);
  }

  /** Rows that have a mark, or had one before their picture was replaced. @returns {number[]} */
  marked() {
    return this.#rowsOf(this.#marks.keys());
  }

  /** The rows of marks, in their order; a mark may be of a picture that the page does not hold.
   * @param {Iterable<string>} ids */
  #rowsOf(ids) {
    const rows = [];
    for (const id of ids) {
      const row = this.#index().get(id);
      if (row !== undefined) rows.push(row);
    }
    return rows.sort((a, b) => a - b);
  }

  /** The rows by id; made when it is first needed, longer when rows join. */
  #index() {
    const { count } = this.page.tiles;
    for (let row = this.#rows.size; row < count; row++) this.#rows.set(this.#id(row), row);
    return this.#rows;
  }

  counts() {
    const counts = { pick: 0, reject: 0, stars: 0, note: 0 };
    for (const row of this.marked()) {
      const mark = this.get(row);
      if (mark?.mark) counts[mark.mark]++;
      if (mark?.stars) counts.stars++;
      if (mark?.note) counts.note++;
    }
    return counts;
  }

  /** @param {"pick" | "reject"} mark */
  rows(mark) {
    return this.marked().filter((row) => this.get(row)?.mark === mark);
  }

  /** @returns {MarkEntry[]} */
  entries() {
    return this.marked()
      .filter((row) => this.get(row))
      .map((row) => this.#entry(row));
  }

  /** @param {number} row @returns {MarkEntry} the mark as in marks.json, an empty one for a row without mark */
  #entry(row) {
    const { key, ordinal, sha } = this.page.tiles;
    const { mark, stars, note, at } = this.#marks.get(this.#id(row)) ?? { ...EMPTY, at: new Date().toISOString() };
    return { id: key[row], picture: ordinal[row] + 1, sha256: sha[row], mark, stars, note, at };
  }

  /** @param {number[]} rows @returns {MarkEntry[]} of marks that were just changed, emptied ones too */
  entriesOf(rows) {
    return rows.map((row) => this.#entry(row));
  }

  /** @param {MarkEntry[]} entries @param {boolean} [whole] */
  merge(entries, whole = false) {
    /** @type {Map<string, Mark>} */
    const marks = new Map();
    for (const { id, picture, sha256, mark, stars, note, at } of entries) {
      const place = `${picture} ${id}`,
        before = marks.get(place);
      // A file may name a picture twice: the later mark counts.
      if (before && Date.parse(before.at) > Date.parse(at)) continue;
      marks.set(place, { mark, stars, note, at, sha: sha256 });
    }
    const changed = this.#take(marks);
    if (whole)
      for (const [id, mark] of this.#marks)
        if (!marks.has(id) && !isEmpty(mark)) {
          this.#marks.delete(id);
          changed.add(id);
        }
    if (changed.size) this.#schedule();
    this.#announce(changed);
    return changed.size;
  }

  /** Takes marks in where they are later than those here. @param {Map<string, Mark>} marks @returns {Set<string>} */
  #take(marks) {
    /** @type {Set<string>} */
    const changed = new Set();
    for (const [id, mark] of marks) {
      const mine = this.#marks.get(id);
      if (mine && Date.parse(mine.at) >= Date.parse(mark.at)) continue;
      this.#marks.set(id, mark);
      changed.add(id);
    }
    return changed;
  }

  /** @returns {Map<string, Mark>} */
  #stored() {
    try {
      const stored = JSON.parse(localStorage.getItem(this.storageKey) ?? "{}");
      // All pages that are opened from disk share one storage in some browsers.
      return new Map(Object.entries(stored).filter(([, mark]) => isMark(mark)));
    } catch {
      return new Map();
    }
  }

  #schedule() {
    if (!this.#timer) this.#timer = setTimeout(() => this.#write(), WRITE_AFTER);
  }

  #write() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    try {
      this.#take(this.#stored()); // another tab may have written meanwhile
      localStorage.setItem(this.storageKey, JSON.stringify(Object.fromEntries(this.#marks)));
      this.#full = false;
    } catch {
      if (this.#full) return;
      this.#full = true; // once; every further mark would repeat it
      this.toast(
        "The browser does not keep the marks: its storage is full or off. Save marks.json before you leave.",
        "Save",
        () => this.write("json"),
      );
    }
  }

  /** @param {"json" | "csv"} format */
  write(format) {
    if (format === "json") download("marks.json", marksJson(this.page, this.entries()), "application/json");
    else download("marks.csv", marksCsv(this.entries()), "text/csv");
  }

  /** @param {File} file */
  async read(file) {
    const { entries, problem } = importMarks(this.page, file.name, await file.text());
    if (problem) return this.toast(problem);
    const changed = this.merge(entries);
    this.toast(
      `${count(changed, "mark")} taken from ${file.name}` +
        (changed < entries.length ? `; ${entries.length - changed} were already here, as late or later` : ""),
    );
  }

  /** @param {(rows: number[]) => void} listener after changes made here */
  onChange(listener) {
    this.#changed.push(listener);
  }

  /** @param {(rows: number[]) => void} listener after any change */
  onRows(listener) {
    this.#shown.push(listener);
  }
}
