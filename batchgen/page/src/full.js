/** The full view: one picture with its details and marks, and the keys that go with it. */

import { BeforeAfter } from "./before_after.js";
import { textButton } from "./buttons.js";
import { h, setAttribute, setText } from "./dom.js";
import { nameOf, pictureOf } from "./edits.js";
import { Filmstrip } from "./filmstrip.js";
import { number } from "./format.js";
import { FullHead } from "./full_head.js";
import { fullKeys } from "./full_keys.js";
import { addKeys } from "./keys.js";
import { changeTitle, Marker, markWords } from "./marker.js";
import { absence } from "./absence.js";
import { cover } from "./modal.js";
import { Originals } from "./originals.js";
import { Panel } from "./panel.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").View} View */
/** @typedef {import("./types").MarkChange} MarkChange */

/** Pixels that are decoded ahead of need, at most. */
const AHEAD = 48e6;
/** Pictures that follow each other faster are passed, not looked at. */
const HURRY = 120; // ms
/** Neighbours are loaded once the picture itself had its chance. */
const AHEAD_AFTER = 160; // ms

export class FullView {
  row = -1;
  details = !matchMedia("(max-width: 860px)").matches;
  #position = 0; // of the row; kept when a filter takes the row away
  #timer = 0;
  #panelTimer = 0;
  #sha = ""; // of the picture that is shown
  #moved = 0; // when the picture changed last, ms
  #originals = new Originals();
  #absence = h("div", { class: "absence", hidden: true });
  #live = h("p", { class: "vh", role: "status", "aria-live": "polite" });

  /** @param {Page} page */
  constructor(page) {
    const { view } = page;
    const choose = (/** @type {number} */ index) => this.choose(index);
    this.page = page;
    this.stages = new BeforeAfter(page, this.#originals, (by) => this.go(by));
    this.panel = new Panel(page, choose, () => this.focus());
    this.film = new Filmstrip(page, (row) => view.open(row));
    this.marker = new Marker((change) => this.mark(change));
    this.head = new FullHead(this);
    const note = textButton("Note", "Note (N)", () => this.note(), { icon: "note", classes: "note-button" });
    const turn = () => {
      view.auto = !view.auto;
    };
    const auto = { class: "switch", type: "button", role: "switch", title: "Go on after a mark (A)", onclick: turn };
    this.auto = h("button", auto, "Auto-advance", h("i"));
    this.main = h("div", { class: "full-main", tabindex: "-1" }, this.stages.element, this.#absence);
    this.element = h(
      "div",
      { class: "full", role: "dialog", "aria-modal": "true", "aria-labelledby": "full-title", hidden: true },
      this.head.element,
      this.main,
      this.panel.element,
      h("footer", { class: "full-foot" }, this.marker.element, note, this.film.element, this.auto),
      this.#live,
    );
    this.stages.changed = () => this.head.dress();
    this.stages.onChoose = choose;
    this.stages.zoom.changed = () => this.head.showPercent();
    this.panel.element.hidden = !this.details;
    document.body.append(this.element);
    this.cover = cover(this.element, () => this.main);
  }

  /** Follow the view: open, move on, change the mode, or close. */
  update() {
    const { full, mode } = this.page.view;
    if (full < 0) return this.#close();
    if (this.row < 0) this.cover.open();
    if (full !== this.row) this.#show(full);
    else if (mode !== this.stages.mode) this.stages.show(full, mode);
  }

  /** @param {number} row */
  #show(row) {
    this.row = row;
    this.#sha = this.page.document.tiles.sha[row];
    this.stages.show(row, this.page.view.mode);
    this.#absence.hidden = !!this.stages.picture;
    this.#absence.replaceChildren(...(this.stages.picture ? [] : absence(this.page, row)));
    this.#describe();
    this.showMark();
    this.showPlace();
    this.#announce();
    if (this.page.view.part === "note") this.note();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ahead(), AHEAD_AFTER);
  }

  /** @param {number} by */
  go(by) {
    const next = this.page.view.step(by);
    if (next >= 0) this.page.view.open(next);
    else this.page.toast(by > 0 ? "This is the last picture" : "This is the first picture");
  }

