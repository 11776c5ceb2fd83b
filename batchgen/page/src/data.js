/** The document of the page: reading it, URLs of files, and rows that arrive later. */

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").Tiles} Tiles */
/** @typedef {import("./types").Words} Words */

/** @returns {PageDocument} */
export function readDocument() {
  const element = document.getElementById("data");
  if (!element) throw new Error("The page holds no data.");
  return JSON.parse(element.textContent ?? "");
}

/** The URL of a thumbnail. @param {PageDocument} page @param {string} sha the first 16 digits count */
export function thumbOf(page, sha) {
  const short = sha.slice(0, 16);
  return page.inline?.[short] ?? `thumbs/${short}.webp`;
}

/** The URL of a file of the batch. @param {PageDocument} page @param {string} path @param {string} sha */
export function fileUrl(page, path, sha) {
  if (page.live) return page.live.files + sha;
  if (page.folder && path.startsWith(page.folder))
    return page.folder_url + encodePath(path.slice(page.folder.length));
  for (const [bucket, url] of Object.entries(page.buckets)) {
    if (path.startsWith(bucket)) return url + encodePath(path.slice(bucket.length));
  }
  return path.startsWith("/") ? `file://${encodePath(path)}` : page.root + encodePath(path);
}

/** @param {string} path */
function encodePath(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** Columns with a value for each row; the others are lists of rows or keep what only some rows have. */
const COLUMNS = /** @type {const} */ ([
  "key",
  "job",
  "ordinal",
  "state",
  "provider",
  "model",
  "kind",
  "cause",
  "prompt",
  "tags",
  "usd",
  "credits",
  "bytes",
  "width",
  "height",
  "mime",
  "at",
  "seconds",
  "sha",
  "path",
]);
const LISTS = /** @type {const} */ (["alpha", "no_thumb", "c2pa", "gone"]);
const SPARSE = /** @type {const} */ (["sources", "mask", "suspects", "earlier", "marks"]);
const CODED = /** @type {const} */ (["state", "provider", "model", "kind", "mime", "cause", "prompt"]);

/**
 * Takes rows in that changed under a live page. A row is found again by key and ordinal; the row of a job without
 * picture (ordinal -1) becomes its first picture; rows of new pictures join at the end.
 * @param {PageDocument} page
 * @param {{tiles: Tiles, words: Words}} update
 * @returns {{changed: number[], added: number[]}}
 */
export function applyRows(page, update) {
  const tiles = page.tiles,
    part = translate(page.words, update);
  const rows = new Map(tiles.key.map((key, row) => [`${tiles.ordinal[row]} ${key}`, row]));
  /** @type {number[]} */
  const changed = [];
  /** @type {number[]} */
  const added = [];
  const target = new Int32Array(part.count);
  for (let row = 0; row < part.count; row++) {
    const key = part.key[row],
      ordinal = part.ordinal[row];
    const old = rows.get(`${ordinal} ${key}`) ?? (ordinal <= 0 ? rows.get(`${-1 - ordinal} ${key}`) : undefined);
    target[row] = old ?? tiles.count++;
    (old === undefined ? added : changed).push(target[row]);
    rows.set(`${ordinal} ${key}`, target[row]);
  }
  for (const name of COLUMNS) {
    const column = /** @type {any[]} */ (tiles[name]),
      values = /** @type {any[]} */ (part[name]);
    values.forEach((value, row) => {
      column[target[row]] = value;
    });
  }
  applyModes(page, part, target);
  const touched = new Set(target);
  for (const name of LISTS) {
    tiles[name] = tiles[name].filter((row) => !touched.has(row)).concat(part[name].map((row) => target[row]));
  }
  for (const name of SPARSE) {
    const values = /** @type {Record<number, any>} */ (tiles[name]),
      news = /** @type {Record<number, any>} */ (part[name]);
    for (const row of touched) if (name !== "marks") delete values[row];
    for (const [row, value] of Object.entries(news)) values[target[Number(row)]] = value;
  }
  return { changed, added };
}

/** Takes the modes of an update in; where all are standard, there is no column of them.
 * @param {PageDocument} page @param {Tiles} part @param {Int32Array} target */
function applyModes({ tiles, words }, part, target) {
  if (!tiles.mode && !part.mode) return;
  let standard = words.mode.indexOf("standard");
  if (standard < 0) standard = words.mode.push("standard") - 1;
  const column = (tiles.mode ??= new Array(tiles.count).fill(standard));
  target.forEach((row, index) => {
    column[row] = part.mode?.[index] ?? standard;
  });
}

/** The update with its words as the page numbers them; words that are new are added to the page's.
 * @param {Words} words @param {{tiles: Tiles, words: Words}} update @returns {Tiles} */
function translate(words, update) {
  const part = { ...update.tiles };
  /** @type {Record<string, (code: number) => number>} */
  const code = {};
  for (const name of [...CODED, .../** @type {const} */ (["tag", "suspect", "mode"])]) {
    const mine = words[name],
      numbers = new Map(mine.map((word, index) => [word, index]));
    const table = update.words[name].map((word) => numbers.get(word) ?? mine.push(word) - 1);
    code[name] = (number) => (number < 0 ? number : table[number]);
  }
  for (const name of CODED) part[name] = part[name].map(code[name]);
  part.mode = part.mode?.map(code.mode);
  part.tags = part.tags.map((tags) => tags && tags.map(code.tag));
  part.suspects = mapValues(part.suspects, (list) =>
    list.map(([kind, , detail]) => [code.suspect(kind), -1, detail]),
  );
  const offset = words.source.length;
  words.source.push(...update.words.source);
  part.sources = mapValues(part.sources, (list) => list.map((source) => source + offset));
  part.mask = mapValues(part.mask, (source) => source + offset);
  return part;
}

/** @template A, B @param {Record<number, A>} record @param {(value: A) => B} change @returns {Record<number, B>} */
function mapValues(record, change) {
  return Object.fromEntries(Object.entries(record).map(([row, value]) => [row, change(value)]));
}
