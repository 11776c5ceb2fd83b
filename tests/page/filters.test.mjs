import assert from "node:assert/strict";
import { test } from "node:test";

import { FacetCounts } from "../../batchgen/page/src/counts.js";
import { facetColumns, failures, rangeTitle } from "../../batchgen/page/src/filters.js";
import { groupedRows, sortedRows } from "../../batchgen/page/src/order.js";
import { SearchIndex, terms } from "../../batchgen/page/src/search.js";

/** Six tiles: a failed job, and five pictures, of which two are of one job. */
const page = {
  zone: 60,
  words: {
    state: ["done", "failed"],
    provider: ["openai", "aigate"],
    model: ["m"],
    kind: ["generate"],
    tag: ["red", "blue"],
    mime: ["image/png"],
    cause: ["refused"],
    prompt: ["A fox in Zürich", "A mug", "two mugs, blue"],
    suspect: ["tiny"],
    source: [],
  },
  tiles: {
    count: 6,
    key: ["a", "b", "c", "c", "d", "cat-10"],
    job: [0, 1, 2, 2, 3, 4],
    ordinal: [-1, 0, 0, 1, 0, 0],
    state: [1, 0, 0, 0, 0, 0],
    provider: [0, 0, 1, 1, 0, 1],
    model: [0, 0, 0, 0, 0, 0],
    kind: [0, 0, 0, 0, 0, 0],
    cause: [0, -1, -1, -1, -1, -1],
    prompt: [0, 1, 2, 2, 0, 1],
    tags: [0, [0], [1], [0, 1], 0, [1]],
    usd: [0, 0.01, 0.5, 0.04, null, 0.002],
    width: [0, 10, 20, 20, 10, 10],
    height: [0, 10, 10, 10, 10, 10],
    mime: [-1, 0, 0, 0, 0, 0],
    at: [100, 600, 500, 500, 400, 200_000],
    seconds: [1, 2, 3, 3, 9, 1],
    c2pa: [1],
    earlier: { 4: [{}] },
    suspects: { 2: [[0, -1, ""]] },
    sources: {},
  },
};
const given = new Map([
  [1, { mark: "pick", stars: 3, note: "" }],
  [2, { mark: "reject", stars: 0, note: "too dark" }],
]);
const marks = { get: (row) => given.get(row), replaced: () => undefined, marked: () => [...given.keys()] };
const columns = facetColumns(page, marks);

function pass(filters, found = null) {
  const failed = failures(
    columns,
    new Map(Object.entries(filters).map(([facet, values]) => [facet, new Set(values)])),
    found,
    6,
  );
  return { rows: [0, 1, 2, 3, 4, 5].filter((row) => !failed.misses[row]), failed };
}

test("values of one facet add up, facets narrow", () => {
  assert.deepEqual(pass({ tag: ["red", "blue"] }).rows, [1, 2, 3, 5]);
  assert.deepEqual(pass({ tag: ["red", "blue"], provider: ["openai"] }).rows, [1]);
  assert.deepEqual(pass({}).rows, [0, 1, 2, 3, 4, 5]);
});

test("marks, suspects, sizes and earlier forms are facets", () => {
  assert.deepEqual(pass({ mark: ["pick"] }).rows, [1]);
  assert.deepEqual(pass({ mark: ["none"] }).rows, [0, 3, 4, 5]);
  assert.deepEqual(pass({ mark: ["3"] }).rows, [1]);
  assert.deepEqual(pass({ mark: ["note"] }).rows, [2]);
  assert.deepEqual(pass({ suspect: ["tiny"] }).rows, [2]);
  assert.deepEqual(pass({ size: ["20x10"] }).rows, [2, 3]);
  assert.deepEqual(pass({ earlier: ["yes"] }).rows, [4]);
  assert.deepEqual(pass({ c2pa: ["yes"] }).rows, [1]);
});

