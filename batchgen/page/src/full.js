/** The full view: one picture with its details and marks, and the keys that go with it. */

import { BeforeAfter } from "./before_after.js";
import { h, setAttribute, setText } from "./dom.js";
import { MODES, pictureOf } from "./edits.js";
import { Filmstrip } from "./filmstrip.js";
import { number } from "./format.js";
import { icon } from "./icons.js";
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
/** Neighbours are loaded once the picture itself had its chance. */
const AHEAD_AFTER = 160; // ms

export class FullView {
  row = -1;
  #position = 0; // of the row; kept when a filter takes the row away
  #timer = 0;
  #originals = new Originals();
  #title = h("b", { id: "full-title" });
  #place = h("span", { class: "muted" });
  #absence = h("div", { class: "absence", hidden: true });
  #live = h("p", { class: "vh", role: "status", "aria-live": "polite" });
  #modes = h("div", { class: "seg modes", role: "group", "aria-label": "Show" });

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    const button = (
      /** @type {import("./icons.js").IconName} */ name,
      /** @type {string} */ label,
      /** @type {() => void} */ press,
      more = "",
    ) =>
      h(
        "button",
        { class: `btn quiet icon ${more}`, type: "button", "aria-label": label, title: label, onclick: press },
        icon(name),
      );
    this.stages = new BeforeAfter(page, this.#originals, (by) => this.go(by));
    this.stages.changed = () => this.#dress();
    this.stages.onChoose = (index) => this.choose(index);
    this.stages.zoom.changed = () => this.#percent();
    this.panel = new Panel(
      page,
      (index) => this.choose(index),
      () => this.focus(),
    );
    this.film = new Filmstrip(page, (row) => page.view.open(row));
    this.marker = new Marker((change) => this.mark(change));
    this.mask = h(
      "button",
      {
        class: "btn quiet mask",
        type: "button",
        title: "Mask over the picture (M)",
        onclick: () => this.toggleMask(),
      },
      icon("mask"),
      h("span", { text: "Mask" }),
    );
    this.percent = h("button", {
      class: "btn quiet percent",
      type: "button",
      title: "Fit or 100 % (Z)",
      onclick: () => this.zoom("toggle"),
    });
    this.info = button("panel", "Details (I)", () => this.toggleDetails());
    this.auto = h(
      "button",
      {
        class: "switch",
        type: "button",
        role: "switch",
        title: "Go on after a mark (A)",
        onclick: () => {
          page.view.auto = !page.view.auto;
        },
      },
      "Auto-advance",
      h("i"),
    );
    this.element = h(
      "div",
      { class: "full", role: "dialog", "aria-modal": "true", "aria-labelledby": "full-title", hidden: true },
      h(
        "header",
        { class: "full-head" },
        h(
          "div",
          { class: "who" },
          button("left", "Back to all pictures (Esc)", () => page.view.close()),
          this.#title,
          this.#place,
        ),
        this.#modes,
        h(
          "div",
          { class: "tools" },
          this.mask,
          button("compare", "Compare (C)", () => page.view.compare([this.row]), "compare-button"),
          button("zoom-out", "Smaller (-)", () => this.zoom(-1), "not-narrow"),
          this.percent,
          button("zoom-in", "Larger (+)", () => this.zoom(1), "not-narrow"),
          button("left", "The picture before", () => this.go(-1), "not-narrow"),
          button("right", "The next picture", () => this.go(1), "not-narrow"),
          this.info,
        ),
      ),
      h("div", { class: "full-main", tabindex: "-1" }, this.stages.element, this.#absence),
      this.panel.element,
      h(
        "footer",
        { class: "full-foot" },
        this.marker.element,
        h(
          "button",
          {
            class: "btn quiet note-button",
            type: "button",
            title: "Note (N)",
            "aria-label": "Note",
            onclick: () => this.note(),
          },
          icon("note"),
          h("span", { text: "Note" }),
        ),
        this.film.element,
        this.auto,
      ),
      this.#live,
    );
    this.main = /** @type {HTMLElement} */ (this.element.querySelector(".full-main"));
    this.details = !matchMedia("(max-width: 860px)").matches;
    document.body.append(this.element);
    this.cover = cover(page, this.element, () => this.main);
  }

  /** Follow the view: open, move on, change the mode, or close. */
  update() {
    const { full, mode } = this.page.view;
    if (full < 0) return this.#close();
    if (this.row < 0) this.cover.open();
    const moved = full !== this.row;
    this.row = full;
    const position = this.page.view.position(full);
    if (position >= 0) this.#position = position;
    if (moved || mode !== this.stages.mode) this.stages.show(full, mode);
    if (!moved) return;
    this.#absence.hidden = !!this.stages.picture;
    this.#absence.replaceChildren(...(this.stages.picture ? [] : absence(this.page, full)));
    this.panel.show(full);
    this.showMark();
    this.#head(position);
    this.#announce();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ahead(), AHEAD_AFTER);
  }

  /** The row so many places further; from where the row was, if a filter took it away. @param {number} by */
  neighbour(by) {
    const { rows } = this.page.view;
    const position = this.page.view.position(this.row);
    if (position >= 0) return rows[position + by] ?? -1;
    return rows[this.#position + (by > 0 ? by - 1 : by)] ?? -1;
  }

  /** @param {number} by */
  go(by) {
    const next = this.neighbour(by);
    if (next >= 0) this.page.view.open(next);
    else this.page.toast(by > 0 ? "This is the last picture" : "This is the first picture");
  }

  /** The first or the last picture of those shown. @param {number} index 0 or -1 */
  goTo(index) {
    const row = this.page.view.rows.at(index);
    if (row !== undefined) this.page.view.open(row);
  }

  /** Mark the picture; pick and reject go on to the next. @param {MarkChange} change @param {boolean} [stay] */
  mark(change, stay = false) {
    this.panel.saveNote();
    const next = this.neighbour(1);
    this.page.marks.change([this.row], change, changeTitle(change));
    if (!change.mark || stay || !this.page.view.auto) return this.#announce();
    if (next >= 0) this.page.view.open(next);
    else this.page.toast("That was the last picture");
  }

  note() {
    if (!this.details) this.toggleDetails();
    this.panel.focusNote();
  }

  toggleDetails() {
    this.details = !this.details;
    this.#dress();
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

  /** Rows were filtered anew or joined: place and neighbours change, the picture stays. */
  showPlace() {
    if (this.row < 0) return;
    const position = this.page.view.position(this.row);
    if (position >= 0) this.#position = position;
    this.#head(position);
  }

  #close() {
    if (this.row < 0) return;
    clearTimeout(this.#timer);
    this.panel.clear();
    this.film.clear();
    this.stages.clear();
    this.#originals.ahead([]);
    this.row = -1;
    this.cover.close();
  }

  /** @param {number} position */
  #head(position) {
    const { tiles } = this.page.document;
    setText(this.#title, this.#name());
    this.#title.title = tiles.path[this.row] || tiles.key[this.row];
    setText(
      this.#place,
      position < 0 ? "not among those shown" : `${number(position + 1)} of ${number(this.page.view.rows.length)}`,
    );
    this.film.show(this.row, Math.max(0, position < 0 ? this.#position : position));
  }

  #name() {
    const { tiles } = this.page.document;
    return tiles.key[this.row] + (tiles.ordinal[this.row] > 0 ? `, picture ${tiles.ordinal[this.row] + 1}` : "");
  }

  #announce() {
    const mark = this.page.marks.get(this.row);
    const place = this.page.view.position(this.row);
    const where = place < 0 ? "" : `${place + 1} of ${this.page.view.rows.length}, `;
    setText(this.#live, `${where}${this.#name()}, ${markWords(mark)}`);
  }

  /** Bring modes, mask and details in line. */
  #dress() {
    const { stages } = this;
    this.#modes.hidden = !stages.partners.length;
    this.#modes.replaceChildren(
      ...(stages.partners.length ? MODES : []).map(([mode, text]) =>
        h("button", {
          type: "button",
          text,
          "aria-pressed": String(mode === stages.mode),
          onclick: () => {
            this.page.view.mode = mode;
          },
        }),
      ),
    );
    this.mask.hidden = !stages.mask;
    this.mask.classList.toggle("on", stages.masked);
    setAttribute(this.mask, "aria-pressed", String(stages.masked));
    this.info.classList.toggle("on", this.details);
    setAttribute(this.info, "aria-pressed", String(this.details));
    this.panel.element.hidden = !this.details;
  }

  #percent() {
    const { zoom, main } = this.stages;
    setText(this.percent, this.stages.picture ? `${zoom.percent(main)} %` : "");
    this.percent.setAttribute(
      "aria-label",
      `${zoom.percent(main)} %, ${zoom.fitted ? "show at 100 %" : "fit into the window"}`,
    );
  }

  /** Load the neighbours, the next one first, as long as they fit into memory. */
  #ahead() {
    if (this.row < 0) return;
    const { tiles } = this.page.document;
    const urls = [];
    let pixels = 0;
    for (const by of [1, -1, 2, 3]) {
      const row = this.neighbour(by);
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
  page.view.on("auto", () => view.showAuto());
  addKeys(fullKeys(view));
  view.update();
}
