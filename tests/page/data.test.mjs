import assert from "node:assert/strict";
import { test } from "node:test";

import { fileUrl } from "../../batchgen/page/src/data.js";

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
