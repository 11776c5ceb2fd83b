/**
 * Facets as columns of codes, and what a set of filters lets through. Values of one facet add up, facets narrow.
 * Pure: marks come in as an argument.
 */

import { clock, day, money } from "./format.js";

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./types").MarkStore} MarkStore */

/** A facet as a column: a code for each row (-1: none) or several, and the words of the codes.
 * @typedef {{words: string[], one?: Int32Array, many?: (number[] | 0)[], numbers?: Float64Array}} Column */

/** @type {Facet[]} */
export const FACETS = [
  "state",
  "cause",
  "mark",
  "suspect",
  "earlier",
  "kind",
  "provider",
  "model",
  "purchase",
  "tag",
  "size",
  "cost",
  "mime",
  "c2pa",
  "time",
];
const MARK_WORDS = ["pick", "reject", "none", "stars", "1", "2", "3", "4", "5", "note", "replaced"];
const UNKNOWN = "unknown";
const SIDE = 1_000_000; // above any width or height

/** @param {PageDocument} page @param {MarkStore} marks @returns {Record<Facet, Column>} */
export function facetColumns(page, marks) {
  const { tiles, words } = page;
  const list = (/** @type {string[]} */ words, /** @type {number[]} */ codes) => ({
    words,
    one: Int32Array.from(codes),
  });
  const flags = (/** @type {Iterable<number>} */ rows) => {
    const one = new Int32Array(tiles.count).map((_, row) => (tiles.ordinal[row] < 0 ? -1 : 1));
    for (const row of rows) one[row] = 0;
    return { words: ["yes", "no"], one };
  };
  /** @type {(number[] | 0)[]} */
  const suspects = new Array(tiles.count).fill(0);
  for (const [row, reasons] of Object.entries(tiles.suspects))
    suspects[Number(row)] = [...new Set(reasons.map(([kind]) => kind))];
  return {
    state: list(words.state, tiles.state),
    cause: list(words.cause, tiles.cause),
    kind: list(words.kind, tiles.kind),
    provider: list(words.provider, tiles.provider),
    model: list(words.model, tiles.model),
    purchase: list(words.mode, tiles.mode ?? []),
    mime: list(words.mime, tiles.mime),
    tag: { words: words.tag, many: tiles.tags },
    suspect: { words: words.suspect, many: suspects },
    mark: markColumn(tiles.count, marks),
    c2pa: flags(tiles.c2pa),
    earlier: flags(Object.keys(tiles.earlier).map(Number)),
    size: sizeColumn(page),
    cost: costColumn(page),
    time: timeColumn(page),
  };
}

/** @type {Map<number, number[]>} */
const combinations = new Map();

/** The codes of a mark among MARK_WORDS. @param {import("./types").Mark | undefined} mark @param {boolean} replaced */
function markCodes(mark, replaced) {
  let bits = mark?.mark === "pick" ? 1 : mark?.mark === "reject" ? 2 : 4;
  if (mark?.stars) bits |= 8 | (16 << (mark.stars - 1));
  if (mark?.note) bits |= 512;
  if (replaced) bits |= 1024;
  let codes = combinations.get(bits);
  if (!codes)
    combinations.set(bits, (codes = MARK_WORDS.map((_, code) => code).filter((code) => bits & (1 << code))));
  return codes;
}

/** @param {number} count @param {MarkStore} marks @returns {Column} */
function markColumn(count, marks) {
  const column = { words: MARK_WORDS, many: new Array(count).fill(markCodes(undefined, false)) };
  updateMarks(column, marks, marks.marked());
  return column;
}

/** Brings the column of marks up to date for some rows. @param {Column} column @param {MarkStore} marks
 * @param {Iterable<number>} rows */
export function updateMarks(column, marks, rows) {
  const many = /** @type {(number[] | 0)[]} */ (column.many);
  for (const row of rows) many[row] = markCodes(marks.get(row), marks.replaced(row) !== undefined);
}

/** Width and height, in the order of their area. @param {PageDocument} page @returns {Column} */
function sizeColumn({ tiles }) {
  const sizes = Float64Array.from(tiles.width, (width, row) => width * SIDE + tiles.height[row]);
  const area = (/** @type {number} */ size) => Math.floor(size / SIDE) * (size % SIDE);
  const distinct = [...new Set(sizes)].filter(Boolean).sort((a, b) => area(a) - area(b));
  const codes = new Map(distinct.map((size, code) => [size, code]));
  const words = distinct.map((size) => `${Math.floor(size / SIDE)}x${size % SIDE}`);
  return { words, one: Int32Array.from(sizes, (size) => codes.get(size) ?? -1) };
}

/** Prices in a few steps of 1, 2, 5; a word is a range "from..to" in USD.
 * @param {PageDocument} page @returns {Column} */
function costColumn({ tiles }) {
  const numbers = Float64Array.from(tiles.usd, (usd) => usd ?? NaN);
  const prices = numbers.filter((usd) => usd > 0).sort();
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
  const edges = steps.filter((step) => step > prices[0] && step <= prices[prices.length - 1]);
  while (edges.length > 4) edges.splice(edges.length % 2, 1);
  return rangeColumn(
    numbers,
    edges,
    numbers.some((usd) => Number.isNaN(usd)),
  );
}

