import assert from "node:assert/strict";
import { test } from "node:test";

import { applyRows, fileUrl } from "../../batchgen/page/src/data.js";
import { hash, restore } from "../../batchgen/page/src/url.js";
import { PageView } from "../../batchgen/page/src/view.js";

const WORDS = ["state", "provider", "model", "kind", "tag", "mime", "cause", "prompt", "suspect", "mode", "source"];

/** A document of done pictures by key, with a provider for each. */
function documentOf(keys, providers) {
  const words = Object.fromEntries(WORDS.map((name) => [name, []]));
  Object.assign(words, {
    state: ["done"],
    provider: [...new Set(providers)],
    prompt: ["fox"],
    mime: ["image/png"],
  });
  const column = (value) => keys.map(() => value);
  const tiles = {
    count: keys.length,
    key: keys,
    job: keys.map((_, job) => job),
    ordinal: column(0),
    state: column(0),
  };
  for (const name of ["model", "kind", "cause", "mime", "prompt"]) tiles[name] = column(name === "prompt" ? 0 : -1);
  for (const name of ["usd", "credits", "bytes", "width", "height", "at", "seconds", "tags"])
    tiles[name] = column(0);
  for (const name of ["alpha", "no_thumb", "c2pa", "gone"]) tiles[name] = [];
  for (const name of ["sources", "mask", "suspects", "earlier", "marks"]) tiles[name] = {};
  tiles.provider = providers.map((provider) => words.provider.indexOf(provider));
  tiles.sha = keys.map((key) => key.repeat(16).slice(0, 16));
  tiles.path = keys.map((key) => `out/${key}.png`);
  return { zone: 0, words, tiles, root: "../../", folder: "out/", folder_url: "../", buckets: {} };
}

/** Marks that are kept in a map by row. */
function marksOf() {
  const given = new Map();
  let listener = () => undefined;
  return {
    get: (row) => given.get(row),
    replaced: () => undefined,
    marked: () => [...given.keys()],
    dataChanged: () => undefined,
    onRows: (each) => {
      listener = each;
    },
    change: (rows, change) => {
      for (const row of rows) given.set(row, { mark: null, stars: 0, note: "", ...given.get(row), ...change });
      listener([...rows]);
    },
  };
}

function viewOf(keys = ["a", "b", "c", "d", "e"], providers = ["x", "y", "x", "y", "x"]) {
  const page = documentOf(keys, providers),
    view = new PageView(page, marksOf());
  restore(view, "");
  view.refresh();
  return view;
}

const flushed = () =>
  new Promise((resolve) => {
    setTimeout(resolve);
  });

test("view begins with the pictures that are done and the cursor on the first", () => {
  const view = viewOf();
  assert.deepEqual([...view.rows], [0, 1, 2, 3, 4]);
  assert.deepEqual(view.values("state"), ["done"]);
  assert.equal(view.cursor, 0);
});

test("cursor stays on its picture, or goes to the next one that is shown", () => {
  const view = viewOf();
  view.move(2);
  view.filter("provider", "x");
  assert.deepEqual([...view.rows], [0, 2, 4]);
  assert.equal(view.cursor, 2);
  view.only("provider", "y");
  assert.deepEqual([...view.rows], [1, 3]);
  assert.equal(view.cursor, 3);
  view.filter("provider", "none of them", true);
  view.unfilter("provider");
  assert.equal(view.position(view.cursor), 3);
});

test("selection grows from where it began, and keeps to what is shown", () => {
  const view = viewOf();
  view.move(1);
  view.move(3, true);
  assert.deepEqual(view.targets(), [1, 2, 3]);
  view.move(0, true);
  assert.deepEqual(view.targets(), [0, 1]);
  view.filter("provider", "x");
  assert.deepEqual(view.targets(), [0]);
  view.move(2);
  assert.deepEqual(view.targets(), [2]);
});

test("marking goes to the next picture, also where the mark takes the picture away", () => {
  const view = viewOf();
  view.mark({ mark: "pick" }, "Picked");
  assert.equal(view.cursor, 1);
  view.only("mark", "none");
  view.mark({ mark: "reject" }, "Rejected");
  assert.deepEqual([...view.rows], [2, 3, 4]);
  assert.equal(view.cursor, 2);
  view.mark({ mark: "reject" }, "Rejected", true);
  assert.deepEqual([...view.rows], [3, 4]);
  assert.equal(view.cursor, 3);
});

