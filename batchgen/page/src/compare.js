/** Comparison of two to four pictures: zoom and pan are shared, marks are set in each pane. */

import { iconButton, textButton } from "./buttons.js";
import { Candidates } from "./candidates.js";
import { ComparePane } from "./compare_pane.js";
import { compareKeys } from "./compare_keys.js";
import { h, setAttribute, setText } from "./dom.js";
import { pictureOf } from "./edits.js";
import { addKeys } from "./keys.js";
import { changeTitle, markWords } from "./marker.js";
import { cover } from "./modal.js";
import { Originals } from "./originals.js";
import { Zoom } from "./zoom.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").MarkChange} MarkChange */

export const MOST = 4;

export class Comparison {
  /** @type {ComparePane[]} */
  panes = [];
  at = 0; // of the pane that keys act on
  zoom = new Zoom();
  difference = false;
  #flicker = 0; // how many panes further the other picture is taken from
  #originals = new Originals();
  #title = h("b", { id: "compare-title" });
  #live = h("p", { class: "vh", role: "status", "aria-live": "polite" });
  #place = h("div", { class: "compare-panes", tabindex: "-1" });

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.candidates = new Candidates(page, (row) => this.toggle(row));
    this.percent = textButton("", "Fit or 100 % (Z)", () => this.toggleZoom(), { classes: "percent" });
    const title = "Difference from the chosen picture: black where they are equal (D)";
    this.differs = textButton("Difference", title, () => this.toggleDifference());
    const keep = { class: "btn keep", type: "button", title: "Pick the chosen one, reject the others (K)" };
    const hint = (/** @type {string} */ keys, /** @type {string} */ text) =>
      h(
        "span",
        {},
        keys.split(" ").map((key) => h("kbd", { text: key })),
        text,
      );
    const hints = [hint("← →", "choose"), hint("Space", "flicker"), hint("K", "keep this, reject the others")];
    const head = h(
      "header",
      { class: "full-head" },
      h(
        "div",
        { class: "who" },
        iconButton("left", "Back (Esc)", () => page.view.close()),
        this.#title,
      ),
      h("div", { class: "hints" }, hints),
      h(
        "div",
        { class: "tools" },
        this.differs,
        this.percent,
        h("button", { ...keep, onclick: () => this.keep() }, "Keep this one"),
      ),
    );
    this.element = h(
      "div",
      { class: "compare", role: "dialog", "aria-modal": "true", "aria-labelledby": "compare-title", hidden: true },
      head,
      this.#place,
      this.candidates.element,
      this.#live,
    );
    this.zoom.changed = () => this.#percent();
    document.body.append(this.element);
    this.cover = cover(this.element, () => this.#place);
  }

  get rows() {
    return this.panes.map((pane) => pane.row);
  }

  get pane() {
    return this.panes[this.at];
  }

