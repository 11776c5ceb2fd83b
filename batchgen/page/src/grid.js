/** The grid of tiles: only the lines in sight are in the document, and their elements are used again. */

import { observeWindowOffset, observeWindowRect, Virtualizer, windowScroll } from "@tanstack/virtual-core";

import { h, setAttribute, setText } from "./dom.js";
import { number } from "./format.js";
import { GridLayout } from "./layout.js";
import { createTile } from "./tile.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./tile").Tile} Tile */
/** @typedef {{element: HTMLElement, tiles: Tile[], line: number}} LineElement */

const PHONE = 560; // px; up to here tiles are smaller than the slider says
const NARROW = 860;
const OVERSCAN = 4; // lines drawn above and below the window

export class Grid {
  /** Lines in the document, by number. @type {Map<number, LineElement>} */
  #lines = new Map();
  /** @type {LineElement[]} */
  #spare = [];
  #width = 0;
  #caption = 0;
  #heading = 0;
  #over = 0;
  #updating = false;

  /** @param {BuiltPage} page */
  constructor(page) {
    this.page = page;
    this.probe = h(
      "div",
      { class: "probe", "aria-hidden": "true" },
      h("div", { class: "group-title", text: "x" }),
      h("div", { class: "cap" }, h("div", { class: "l1", text: "x" }), h("div", { class: "l2", text: "x" })),
    );
    this.lines = h("div", { class: "lines" });
    this.title = h(
      "div",
      { class: "group-top", "aria-hidden": "true", hidden: true },
      h("div", { class: "group-title" }),
    );
    this.element = h(
      "div",
      { class: "grid", id: "grid", role: "grid", "aria-multiselectable": "true", "aria-label": "Pictures" },
      this.lines,
    );
    this.root = h("div", { class: "grid-root" }, this.probe, this.title, this.element);
    this.layout = new GridLayout(0, [], { columns: 1, line: 1, heading: 1 });
    /** @type {Virtualizer<Window, HTMLElement>} */
    this.virtualizer = new Virtualizer(this.#options());
  }

  /** @returns {import("@tanstack/virtual-core").VirtualizerOptions<Window, HTMLElement>} */
  #options() {
    return {
      count: this.layout.lines,
      getScrollElement: () => window,
      estimateSize: (line) => this.layout.height(line),
      scrollToFn: windowScroll,
      observeElementRect: observeWindowRect,
      observeElementOffset: observeWindowOffset,
      initialRect: { width: innerWidth, height: innerHeight },
      initialOffset: () => scrollY,
      scrollMargin: this.#top(),
      overscan: OVERSCAN,
      onChange: () => {
        if (!this.#updating) this.draw();
      },
    };
  }

  /** Begins to follow the window and the view; call it once the grid is in the document. */
  mount() {
    const { view } = this.page;
    this.virtualizer._didMount();
    view.on("rows", () => this.arrange());
    view.on("size", () => this.arrange(true));
    view.on("reveal", () => {
      if (scrollY > this.#top() - innerHeight / 2) this.reveal(); // a reader of the overview stays there
    });
    view.on("cursor", () => this.draw());
    for (const topic of /** @type {const} */ (["cursor", "selection", "marks"])) view.on(topic, () => this.dress());
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(this.element);
    observer.observe(document.body); // what is above may grow and move the grid
  }

  #resized() {
    if (this.element.clientWidth !== this.#width || this.probe.offsetHeight !== this.#caption + this.#heading)
      this.arrange(true);
    else if (this.#top() !== this.virtualizer.options.scrollMargin) this.#update();
  }

  /** Distance of the grid from the top of the document. */
  #top() {
    return this.root.isConnected ? Math.round(this.element.getBoundingClientRect().top + scrollY) : 0;
  }

  /** Places all tiles. @param {boolean} [keep] whether the tile at the top of the window stays there */
  arrange(keep = false) {
    const { view } = this.page;
    const anchor = keep ? this.#anchor() : null;
    this.#width = this.element.clientWidth;
    this.#heading = /** @type {HTMLElement} */ (this.probe.firstElementChild).offsetHeight;
    this.#caption = this.probe.offsetHeight - this.#heading;
    this.#over = this.#overlay();
    const narrow = innerWidth <= NARROW,
      gap = narrow ? 6 : 10,
      below = narrow ? 8 : 12;
    const wanted = Math.max(84, view.tile * (innerWidth <= PHONE ? 0.58 : narrow ? 0.8 : 1));
    const columns = Math.max(1, Math.floor((this.#width + gap) / (wanted + gap)));
    const side = Math.floor((this.#width - gap * (columns - 1)) / columns);
    this.element.classList.toggle("tiny", side < 112);
    const caption = side < 112 ? this.#caption / 2 : this.#caption;
    this.element.style.setProperty("--side", `${side}px`);
    this.element.style.setProperty("--gap", `${gap}px`);
    const sizes = { columns, line: Math.ceil(side + caption + below), heading: this.#heading };
    this.layout = new GridLayout(view.rows.length, view.groups, sizes);
    setAttribute(this.element, "aria-rowcount", String(this.layout.lines));
    setAttribute(this.element, "aria-colcount", String(columns));
    this.#update();
    if (anchor && view.position(anchor.row) >= 0) {
      const { line } = this.layout.place(view.position(anchor.row));
      scrollTo(0, this.#top() + this.layout.offset(line) - anchor.top);
    }
  }

  /** The first tile in sight and its distance from the top of the window; null where the grid begins in sight. */
  #anchor() {
    if (this.element.getBoundingClientRect().top > 0) return null;
    for (const { tiles, element } of [...this.#lines.values()].sort((a, b) => a.line - b.line)) {
      const { top } = element.getBoundingClientRect();
      if (top >= this.#over - 8 && tiles.length) return { row: tiles[0].row, top };
    }
    return null;
  }

  #update() {
    this.#updating = true; // the virtualizer announces every one of these calls
    this.virtualizer.setOptions(this.#options());
    this.virtualizer.measure();
    this.virtualizer._willUpdate();
    this.#updating = false;
    this.lines.style.height = `${this.layout.offset(this.layout.lines)}px`;
    this.element.hidden = !this.layout.lines || !this.page.view.rows.length;
    for (const line of this.#lines.keys()) if (line >= this.layout.lines) this.#release(line);
    for (const [line, { element }] of this.#lines) {
      if (this.layout.at(line).heading >= 0 !== element.classList.contains("heading")) this.#release(line);
    }
    const focused = this.lines.contains(document.activeElement);
    for (const entry of this.#lines.values()) this.#fill(entry);
    this.draw();
    // The element that has the focus may show another picture by now.
    if (focused) this.tileOf(this.page.view.cursor)?.element.focus({ preventScroll: true });
  }

  /** Draws the lines in sight, and the line of the cursor, so that the focus is not lost. */
  draw() {
    const { view } = this.page,
      lines = new Set(this.virtualizer.getVirtualItems().map(({ index }) => index));
    const position = view.position(view.cursor);
    if (position >= 0) lines.add(this.layout.place(position).line);
    for (const line of this.#lines.keys()) if (!lines.has(line)) this.#release(line);
    for (const line of lines) if (line < this.layout.lines && !this.#lines.has(line)) this.#show(line);
    this.#drawTitle();
  }

  /** Shows marks, selection and cursor of the tiles in the document. */
  dress() {
    for (const { tiles } of this.#lines.values()) for (const tile of tiles) tile.dress();
  }

  /** @param {number} line */
  #release(line) {
    const entry = /** @type {LineElement} */ (this.#lines.get(line));
    this.#lines.delete(line);
    entry.element.hidden = true;
    this.#spare.push(entry);
  }

  /** @param {number} line */
  #show(line) {
    const heading = this.layout.at(line).heading >= 0;
    const index = this.#spare.findIndex(({ element }) => element.classList.contains("heading") === heading);
    const entry = index >= 0 ? this.#spare.splice(index, 1)[0] : this.#create(heading);
    entry.line = line;
    entry.element.hidden = false;
    this.#lines.set(line, entry);
    this.#fill(entry);
  }

  /** @param {boolean} heading @returns {LineElement} */
  #create(heading) {
    const element = h("div", { class: heading ? "line heading" : "line", role: "row" });
    if (heading) element.append(h("div", { class: "group-title", role: "rowheader" }));
    this.lines.append(element);
    return { element, tiles: [], line: -1 };
  }

  /** @param {LineElement} entry */
  #fill({ element, tiles, line }) {
    const { heading, start, end } = this.layout.at(line),
      { rows } = this.page.view;
    element.style.transform = `translateY(${this.layout.offset(line)}px)`;
    setAttribute(element, "aria-rowindex", String(line + 1));
    if (heading >= 0)
      return groupTitle(/** @type {HTMLElement} */ (element.firstElementChild), this.layout.groups[heading]);
    while (tiles.length > end - start) /** @type {Tile} */ (tiles.pop()).element.remove();
    for (let index = 0; index < end - start; index++) {
      if (!tiles[index]) {
        tiles.push(createTile(this.page));
        element.append(tiles[index].element);
        setAttribute(tiles[index].element, "aria-colindex", String(index + 1));
      }
      tiles[index].fill(rows[start + index]);
    }
  }

  /** The title of the group at the top of the window, where its heading has scrolled away. */
  #drawTitle() {
    const { scrollMargin } = this.virtualizer.options;
    const inside = this.layout.headings ? scrollY + this.#over - scrollMargin : 0;
    if (this.title.hidden !== inside <= 0) this.title.hidden = inside <= 0;
    if (inside <= 0) return;
    const item = this.virtualizer.getVirtualItems().find(({ end }) => end - scrollMargin > inside);
    const group = this.layout.groups[this.layout.groupOf(item?.index ?? 0)];
    groupTitle(/** @type {HTMLElement} */ (this.title.firstElementChild), group);
  }

  /** Height of what lies over the top of the grid: the page's head and the bar, which sticks below it. */
  #overlay() {
    const bar = this.root.parentElement?.querySelector(".bar");
    return bar ? Number.parseFloat(getComputedStyle(bar).top) + bar.clientHeight : 0;
  }

  /** Brings the cursor's tile into sight and gives it the focus. */
  showCursor() {
    this.reveal();
    this.draw();
    this.dress();
    this.tileOf(this.page.view.cursor)?.element.focus({ preventScroll: true });
  }

  /** Scrolls as far as it takes to see the cursor's tile. */
  reveal() {
    const position = this.page.view.position(this.page.view.cursor);
    if (position < 0) return;
    const { line } = this.layout.place(position);
    const top = this.#top() + this.layout.offset(line),
      title = this.layout.headings * this.#heading;
    const highest = top + this.layout.lineHeight - innerHeight + 8,
      lowest = top - this.#over - title - 4;
    if (scrollY > lowest) scrollTo(0, Math.max(0, lowest));
    else if (scrollY < highest) scrollTo(0, highest);
  }

  /** @param {number} row @returns {Tile | undefined} the tile of a row, if it is in the document */
  tileOf(row) {
    for (const { tiles } of this.#lines.values()) for (const tile of tiles) if (tile.row === row) return tile;
    return undefined;
  }
}

/** @param {HTMLElement} element @param {import("./layout").Group} group */
function groupTitle(element, { title, count }) {
  if (!element.firstChild) element.append(h("span", { class: "text" }), h("span", { class: "faint" }));
  setText(/** @type {HTMLElement} */ (element.firstElementChild), title);
  setText(/** @type {HTMLElement} */ (element.lastElementChild), number(count));
}
