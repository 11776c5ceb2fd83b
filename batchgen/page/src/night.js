/** The night: when images arrived and what was in the way; a range of it filters the grid. */

import { h, svg } from "./dom.js";
import { duration } from "./format.js";
import { drawNight } from "./night_chart.js";
import { describeBar, legend, nightTable } from "./night_words.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Night} Night */
/** @typedef {import("./night_chart.js").Drawing} Drawing */

const DRAG = 4; // px that make a drag of a click

/** @param {Page} page @returns {{element: HTMLElement, draw: () => void}} */
export function nightCard(page) {
  const chart = h("div", {
    class: "chart",
    role: "slider",
    tabindex: "0",
    "aria-label": "Time of the night",
    "aria-describedby": "night-keys",
  });
  const element = h("section", { class: "card night", "aria-labelledby": "night-title" });
  const plot = new Plot(page, chart),
    pace = h("span", { class: "faint" }),
    foot = h("div", { class: "foot" });
  const title = h("header", {}, h("h2", { id: "night-title", text: "The night" }), pace);
  const draw = () => {
    const { night } = page.document;
    const empty = !night.bars.some(Boolean) && !night.lanes.some((lane) => lane.spans.length || lane.ticks.length);
    pace.textContent = empty ? "" : night.step === 1 ? "images each second" : `images every ${duration(night.step)}`;
    if (empty) {
      element.replaceChildren(title, h("p", { class: "nothing muted", text: "Nothing has been delivered yet." }));
      return;
    }
    // The chart stays in the page while it is drawn again: it may have the focus.
    if (!element.contains(chart)) element.replaceChildren(title, chart, keyHint(), foot);
    if (!foot.querySelector("details[open]")) foot.replaceChildren(legend(night), nightTable(page));
    plot.draw();
  };
  new ResizeObserver(() => plot.resize()).observe(element);
  page.view.on("rows", () => plot.band());
  draw();
  return { element, draw };
}

function keyHint() {
  return h(
    "p",
    { class: "vh", id: "night-keys" },
    "Left and right move, Shift extends the range, Enter shows the pictures of the range, Escape clears it.",
  );
}

/** The chart with its pointer and keys: one bar is the current one, from where a range extends. */
class Plot {
  /** @param {Page} page @param {HTMLElement} host */
  constructor(page, host) {
    this.page = page;
    this.host = host;
    /** @type {Drawing | null} */
    this.drawing = null;
    this.size = "";
    this.current = -1;
    this.anchor = -1;
    this.tip = h("div", { class: "tip", hidden: true });
    this.cover = svg("rect", { class: "band" });
    host.addEventListener("pointerdown", (event) => this.press(event));
    host.addEventListener("pointermove", (event) => this.move(event));
    host.addEventListener("pointerup", (event) => this.release(event));
    host.addEventListener("pointercancel", () => this.leave());
    host.addEventListener("pointerleave", () => this.leave());
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("focus", () => host.matches(":focus-visible") && this.show(Math.max(0, this.current)));
    host.addEventListener("blur", () => this.leave());
  }

  /** Draws again where the width or the size of the text has changed. */
  resize() {
    const size = `${this.host.clientWidth} ${getComputedStyle(document.documentElement).fontSize}`;
    if (size !== this.size) this.draw();
    this.size = size;
  }

  draw() {
    const width = Math.floor(this.host.clientWidth);
    if (!width) return;
    const font = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const { night, zone } = this.page.document;
    this.drawing = drawNight(night, zone, width, font);
    this.drawing.root.append(this.cover);
    this.host.replaceChildren(this.drawing.root, this.tip);
    this.host.setAttribute("aria-valuemin", "1");
    this.host.setAttribute("aria-valuemax", String(this.drawing.bars.length));
    this.describe(Math.max(0, this.current));
    this.band();
  }