/** Days, where the batch took several. @param {PageDocument} page @returns {Column} */
function timeColumn({ tiles, zone }) {
  const numbers = Float64Array.from(tiles.at, (at) => at || NaN);
  const days = new Set();
  for (const at of tiles.at) if (at) days.add(Math.floor((at + zone * 60) / 86_400));
  const sorted = [...days].sort((a, b) => a - b);
  return rangeColumn(
    numbers,
    days.size > 31 ? [] : sorted.slice(1).map((number) => number * 86_400 - zone * 60),
    false,
  );
}

/** @param {Float64Array} numbers @param {number[]} edges @param {boolean} unknown @returns {Column} */
function rangeColumn(numbers, edges, unknown) {
  const words = edges.length ? ["", ...edges].map((edge, index) => `${edge}..${edges[index] ?? ""}`) : [];
  const none = unknown ? words.push(UNKNOWN) - 1 : -1;
  const one = Int32Array.from(numbers, (number) => {
    if (Number.isNaN(number)) return none;
    const index = edges.findIndex((edge) => number < edge);
    return edges.length ? (index < 0 ? edges.length : index) : -1;
  });
  return { words, one, numbers };
}

/** @param {string} value @returns {[number, number] | null} */
function range(value) {
  const match = /^(\d*\.?\d*?)(?:\.\.|-)(\d*\.?\d*)$/.exec(value);
  return match && [match[1] === "" ? -Infinity : Number(match[1]), match[2] === "" ? Infinity : Number(match[2])];
}

/** The title of a range. @param {Facet} facet @param {string} value @param {number} zone */
export function rangeTitle(facet, value, zone) {
  const bounds = range(value);
  if (!bounds) return facet === "cost" && value === UNKNOWN ? "No price in USD" : value;
  const [from, to] = bounds;
  if (facet === "cost")
    return !(from > 0)
      ? `Under ${money(to)}`
      : to === Infinity
        ? `${money(from)} or more`
        : `${money(from)} to ${money(to)}`;
  if (from === -Infinity) return day(to - 1, zone);
  if (to === Infinity || (to - from) % 86_400 === 0) return day(from, zone);
  return `${day(from, zone)}, ${clock(from, zone)} to ${clock(to, zone)}`;
}

/** Whether each row passes the values chosen of one facet. @param {Column} column @param {Set<string>} values
 * @param {number} count @returns {Uint8Array} 1: passes */
function passes(column, values, count) {
  const allowed = new Uint8Array(column.words.length + 1); // the last: rows without a value
  column.words.forEach((word, code) => {
    allowed[code] = values.has(word) ? 1 : 0;
  });
  const pass = new Uint8Array(count);
  const { one, many, numbers } = column;
  if (one) for (let row = 0; row < count; row++) pass[row] = one[row] < 0 ? 0 : allowed[one[row]];
  if (many)
    for (let row = 0; row < count; row++)
      if (many[row]) pass[row] = Number(/** @type {number[]} */ (many[row]).some((code) => allowed[code]));
  if (!numbers) return pass;
  for (const [from, to] of [...values]
    .filter((word) => !column.words.includes(word))
    .map(range)
    .filter((bounds) => bounds !== null)) {
    for (let row = 0; row < count; row++) if (numbers[row] >= from && numbers[row] < to) pass[row] = 1;
  }
  return pass;
}

/**
 * How many facets each row fails, and the last of them; a row that the search does not match fails two.
 * @typedef {{misses: Uint8Array, missed: Uint8Array}} Failures
 */

/**
 * @param {Record<Facet, Column>} columns
 * @param {Map<Facet, Set<string>>} filters
 * @param {Uint8Array | null} matches 1: the search matches the row; null: no search
 * @param {number} count of all rows
 * @returns {Failures}
 */
export function failures(columns, filters, matches, count) {
  const misses = new Uint8Array(count),
    missed = new Uint8Array(count);
  for (const [facet, values] of filters) {
    const pass = passes(columns[facet], values, count),
      number = FACETS.indexOf(facet);
    for (let row = 0; row < count; row++) {
      if (pass[row]) continue;
      misses[row]++;
      missed[row] = number;
    }
  }
  if (matches) for (let row = 0; row < count; row++) if (!matches[row]) misses[row] += 2;
  return { misses, missed };
}

/** How many rows have each value of a facet, if this facet itself does not filter.
 * @param {Column} column @param {Facet} facet @param {Failures | null} failures null: all rows count */
export function countValues({ words, one, many }, facet, failures) {
  const counts = new Uint32Array(words.length),
    number = FACETS.indexOf(facet),
    rows = (one ?? many ?? []).length;
  for (let row = 0; row < rows; row++) {
    if (failures?.misses[row] && (failures.misses[row] > 1 || failures.missed[row] !== number)) continue;
    if (one) {
      if (one[row] >= 0) counts[one[row]]++;
    } else if (many?.[row]) for (const code of /** @type {number[]} */ (many[row])) counts[code]++;
  }
  return counts;
}