test("marking in full view goes on through pictures that leave the filter", () => {
  const view = viewOf();
  view.only("mark", "none");
  view.open(0);
  for (const next of [1, 2, 3, 4]) {
    view.mark({ mark: "pick" }, "Picked");
    assert.equal(view.full, next);
  }
  view.mark({ mark: "pick" }, "Picked");
  assert.equal(view.full, 4); // the last one stays
  assert.equal(view.step(-1), -1);
});

test("full view steps from the place of a picture that left the filter", () => {
  const view = viewOf();
  view.auto = false;
  view.only("mark", "none");
  view.open(2);
  view.mark({ mark: "pick" }, "Picked");
  assert.equal(view.full, 2);
  assert.equal(view.step(1), 3);
  assert.equal(view.step(-1), 1);
});

test("several targets are marked at once and the cursor stays", () => {
  const view = viewOf();
  view.select([1, 2]);
  view.mark({ stars: 3 }, "3 stars");
  assert.deepEqual(
    [1, 2].map((row) => view.marks.get(row).stars),
    [3, 3],
  );
  assert.equal(view.cursor, 0);
});

test("listeners are called once for a topic, and not after they have ended", async () => {
  const view = viewOf();
  let calls = 0;
  const end = view.on("rows", () => {
    calls++;
  });
  view.query = "fox";
  view.sort = "id";
  view.group = "provider";
  await flushed();
  assert.equal(calls, 1);
  end();
  view.query = "";
  await flushed();
  assert.equal(calls, 1);
});

test("URL holds filters, search, order, groups and what is open", () => {
  const view = viewOf(["a,b", "c:d/ü", "e"], ["x y", "z", "x y"]);
  assert.equal(hash(view), "");
  view.filter("provider", "x y");
  view.query = 'fox & "hare"';
  view.sort = "dearest";
  view.group = "tag";
  view.tile = 300;
  view.open(1);
  const url = hash(view),
    other = viewOf(["a,b", "c:d/ü", "e"], ["x y", "z", "x y"]);
  restore(other, url);
  assert.equal(hash(other), url);
  assert.deepEqual(other.values("provider"), ["x y"]);
  assert.equal(other.query, 'fox & "hare"');
  assert.equal(other.full, 1);
  other.clear();
  other.close();
  assert.match(hash(other), /^#state=all/);
});

test("URL that names nothing of the page opens nothing", () => {
  const view = viewOf();
  restore(view, "#open=gone&sort=none&group=7&tile=soon&compare=a&provider=");
  assert.equal(view.full, -1);
  assert.deepEqual(view.comparison, []);
  assert.equal(view.sort, "manifest");
  assert.deepEqual([...view.rows], [0, 1, 2, 3, 4]);
});

test("rows that arrive replace theirs, and new ones join at the end", () => {
  const page = documentOf(["a", "b"], ["x", "y"]);
  page.tiles.ordinal[1] = -1;
  page.tiles.alpha = [0];
  const update = documentOf(["b", "c", "a"], ["z", "x", "y"]);
  update.tiles.suspects = { 0: [[0, -1, "detail"]] };
  update.words.suspect = ["tiny"];
  update.tiles.tags = [[0], 0, 0];
  update.words.tag = ["new"];
  assert.deepEqual(applyRows(page, update), { changed: [1, 0], added: [2] });
  const { tiles, words } = page;
  assert.deepEqual(tiles.key, ["a", "b", "c"]);
  assert.deepEqual(tiles.ordinal, [0, 0, 0]);
  assert.deepEqual(
    tiles.provider.map((code) => words.provider[code]),
    ["y", "z", "x"],
  );
  assert.deepEqual(tiles.suspects, { 1: [[0, -1, "detail"]] });
  assert.deepEqual(
    tiles.tags[1].map((code) => words.tag[code]),
    ["new"],
  );
  assert.deepEqual(tiles.alpha, []);
});

test("file URLs are relative to the page, encoded, and the server's under serve", () => {
  const page = documentOf(["a"], ["x"]);
  assert.equal(fileUrl(page, "out/a b#1.png", "ff"), "../a%20b%231.png");
  assert.equal(fileUrl(page, "else/c?.png", "ff"), "../../else/c%3F.png");
  assert.equal(fileUrl(page, "/data/ü.png", "ff"), "file:///data/%C3%BC.png");
  assert.equal(fileUrl({ ...page, live: { files: "files/" } }, "out/a.png", "ff"), "files/ff");
});