  /** Take in that the data changed: a picture may have arrived or been replaced while it was looked at. */
  refresh() {
    if (this.row < 0 || this.page.document.tiles.sha[this.row] === this.#sha) return;
    this.film.clear();
    this.#show(this.row);
  }

  /** The first or the last picture of those shown. @param {number} index 0 or -1 */
  goTo(index) {
    const row = this.page.view.rows.at(index);
    if (row !== undefined) this.page.view.open(row);
  }

  /** Mark the picture; pick and reject go on to the next. @param {MarkChange} change @param {boolean} [stay] */
  mark(change, stay = false) {
    const { view } = this.page;
    this.panel.saveNote();
    const stays = stay || !change.mark;
    const last = !stays && view.auto && view.step(1) < 0;
    view.mark(change, changeTitle(change), stays);
    if (last) this.page.toast("That was the last picture");
    this.#announce();
  }

  note() {
    if (this.panel.row !== this.row) this.panel.show(this.row);
    if (!this.details) this.toggleDetails();
    this.panel.focusNote();
  }

  toggleDetails() {
    this.details = !this.details;
    this.panel.element.hidden = !this.details;
    this.head.dress();
  }

  toggleMask() {
    if (this.stages.mask) this.stages.setMask(!this.stages.masked);
  }

  /** @param {1 | -1 | "toggle"} by */
  zoom(by) {
    if (by === "toggle") this.stages.zoom.toggle(this.stages.main);
    else this.stages.zoom.step(by, this.stages.main);
  }

  /** Show a picture that came before. @param {number} index */
  choose(index) {
    this.stages.choose(index);
    if (this.page.view.mode === "result") this.page.view.mode = "slider";
  }

  focus() {
    this.main.focus({ preventScroll: true });
  }

  showMark() {
    if (this.row < 0) return;
    const mark = this.page.marks.get(this.row);
    this.marker.show(mark);
    this.film.marks();
    this.panel.refreshNote();
    this.main.dataset.mark = mark?.mark ?? "";
  }

  showAuto() {
    setAttribute(this.auto, "aria-checked", String(this.page.view.auto));
  }

  /** The rows shown changed: place and neighbours follow, the picture stays. */
  showPlace() {
    if (this.row < 0) return;
    const position = this.page.view.position(this.row);
    if (position >= 0) this.#position = position;
    this.#showPlace(position);
  }

  /** Fill the details; while an arrow is held down, only those of the picture it stops at. */
  #describe() {
    const pause = performance.now() - this.#moved;
    this.#moved = performance.now();
    clearTimeout(this.#panelTimer);
    if (pause > HURRY) this.panel.show(this.row);
    else this.#panelTimer = setTimeout(() => this.panel.show(this.row), HURRY);
  }

  #close() {
    if (this.row < 0) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#panelTimer);
    this.panel.clear();
    this.film.clear();
    this.stages.clear();
    this.#originals.ahead([]);
    this.row = -1;
    this.cover.close();
  }

  /** @param {number} position */
  #showPlace(position) {
    const { tiles } = this.page.document;
    const place = `${number(position + 1)} of ${number(this.page.view.rows.length)}`;
    this.head.show(
      nameOf(this.page, this.row),
      tiles.path[this.row] || tiles.key[this.row],
      position < 0 ? "not among those shown" : place,
    );
    this.film.show(this.row, Math.max(0, position < 0 ? this.#position : position));
  }

  #announce() {
    const mark = this.page.marks.get(this.row);
    const place = this.page.view.position(this.row);
    const where = place < 0 ? "" : `${place + 1} of ${this.page.view.rows.length}, `;
    setText(this.#live, `${where}${nameOf(this.page, this.row)}, ${markWords(mark)}`);
  }

  /** Load the neighbours, the next one first, as long as they fit into memory. */
  #ahead() {
    if (this.row < 0) return;
    const { tiles } = this.page.document;
    const urls = [];
    let pixels = 0;
    for (const by of [1, -1, 2, 3]) {
      const row = this.page.view.step(by);
      const picture = row >= 0 && pictureOf(this.page, row);
      if (!picture || !picture.url) continue;
      pixels += (tiles.width[row] || 1024) * (tiles.height[row] || 1024);
      if (pixels <= AHEAD || !urls.length) urls.push(picture.url);
    }
    this.#originals.ahead(urls);
  }
}

/** @param {Page} page */
export function mountFull(page) {
  const view = new FullView(page);
  view.showAuto();
  page.view.on("open", () => {
    view.update();
    if (page.view.full >= 0 && page.view.part === "note") view.note();
    page.view.part = "picture";
  });
  page.view.on("marks", () => view.showMark());
  page.view.on("rows", () => view.showPlace());
  page.view.on("data", () => view.refresh());
  page.view.on("auto", () => view.showAuto());
  addKeys(fullKeys(view));
  view.update();
}
