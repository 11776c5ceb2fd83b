/** Sorting and grouping of rows. Pure. */

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").MarkStore} MarkStore */

/** @type {Record<string, string>} */
export const SORTS = {
  manifest: "Manifest order",
  newest: "Newest first",
  oldest: "Oldest first",
  dearest: "Dearest first",
  cheapest: "Cheapest first",
  id: "Id",
  largest: "Largest first",
  slowest: "Slowest first",
  stars: "Most stars",
};

/** @type {Record<string, string>} */
export const GROUPS = {
  none: "No groups",
  prompt: "By prompt",
  tag: "By tag",
  model: "By model",
  provider: "By provider",
  job: "By job",
  source: "By source",
};

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** All rows in an order.
 * @param {PageDocument} page @param {MarkStore} marks @param {string} sort @returns {Uint32Array} */
export function sortedRows({ tiles }, marks, sort) {
  const rows = Uint32Array.from({ length: tiles.count }, (_, row) => row);
  const inManifest = (/** @type {number} */ a, /** @type {number} */ b) =>
    tiles.job[a] - tiles.job[b] || tiles.ordinal[a] - tiles.ordinal[b] || a - b;
  if (sort === "manifest")
    return rows.some((row) => row && inManifest(row - 1, row) > 0) ? rows.sort(inManifest) : rows;
  if (sort === "id") {
    const rank = new Uint32Array(tiles.count);
    const keys = [...new Set(tiles.key)].sort(collator.compare),
      ranks = new Map(keys.map((key, index) => [key, index]));
    tiles.key.forEach((key, row) => {
      rank[row] = /** @type {number} */ (ranks.get(key));
    });
    return rows.sort((a, b) => rank[a] - rank[b] || inManifest(a, b));
  }
  /** @type {Record<string, (row: number) => number | null>} the highest number first; null last */
  const numbers = {
    newest: (row) => tiles.at[row] || null,
    oldest: (row) => (tiles.at[row] ? -tiles.at[row] : null),
    dearest: (row) => tiles.usd[row] ?? null,
    cheapest: (row) => (tiles.usd[row] === null ? null : -tiles.usd[row]),
    largest: (row) => tiles.width[row] * tiles.height[row] || null,
    slowest: (row) => tiles.seconds[row] || null,
    stars: (row) => marks.get(row)?.stars ?? 0,
  };
  const values = Float64Array.from(rows, (row) => numbers[sort](row) ?? -Infinity);
  return rows.sort((a, b) => (values[a] === values[b] ? inManifest(a, b) : values[b] - values[a]));
}

/** @param {PageDocument} page @param {string} group
 * @returns {(row: number) => string | number} the key of a row's group */
function groupKey({ tiles }, group) {
  switch (group) {
    case "prompt":
      return (row) => tiles.prompt[row];
    case "tag":
      return (row) => (tiles.tags[row] ? /** @type {number[]} */ (tiles.tags[row]).join() : "");
    case "model":
      return (row) => tiles.model[row];
    case "provider":
      return (row) => tiles.provider[row];
    case "source":
      return (row) => tiles.sources[row]?.join() ?? "";
    default:
      return (row) => tiles.job[row];
  }
}

/** @param {PageDocument} page @param {string} group @param {number} row a row of the group */
function groupTitle({ tiles, words }, group, row) {
  switch (group) {
    case "prompt":
      return words.prompt[tiles.prompt[row]] || "No prompt";
    case "tag":
      return (tiles.tags[row] || []).map((/** @type {number} */ tag) => words.tag[tag]).join(", ") || "No tag";
    case "model":
      return words.model[tiles.model[row]] ?? "No model";
    case "provider":
      return words.provider[tiles.provider[row]] ?? "No provider";
    case "source":
      return tiles.sources[row]?.map((source) => words.source[source].path).join(", ") ?? "No source";
    default:
      return tiles.key[row];
  }
}

/** Groups of which many have a single tile; those are shown together, or each would take a line of its own.
 * @type {Record<string, string>} */
const SINGLES = {
  prompt: "Prompts with one picture",
  job: "Jobs with one picture",
  source: "Sources with one picture",
};

/**
 * The rows brought together by group; groups come in the order of their first row, and single tiles last.
 * @param {PageDocument} page
 * @param {Uint32Array} rows
 * @param {string} group
 * @returns {{rows: Uint32Array, groups: {title: string, start: number, count: number}[]}}
 */
export function groupedRows(page, rows, group) {
  if (group === "none") return { rows, groups: [] };
  const keyOf = groupKey(page, group);
  /** @type {Map<string | number, number[]>} */
  const members = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    const list = members.get(key);
    if (list) list.push(row);
    else members.set(key, [row]);
  }
  const isSingle = (/** @type {number[]} */ list) => group in SINGLES && list.length === 1;
  const lists = [...members.values()];
  const singles = lists.filter(isSingle).flat();
  const grouped = new Uint32Array(rows.length);
  /** @type {{title: string, start: number, count: number}[]} */
  const groups = [];
  let start = 0;
  const add = (/** @type {string} */ title, /** @type {number[]} */ list) => {
    grouped.set(list, start);
    groups.push({ title, start, count: list.length });
    start += list.length;
  };
  for (const list of lists) if (!isSingle(list)) add(groupTitle(page, group, list[0]), list);
  if (singles.length) add(SINGLES[group], singles);
  return { rows: grouped, groups };
}