  /** Follow the view. */
  update() {
    const { comparison } = this.page.view;
    if (!comparison.length) return this.#close();
    const rows = comparison.filter((row) => pictureOf(this.page, row)).slice(0, MOST);
    if (rows.length < 2) return this.#find(rows[0] ?? comparison[0]);
    const opens = !this.panes.length;
    if (opens) this.cover.open();
    this.#arrange(rows);
    this.at = Math.min(this.at, this.panes.length - 1);
    setText(this.#title, `Compare ${this.panes.length}`);
    this.choose(opens ? 0 : this.at);
  }

  /** @param {number} index */
  choose(index) {
    this.flicker(false);
    this.at = (index + this.panes.length) % this.panes.length;
    this.panes.forEach((pane, number) => pane.setCurrent(number === this.at));
    this.candidates.show(this.pane.row, this.rows);
    this.#showDifference();
    this.#percent();
    this.announce();
  }

  /** Mark the chosen picture; pick and reject go on to the next pane.
   * @param {MarkChange} change @param {boolean} [stay] */
  mark(change, stay = false) {
    this.page.marks.change([this.pane.row], change, changeTitle(change));
    const last = this.at === this.panes.length - 1;
    if (change.mark && !stay && this.page.view.auto && !last) this.choose(this.at + 1);
    else this.announce();
  }

  /** Pick the chosen picture and reject the others, in one step of undo. */
  keep() {
    const chosen = this.pane.row;
    /** @type {Map<number, MarkChange>} */
    const changes = new Map(this.rows.map((row) => [row, { mark: row === chosen ? "pick" : "reject" }]));
    this.page.marks.changeEach(changes, "Kept", `${this.pane.picture.title}, rejected ${changes.size - 1}`);
    this.announce();
  }

  /** Add a picture to the comparison, or take it out. @param {number} row */
  toggle(row) {
    const rows = this.rows;
    const index = rows.indexOf(row);
    if (index >= 0 && rows.length === 2) return this.page.toast("A comparison has two pictures at least");
    if (index >= 0) rows.splice(index, 1);
    else if (rows.length < MOST) rows.push(row);
    else rows[this.at === MOST - 1 ? MOST - 2 : MOST - 1] = row;
    this.page.view.compare(rows);
  }

  /** While on, the chosen pane shows the picture of the next one; each time that of one further. @param {boolean} on */
  flicker(on) {
    const other = (this.#flicker % (this.panes.length - 1)) + 1;
    if (on) this.pane?.overlay(this.panes[(this.at + other) % this.panes.length].picture, "flicker");
    else for (const pane of this.panes) if (pane.overlaid === "flicker") this.#flicker++;
    if (!on) for (const pane of this.panes) pane.overlay(null);
    if (!on) this.#showDifference();
  }

  toggleDifference() {
    this.difference = !this.difference;
    this.#showDifference();
  }

  /** @param {1 | -1} by */
  step(by) {
    this.zoom.step(by, this.pane.stage);
  }

  toggleZoom() {
    this.zoom.toggle(this.pane.stage);
  }

  showMarks() {
    for (const pane of this.panes) pane.showMark();
  }

  announce() {
    const { pane } = this;
    const words = markWords(this.page.marks.get(pane.row));
    setText(this.#live, `${this.at + 1} of ${this.panes.length}, ${pane.picture.title}, ${words}`);
  }

  /** A comparison needs a partner: look for one. @param {number} row */
  #find(row) {
    const partner = this.candidates.best(row);
    if (partner >= 0) return this.page.view.compare([row, partner]);
    this.page.toast("The comparison needs a second picture, and the page shows none");
    if (this.panes.length || this.page.view.full < 0) this.page.view.close();
  }

  /** Keep the panes of rows that stay, make those that join. @param {number[]} rows */
  #arrange(rows) {
    const chosen = this.pane?.row;
    const stays = (/** @type {ComparePane} */ pane) => rows.includes(pane.row) && !pane.outdated;
    const old = new Map(this.panes.filter(stays).map((pane) => [pane.row, pane]));
    for (const pane of this.panes) if (!stays(pane)) pane.drop();
    this.panes = rows.map(
      (row) => old.get(row) ?? new ComparePane(this.page, row, this.#originals, this.zoom, this.#hooks()),
    );
    this.#place.className = `compare-panes n${rows.length}`;
    this.#place.replaceChildren(...this.panes.map((pane) => pane.element));
    this.at = Math.max(0, rows.indexOf(chosen ?? rows[0]));
    this.showMarks();
    for (const pane of this.panes) pane.stage.measure();
  }

  #hooks() {
    return {
      choose: (/** @type {ComparePane} */ pane) => {
        if (pane !== this.pane) this.choose(this.panes.indexOf(pane));
      },
      mark: (/** @type {ComparePane} */ pane, /** @type {MarkChange} */ change) => {
        this.choose(this.panes.indexOf(pane));
        this.mark(change, true);
      },
      remove: (/** @type {ComparePane} */ pane) => this.toggle(pane.row),
    };
  }

  #showDifference() {
    const on = this.difference && this.panes.length > 1;
    this.differs.classList.toggle("on", on);
    setAttribute(this.differs, "aria-pressed", String(on));
    for (const pane of this.panes) pane.overlay(on && pane !== this.pane ? this.pane.picture : null, "difference");
  }

  #percent() {
    const { pane } = this;
    if (!pane) return;
    setText(/** @type {Element} */ (this.percent.lastElementChild), `${this.zoom.percent(pane.stage)} %`);
    setAttribute(this.percent, "aria-label", this.zoom.fitted ? "Fitted; show at 100 %" : "Fit into the panes");
  }

  #close() {
    if (!this.panes.length) return;
    for (const pane of this.panes) pane.drop();
    this.panes = [];
    this.at = 0;
    this.difference = false;
    this.candidates.clear();
    this.zoom.reset();
    this.cover.close();
  }
}

/** @param {Page} page */
export function mountComparison(page) {
  const comparison = new Comparison(page);
  page.view.on("open", () => comparison.update());
  page.view.on("marks", () => comparison.showMarks());
  page.view.on("data", () => comparison.update());
  addKeys(compareKeys(comparison));
  comparison.update();
}
