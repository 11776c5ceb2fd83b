/** Geometry of the night's chart: the time axis without its gaps, bars, ticks. Pure. */

/** @typedef {import("./types").Night} Night */
/** @typedef {{from: number, to: number, left: number, right: number}} Piece  seconds after the start, and pixels */

const FINE = 1.5;
const BREAK = 18; // px that stay of a gap between two runs
const STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
];

/**
 * The axis: pieces of time with a run in progress share the width by their length, gaps between them are cut to a mark.
 * @param {number} seconds length of the night @param {{from: number, to: number}[]} gaps
 * @param {number} left @param {number} right px
 */
export function timeAxis(seconds, gaps, left, right) {
  const total = Math.max(1, seconds);
  const cuts = gaps.filter((gap) => gap.to > gap.from).sort((a, b) => a.from - b.from);
  const width = Math.min(BREAK, (right - left) / 4 / Math.max(1, cuts.length));
  const away = cuts.reduce((sum, gap) => sum + gap.to - gap.from, 0);
  const scale = (right - left - width * cuts.length) / Math.max(1, total - away);
  /** @type {Piece[]} */
  const pieces = [];
  /** @type {Piece[]} */
  const breaks = [];
  let time = 0,
    x = left;
  for (const gap of [...cuts, { from: total, to: total }]) {
    const end = x + Math.max(0, gap.from - time) * scale;
    pieces.push({ from: time, to: gap.from, left: x, right: end });
    if (gap.to > gap.from) breaks.push({ from: gap.from, to: gap.to, left: end, right: end + width });
    x = end + width;
    time = gap.to;
  }
  const all = [...pieces, ...breaks].sort((a, b) => a.from - b.from || a.to - b.to);
  return {
    pieces,
    breaks,
    scale,
    x: (/** @type {number} */ at) => place(all, at),
    at: (/** @type {number} */ x) => timeAt(all, x),
  };
}

/** @param {Piece[]} pieces @param {number} at @returns {number} */
function place(pieces, at) {
  const piece = pieces.find((each) => at <= each.to) ?? pieces[pieces.length - 1];
  const share = (at - piece.from) / Math.max(1e-9, piece.to - piece.from);
  return piece.left + Math.min(1, Math.max(0, share)) * (piece.right - piece.left);
}

/** @param {Piece[]} pieces @param {number} x @returns {number} */
function timeAt(pieces, x) {
  const piece = pieces.find((each) => x <= each.right) ?? pieces[pieces.length - 1];
  const share = (x - piece.left) / Math.max(1e-9, piece.right - piece.left);
  return piece.from + Math.min(1, Math.max(0, share)) * (piece.to - piece.from);
}

/**
 * Bars of the night, some of them joined where one would be narrower than `least` px; bars inside a gap are left out.
 * @param {Night} night @param {ReturnType<typeof timeAxis>} axis @param {number} least
 * @returns {{from: number, to: number, images: number, usd: number | null}[]}
 */
export function joinBars(night, axis, least) {
  const join = Math.max(1, Math.ceil(least / Math.max(1e-6, night.step * axis.scale)));
  const bars = [];
  for (let first = 0; first < night.bars.length; first += join) {
    const last = Math.min(night.bars.length, first + join);
    const images = night.bars.slice(first, last).reduce((sum, value) => sum + value, 0);
    const spent = night.usd.slice(first, last).filter((value) => value !== null);
    const from = first * night.step,
      to = last * night.step;
    const hidden = axis.breaks.some((gap) => gap.from <= from && gap.to >= to);
    if (images || !hidden)
      bars.push({ from, to, images, usd: spent.length ? spent.reduce((sum, usd) => sum + usd, 0) : null });
  }
  return bars;
}

/** The upper end of a scale and its step: 1, 2 or 5 times a power of ten, two to four steps high.
 * @param {number} greatest */
export function countScale(greatest) {
  const goal = Math.max(1, greatest);
  const power = 10 ** Math.floor(Math.log10(goal / 2));
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((each) => goal / each <= 4) ?? goal);
  return { step, top: Math.ceil(goal / step) * step };
}

/**
 * Times to write under the axis: full minutes, hours or days of the clock, at least `apart` px from each other.
 * @param {ReturnType<typeof timeAxis>} axis @param {number} start Unix seconds @param {number} zone minutes
 * @param {number} apart
 * @returns {{x: number, at: number, day: boolean, fine: boolean}[]}
 */
export function timeTicks(axis, start, zone, apart) {
  const room = (/** @type {number} */ step) => (step < 60 ? apart * FINE : apart); // seconds make longer labels
  const step = STEPS.find((each) => each * axis.scale >= room(each)) ?? STEPS[STEPS.length - 1];
  const ticks = [];
  let last = -Infinity,
    lastDay = NaN;
  for (const piece of axis.pieces) {
    const local = start + zone * 60;
    for (let at = Math.ceil((local + piece.from) / step) * step - local; at <= piece.to; at += step) {
      const x = axis.x(at),
        day = Math.floor((local + at) / 86400);
      if (x - last < room(step)) continue;
      ticks.push({ x, at: start + at, day: day !== lastDay, fine: step < 60 });
      last = x;
      lastDay = day;
    }
  }
  return ticks;
}