  /** The bar at a place of the chart. @param {PointerEvent} event */
  at(event) {
    const { bars, axis } = /** @type {Drawing} */ (this.drawing);
    const time = axis.at(event.clientX - this.host.getBoundingClientRect().left);
    const index = bars.findIndex((bar) => time < bar.to);
    return index < 0 ? bars.length - 1 : index;
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (!this.drawing || event.button) return;
    this.anchor = this.at(event);
    this.pressed = event.clientX;
    this.host.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.drawing) return;
    this.show(this.at(event));
    if (this.pressed !== undefined && Math.abs(event.clientX - this.pressed) > DRAG)
      this.stretch(this.anchor, this.current);
  }

  /** @param {PointerEvent} event */
  release(event) {
    if (!this.drawing || this.pressed === undefined) return;
    const dragged = Math.abs(event.clientX - this.pressed) > DRAG;
    this.pressed = undefined;
    if (dragged || event.pointerType === "mouse") this.choose(this.anchor, this.at(event));
    else this.show(this.at(event));
  }

  leave() {
    this.pressed = undefined;
    this.tip.hidden = true;
    for (const bar of this.host.querySelectorAll(".hot")) bar.classList.remove("hot");
    this.band();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.drawing || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.drawing.bars.length - 1,
      here = Math.max(0, this.current);
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (to !== undefined) {
      if (!event.shiftKey) this.anchor = -1;
      else if (this.anchor < 0) this.anchor = here;
      this.show(Math.min(last, Math.max(0, to)));
      if (this.anchor >= 0) this.stretch(this.anchor, this.current);
      else this.band();
    } else if (event.key === "Enter") {
      this.choose(this.anchor < 0 ? here : this.anchor, here);
    } else if (event.key === "Escape" && this.range()) {
      this.page.view.filter("time", this.range(), false);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Makes a bar the current one and shows what happened in its time. @param {number} index */
  show(index) {
    const { bars, axis, root } = /** @type {Drawing} */ (this.drawing);
    this.current = index;
    root.querySelectorAll(".bar").forEach((bar, row) => bar.classList.toggle("hot", row === index));
    this.tip.replaceChildren(...this.words(index).map((line, row) => h(row ? "div" : "b", { text: line })));
    this.tip.hidden = false;
    const middle = (axis.x(bars[index].from) + axis.x(bars[index].to)) / 2;
    const room = this.host.clientWidth - this.tip.offsetWidth;
    const left = middle + 14 < room ? middle + 14 : middle - 14 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, left))}px`;
    this.describe(index);
  }

  /** @param {number} index */
  describe(index) {
    this.host.setAttribute("aria-valuenow", String(index + 1));
    this.host.setAttribute("aria-valuetext", this.words(index).join(", "));
  }

  /** @param {number} index @returns {string[]} */
  words(index) {
    const { bars } = /** @type {Drawing} */ (this.drawing);
    return describeBar(this.page, bars, index);
  }

  /** Filters the grid by the time of some bars; the same range again clears the filter.
   * @param {number} one @param {number} other */
  choose(one, other) {
    const { bars, start } = /** @type {Drawing} */ (this.drawing);
    const from = Math.round(start + bars[Math.min(one, other)].from),
      to = Math.round(start + bars[Math.max(one, other)].to);
    const value = `${from}-${to}`,
      before = this.range();
    if (before) this.page.view.filter("time", before, false);
    if (value !== before) this.page.view.filter("time", value, true);
  }

  range() {
    return this.page.view.values("time")[0] ?? "";
  }

  /** Covers the range that the grid shows. */
  band() {
    const [from, to] = this.range().split("-").map(Number);
    this.cover.setAttribute("visibility", to ? "visible" : "hidden");
    if (to && this.drawing) this.place(from - this.drawing.start, to - this.drawing.start);
  }

  /** @param {number} one @param {number} other */
  stretch(one, other) {
    const { bars } = /** @type {Drawing} */ (this.drawing);
    this.cover.setAttribute("visibility", "visible");
    this.place(bars[Math.min(one, other)].from, bars[Math.max(one, other)].to);
  }

  /** @param {number} from @param {number} to */
  place(from, to) {
    const { axis, height } = /** @type {Drawing} */ (this.drawing);
    this.cover.setAttribute("x", String(axis.x(from)));
    this.cover.setAttribute("y", "4");
    this.cover.setAttribute("width", String(Math.max(2, axis.x(to) - axis.x(from))));
    this.cover.setAttribute("height", String(height - 4));
  }
}
