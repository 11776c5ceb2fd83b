import assert from "node:assert/strict";
import { test } from "node:test";

import { applyRows, fileUrl } from "../../batchgen/page/src/data.js";

const page = {
  root: "../../",
  folder: "output/shop/",
  folder_url: "../",
  buckets: { "s3://old/": "https://old.s3.amazonaws.com/", "gs://old/": "https://storage.googleapis.com/old/" },
};

test("URLs of files: in the output folder, elsewhere on the disk, in an earlier bucket", () => {
  const url = (/** @type {string} */ path) => fileUrl(/** @type {any} */ (page), path, "");
  assert.equal(url("output/shop/a b.png"), "../a%20b.png");
  assert.equal(url("output/old/a.png"), "../../output/old/a.png");
  assert.equal(url("/data/a.png"), "file:///data/a.png");
  assert.equal(url("s3://old/shop/a #1.png"), "https://old.s3.amazonaws.com/shop/a%20%231.png");
  assert.equal(url("gs://old/a.png"), "https://storage.googleapis.com/old/a.png");
});

test("modes of an update: a page whose calls were all standard gets its column with the first that was not", () => {
  const tiles = (/** @type {object} */ more) => ({
    count: 2, key: ["a", "b"], ordinal: [0, 0], job: [0, 1], state: [0, 0], provider: [0, 0], model: [0, 0], kind: [0, 0],
    cause: [-1, -1], prompt: [0, 0], tags: [0, 0], usd: [1, 1], credits: [null, null], bytes: [1, 1], width: [1, 1],
    height: [1, 1], mime: [0, 0], at: [1, 1], seconds: [1, 1], sha: ["x", "y"], path: ["x", "y"], alpha: [], gone: [],
    no_thumb: [], c2pa: [], sources: {}, mask: {}, suspects: {}, earlier: {}, marks: {}, ...more,
  });
  const words = (/** @type {string[]} */ mode) => ({
    state: ["done"], provider: ["p"], model: ["m"], kind: ["generate"], tag: [], mime: ["image/png"], cause: [],
    prompt: ["A cat"], suspect: [], mode, source: [],
  });
  const page = /** @type {any} */ ({ tiles: tiles({}), words: words(["standard"]) });
  const update = (/** @type {object} */ more, /** @type {string[]} */ mode) =>
    applyRows(page, /** @type {any} */ ({ tiles: tiles(more), words: words(mode) }));
  const modes = () => page.tiles.mode?.map((/** @type {number} */ code) => page.words.mode[code]);
  update({}, ["standard"]);
  assert.equal(modes(), undefined);
  update({ key: ["b", "c"], mode: [0, -1] }, ["batch"]);
  assert.deepEqual(modes(), ["standard", "batch", undefined]);
  update({ key: ["c", "d"] }, ["standard"]);
  assert.deepEqual(modes(), ["standard", "batch", "standard", "standard"]);
});
