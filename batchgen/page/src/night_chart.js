/** The night as a drawing: bars of delivered images over a lane for each provider, with what went wrong there. */

import { svg } from "./dom.js";
import { clock, clockSeconds, count, day, number } from "./format.js";
import { countScale, joinBars, timeAxis, timeTicks } from "./night_axis.js";

/** @typedef {import("./types").Night} Night */
/** @typedef {{from: number, to: number, images: number, usd: number | null}} Bar */
/** @typedef {{root: SVGSVGElement, bars: Bar[], axis: Axis, start: number, height: number}} Drawing */
/** @typedef {ReturnType<typeof import("./night_axis.js").timeAxis>} Axis */

const TOP = 10,
  BARS = 112,
  AXIS = 22,
  LANE = 18,
  TRACK = 10; // px
const LEAST = 4, // px of a bar
  WIDEST = 56;

/** @param {Night} night @param {number} zone minutes @param {number} width px @param {number} font px of a rem
 * @returns {Drawing} */
export function drawNight(night, zone, width, font) {
  const unit = font / 16,
    lane = LANE * Math.max(1, unit),
    axisHeight = AXIS * Math.max(1, unit);
  const start = Date.parse(night.from) / 1000,
    seconds = Math.max(1, night.bars.length * night.step, Date.parse(night.to) / 1000 - start);
  const longest = night.lanes.reduce((most, each) => Math.max(most, each.name.length), 3);
  const label = Math.round(Math.min(longest * 6.4 * unit + 4, width * (width < 480 ? 0.26 : 0.2)));
  const axis = timeAxis(seconds, night.gaps, label + 8, width - 2);
  const bars = joinBars(night, axis, LEAST);
  const base = TOP + BARS,
    first = base + axisHeight;
  const height = first + night.lanes.length * lane + (night.lanes.length ? 2 : 0);
  const root = svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    patterns(),
    grid(bars, label, width, base),
    bars.map((bar) => barShape(bar, axis, bars, base)),
    breaks(axis, base, height),
    timeTicks(axis, start, zone, 58 * unit).map((tick) => tickLabel(tick, zone, base, unit, width)),
    night.lanes.map((each, index) => laneShape(each, axis, first + index * lane, lane, label, unit)),
  );
  return { root, bars, axis, start, height };
}

function patterns() {
  return svg(
    "defs",
    {},
    svg(
      "pattern",
      { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "hatch-ground", width: 6, height: 6 }),
      svg("path", { class: "hatch-line", d: "M1.5 0v6" }),
    ),
    svg(
      "pattern",
      { id: "dots", width: 5, height: 5, patternUnits: "userSpaceOnUse" },
      svg("rect", { class: "hatch-ground", width: 5, height: 5 }),
      svg("circle", { class: "hatch-dot", cx: 2.5, cy: 2.5, r: 1.1 }),
    ),
  );
}

/** @param {Bar[]} bars */
function scaleOf(bars) {
  return countScale(bars.reduce((most, bar) => Math.max(most, bar.images), 0));
}

/** @param {Bar[]} bars @param {number} label @param {number} width @param {number} base */
function grid(bars, label, width, base) {
  const { step, top } = scaleOf(bars),
    lines = [];
  for (let value = 0; value <= top; value += step) {
    const y = Math.round(base - (value / top) * BARS) + 0.5;
    lines.push(
      svg("line", { class: "grid-line", x1: label + 8, x2: width, y1: y, y2: y }),
      svg("text", { x: label, y: y + 4, "text-anchor": "end", text: number(value) }),
    );
  }
  return lines;
}

/** @param {Bar} bar @param {Axis} axis @param {Bar[]} bars @param {number} base */
function barShape(bar, axis, bars, base) {
  const x = axis.x(bar.from),
    whole = axis.x(bar.to) - x,
    width = Math.min(whole, WIDEST);
  const gap = width > 8 ? 1.5 : width > 4 ? 1 : 0;
  const tall = bar.images ? Math.max(2, (bar.images / scaleOf(bars).top) * BARS) : 0;
  return svg("rect", {
    class: "bar",
    x: x + (whole - width + gap) / 2,
    y: base - tall,
    width: Math.max(1, width - gap),
    height: tall,
    rx: Math.min(2, width / 4),
  });
}

/** @param {Axis} axis @param {number} base @param {number} height */
function breaks(axis, base, height) {
  return axis.breaks.map(({ left, right }) =>
    svg("rect", {
      class: "gap",
      x: left + 1,
      y: TOP,
      rx: 2,
      width: Math.max(1, right - left - 2),
      height: Math.max(base, height) - TOP,
    }),
  );
}

/** @param {ReturnType<typeof timeTicks>[number]} tick @param {number} zone @param {number} base @param {number} unit
 * @param {number} width */
function tickLabel(tick, zone, base, unit, width) {
  const time = tick.fine ? clockSeconds(tick.at, zone) : clock(tick.at, zone);
  const midnight = tick.day && time.startsWith("00:00");
  const text = midnight ? day(tick.at, zone).replace(/ \w+$/, "") : time;
  const half = text.length * 3 * unit;
  return svg("text", {
    class: midnight ? "strong" : null,
    x: Math.min(width - half, Math.max(half, tick.x)),
    y: base + 15 * unit,
    "text-anchor": "middle",
    text,
  });
}

/** @param {Night["lanes"][number]} lane @param {Axis} axis @param {number} y @param {number} height
 * @param {number} label @param {number} unit */
function laneShape(lane, axis, y, height, label, unit) {
  const most = Math.max(3, Math.floor((label + 4) / (6.3 * unit)));
  const name = lane.name.length > most ? `${lane.name.slice(0, most - 1)}…` : lane.name;
  const top = y + (height - TRACK) / 2;
  const marks = new Set(lane.ticks.map((at) => Math.round(axis.x(at))));
  const ticks = [...marks].map((x) => `M${x} ${top + 2.5}v${TRACK - 5}`).join("");
  return svg(
    "g",
    {},
    svg("title", { text: `${lane.name}: ${count(lane.ticks.length, "image")}` }),
    svg("text", { class: "lane", x: label, y: y + height / 2 + 4 * unit, "text-anchor": "end", text: name }),
    axis.pieces.map((piece) =>
      svg("rect", {
        class: "track",
        x: piece.left,
        y: top,
        height: TRACK,
        rx: 3,
        width: Math.max(1, piece.right - piece.left),
      }),
    ),
    lane.spans.map((span) =>
      svg("rect", {
        class: span.kind,
        x: axis.x(span.from),
        y: top,
        height: TRACK,
        rx: 3,
        width: Math.max(3, axis.x(span.to) - axis.x(span.from)),
      }),
    ),
    ticks && svg("path", { class: "ticks", d: ticks }),
  );
}
