import assert from "node:assert/strict";
import { test } from "node:test";

import { importMarks, marksCsv, marksJson } from "../../batchgen/page/src/marks_file.js";

const page = { database: "ab".repeat(16), batch: "autumn", sandbox: false };
const marks = [
  {
    id: "cat-1",
    picture: 1,
    sha256: "0123456789abcdef",
    mark: "pick",
    stars: 3,
    note: "",
    at: "2026-11-29T05:00:00.000Z",
  },
  {
    id: "=1+1",
    picture: 2,
    sha256: "",
    mark: null,
    stars: 0,
    note: '-"quoted",\r\nline',
    at: "2026-11-29T05:00:01.000Z",
  },
];

test("marks.json comes back as it was written", () => {
  assert.deepEqual(importMarks(page, "marks.json", marksJson(page, marks)), { entries: marks, problem: null });
});

test("marks.csv protects cells from spreadsheets and comes back as it was written", () => {
  const text = marksCsv(marks);
  assert.match(text, /^id,picture,mark,stars,note,sha256,at\r\n/);
  assert.match(text, /\r\n'=1\+1,2,,0,"'-""quoted"",/);
  assert.deepEqual(importMarks(page, "marks.csv", text), { entries: marks, problem: null });
});

test("marks of another database or batch are refused with words", () => {
  const other = marksJson({ ...page, database: "cd".repeat(16), sandbox: true }, marks);
  assert.match(importMarks(page, "x.json", other).problem, /a sandbox's job database/);
  assert.match(importMarks(page, "x.json", marksJson({ ...page, batch: "spring" }, marks)).problem, /batch spring/);
});

test("files that hold no marks, or wrong ones, are refused", () => {
  for (const text of ["", "{", "[]", '{"a": 1}', "name,price\r\nmug,3\r\n"]) {
    const { entries, problem } = importMarks(page, "x", text);
    assert.deepEqual(entries, []);
    assert.match(problem, /x is not a file of marks/);
  }
  for (const wrong of [{ mark: "maybe" }, { stars: 6 }, { id: "" }, { at: "soon" }, { picture: -1 }]) {
    const { problem } = importMarks(page, "x", marksJson(page, [{ ...marks[0], ...wrong }]));
    assert.match(problem ?? "", /not a file of marks/, JSON.stringify(wrong));
  }
});