test("cost and time are ranges, from included, to excluded", () => {
  assert.deepEqual(pass({ cost: ["0.01..0.5"] }).rows, [1, 3]);
  assert.deepEqual(pass({ cost: ["..0.01"] }).rows, [0, 5]);
  assert.deepEqual(pass({ cost: ["unknown"] }).rows, [4]);
  assert.deepEqual(pass({ time: ["400-600"] }).rows, [2, 3, 4]);
  assert.equal(columns.cost.words.includes("unknown"), true);
});

test("counts leave their own facet out of the filter", () => {
  const counts = new FacetCounts(columns),
    { failed } = pass({ provider: ["openai"], tag: ["red"] });
  counts.update(failed);
  assert.deepEqual([...counts.of("provider")], [1, 1]);
  assert.deepEqual([...counts.of("tag")], [1, 0]);
  assert.deepEqual([...counts.of("state")], [1, 0]);
  assert.equal(counts.total("tag", "blue"), 3);
  assert.equal(counts.total("tag", "green"), 0);
});

test("search leaves nothing to the counts of other rows", () => {
  const counts = new FacetCounts(columns),
    { failed, rows } = pass({ provider: ["openai"] }, new SearchIndex(page).find("mug"));
  counts.update(failed);
  assert.deepEqual(rows, [1]);
  assert.deepEqual([...counts.of("provider")], [1, 3]);
});

test("range titles name money and days", () => {
  assert.equal(rangeTitle("cost", "..0.01", 60), "Under $0.01");
  assert.equal(rangeTitle("cost", "0.5..", 60), "$0.50 or more");
  assert.equal(rangeTitle("cost", "unknown", 60), "No price in USD");
  assert.match(rangeTitle("time", "82800-86400", 60), /00:00 to 01:00/);
});

test("search takes all words in any order, phrases and exclusions, without case and accents", () => {
  const rows = (query) => [...(new SearchIndex(page).find(query) ?? [])].flatMap((hit, row) => (hit ? [row] : []));
  assert.deepEqual(rows("ZURICH fox"), [0, 4]);
  assert.deepEqual(rows("blue two"), [2, 3]);
  assert.deepEqual(rows('"two mugs"'), [2, 3]);
  assert.deepEqual(rows('"mugs two"'), []);
  assert.deepEqual(rows("mug -blue"), [1, 5]);
  assert.deepEqual(rows("cat mug"), [5]);
  assert.equal(new SearchIndex(page).find("  "), null);
  assert.deepEqual(terms('a -"b c" -'), [
    { text: "a", without: false },
    { text: "b c", without: true },
  ]);
});

test("rows are sorted with what is unknown last", () => {
  const order = (sort) => [...sortedRows(page, marks, sort)];
  assert.deepEqual(order("manifest"), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(order("dearest"), [2, 3, 1, 5, 0, 4]);
  assert.deepEqual(order("cheapest"), [0, 5, 1, 3, 2, 4]);
  assert.deepEqual(order("stars")[0], 1);
  assert.deepEqual(order("newest"), [5, 1, 2, 3, 4, 0]);
  assert.deepEqual(order("id"), [0, 1, 2, 3, 5, 4]);
});

test("groups come in the order of their first row, and each tile is in one", () => {
  const { rows, groups } = groupedRows(page, Uint32Array.of(5, 4, 3, 2, 1), "tag");
  assert.deepEqual(
    groups.map(({ title, count }) => [title, count]),
    [
      ["blue", 2],
      ["No tag", 1],
      ["red, blue", 1],
      ["red", 1],
    ],
  );
  assert.deepEqual([...rows], [5, 2, 4, 3, 1]);
  assert.deepEqual(groupedRows(page, rows, "none").groups, []);
});

test("single tiles of prompts and jobs are one group at the end", () => {
  const { rows, groups } = groupedRows(page, Uint32Array.of(1, 2, 3, 4), "job");
  assert.deepEqual(
    groups.map(({ title, count }) => [title, count]),
    [
      ["c", 2],
      ["Jobs with one picture", 2],
    ],
  );
  assert.deepEqual([...rows], [2, 3, 1, 4]);
});
