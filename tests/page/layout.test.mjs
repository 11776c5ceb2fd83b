import assert from "node:assert/strict";
import { test } from "node:test";

import { GridLayout } from "../../batchgen/page/src/layout.js";

const sizes = { columns: 4, line: 100, heading: 30 };
const groups = [
  { title: "a", start: 0, count: 6 },
  { title: "b", start: 6, count: 1 },
  { title: "c", start: 7, count: 4 },
];

test("layout without groups is a plain grid", () => {
  const layout = new GridLayout(10, [], sizes);
  assert.equal(layout.lines, 3);
  assert.deepEqual(layout.at(2), { heading: -1, start: 8, end: 10 });
  assert.equal(layout.offset(3), 300);
  assert.deepEqual(layout.place(9), { line: 2, column: 1 });
  assert.equal(new GridLayout(0, [], sizes).lines, 0);
});

test("layout puts a heading before each group and begins a new line after it", () => {
  const layout = new GridLayout(11, groups, sizes);
  assert.equal(layout.lines, 7); // heading, 2, heading, 1, heading, 1
  const lines = Array.from({ length: layout.lines }, (_, line) => layout.at(line));
  assert.deepEqual(
    lines.map(({ heading }) => heading),
    [0, -1, -1, 1, -1, 2, -1],
  );
  assert.deepEqual(
    lines.filter(({ heading }) => heading < 0).map(({ start, end }) => [start, end]),
    [
      [0, 4],
      [4, 6],
      [6, 7],
      [7, 11],
    ],
  );
});

test("layout offsets are the sums of heights", () => {
  const layout = new GridLayout(11, groups, sizes);
  let sum = 0;
  for (let line = 0; line < layout.lines; line++) {
    assert.equal(layout.offset(line), sum, `line ${line}`);
    sum += layout.height(line);
  }
  assert.equal(layout.offset(layout.lines), sum);
});

test("layout finds every tile where its line says it is", () => {
  const layout = new GridLayout(11, groups, sizes);
  for (let position = 0; position < 11; position++) {
    const { line, column } = layout.place(position);
    assert.equal(layout.at(line).start + column, position);
  }
});

test("arrows up and down keep the column, pass headings, and stop at the ends", () => {
  const layout = new GridLayout(11, groups, sizes);
  assert.equal(layout.vertical(1, 1), 5);
  assert.equal(layout.vertical(3, 1), 5); // the line below is shorter
  assert.equal(layout.vertical(5, 1), 6); // over a heading
  assert.equal(layout.vertical(6, -1), 4);
  assert.equal(layout.vertical(9, 1), 9);
  assert.equal(layout.vertical(2, -1), 2);
});
