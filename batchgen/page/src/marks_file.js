/** Files of marks: marks.json and marks.csv, as `batchgen marks` reads and writes them. Pure. */

import { csv } from "./format.js";

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").MarkEntry} MarkEntry */

const COLUMNS = ["id", "picture", "mark", "stars", "note", "sha256", "at"];

/** @param {PageDocument} page @param {MarkEntry[]} marks */
export function marksJson({ database, batch, sandbox }, marks) {
  const exported_at = new Date().toISOString();
  return `${JSON.stringify({ schema_version: 1, database, batch, sandbox, exported_at, marks }, null, 1)}\n`;
}

/** @param {MarkEntry[]} marks */
export function marksCsv(marks) {
  const rows = marks.map((mark) => [mark.id, mark.picture, mark.mark, mark.stars, mark.note, mark.sha256, mark.at]);
  return csv([COLUMNS, ...rows]);
}

/**
 * The marks of a file, or why it cannot be taken.
 * @param {PageDocument} page
 * @param {string} name
 * @param {string} text
 * @returns {{entries: MarkEntry[], problem: string | null}}
 */
export function importMarks(page, name, text) {
  const refuse = (/** @type {string} */ problem) => ({ entries: [], problem });
  try {
    const isJson = /^\s*[{[]/.test(text);
    const file = isJson ? JSON.parse(text) : { marks: parseTable(text) };
    if (!Array.isArray(file.marks)) return refuse(`${name} is not a file of marks: it has no list "marks".`);
    if (isJson && file.database !== page.database) {
      const other = file.sandbox ? "a sandbox's job database" : "another job database";
      return refuse(`${name} was saved from a page of ${other} (batch ${file.batch}). Open the page it came from.`);
    }
    if (isJson && file.batch !== page.batch)
      return refuse(`${name} holds marks of batch ${file.batch}, this page shows ${page.batch}.`);
    return { entries: file.marks.map(entry), problem: null };
  } catch (error) {
    return refuse(`${name} is not a file of marks: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {any} mark @returns {MarkEntry} */
function entry(mark) {
  const stars = Number(mark.stars ?? 0),
    picture = Number(mark.picture ?? 1);
  if (typeof mark.id !== "string" || !mark.id) throw new Error("a mark has no id");
  if (!["pick", "reject", null].includes(mark.mark ?? null))
    throw new Error(`mark of ${mark.id} is neither pick nor reject`);
  if (!Number.isInteger(stars) || stars < 0 || stars > 5)
    throw new Error(`stars of ${mark.id} are not a number from 0 to 5`);
  if (!Number.isInteger(picture) || picture < 0) throw new Error(`picture of ${mark.id} is not a number from 0`);
  if (Number.isNaN(Date.parse(mark.at))) throw new Error(`time of the mark of ${mark.id} is missing`);
  return {
    id: mark.id,
    picture,
    sha256: String(mark.sha256 ?? ""),
    mark: mark.mark ?? null,
    stars,
    note: String(mark.note ?? ""),
    at: mark.at,
  };
}

/** The rows of a CSV as objects. @param {string} text @returns {any[]} */
function parseTable(text) {
  const [head, ...rows] = parseCsv(text.replace(/^\uFEFF/, ""));
  if (!head?.includes("id") || !head.includes("mark"))
    throw new Error("its first line does not name the columns id and mark");
  return rows
    .filter((row) => row.some(Boolean))
    .map((row) => {
      const mark = Object.fromEntries(head.map((name, index) => [name, unquote(row[index] ?? "")]));
      return { ...mark, mark: mark.mark || null, at: mark.at || new Date().toISOString() };
    });
}

/** Takes the quote off that protects a cell from spreadsheets. @param {string} cell */
function unquote(cell) {
  return /^'[=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell;
}

/** @param {string} text @returns {string[][]} */
function parseCsv(text) {
  /** @type {string[][]} */
  const rows = [];
  /** @type {string[]} */
  let row = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|\r|$)/g)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    if (row.length > 1 || row[0]) rows.push(row);
    row = [];
  }
  return rows;
}
