import assert from "node:assert/strict";
import { test } from "node:test";

import { countScale, joinBars, timeAxis, timeTicks } from "../../batchgen/page/src/night_axis.js";

const HOUR = 3600;

test("axis without gaps is linear and inverts", () => {
  const axis = timeAxis(10 * HOUR, [], 100, 600);
  assert.equal(axis.x(0), 100);
  assert.equal(axis.x(5 * HOUR), 350);
  assert.equal(axis.x(10 * HOUR), 600);
  for (const at of [0, 1234, 5 * HOUR, 9 * HOUR]) assert.ok(Math.abs(axis.at(axis.x(at)) - at) < 1e-6);
});

test("axis cuts gaps to a mark and gives the rest of the width to the runs", () => {
  const gaps = [{ from: 2 * HOUR, to: 20 * HOUR }, { from: 24 * HOUR, to: 46 * HOUR }];
  const axis = timeAxis(48 * HOUR, gaps, 0, 1000);
  assert.equal(axis.breaks.length, 2);
  for (const mark of axis.breaks) assert.ok(mark.right - mark.left <= 18);
  assert.equal(axis.x(0), 0);
  assert.ok(Math.abs(axis.x(48 * HOUR) - 1000) < 1e-6);
  const night = axis.x(2 * HOUR) - axis.x(0);
  const evening = axis.x(24 * HOUR) - axis.x(20 * HOUR);
  assert.ok(Math.abs(evening / night - 2) < 1e-9);
});

test("axis leaves most of the width to the runs however many gaps there are", () => {
  const gaps = Array.from({ length: 100 }, (_, index) => ({ from: index * 100 + 10, to: index * 100 + 90 }));
  const axis = timeAxis(10_000, gaps, 0, 400);
  const marks = axis.breaks.reduce((sum, each) => sum + each.right - each.left, 0);
  assert.ok(marks <= 100 + 1e-6);
});

test("axis of no time and of a time outside stays inside its width", () => {
  const axis = timeAxis(0, [], 10, 20);
  for (const at of [-5, 0, 99]) assert.ok(axis.x(at) >= 10 && axis.x(at) <= 20);
  assert.ok(timeAxis(100, [], 0, 50).x(900) === 50);
});

test("bars are joined where they would be too narrow, and no image is lost", () => {
  const night = { step: 60, bars: Array(600).fill(2), usd: Array(600).fill(0.5) };
  const bars = joinBars(night, timeAxis(36_000, [], 0, 300), 4);
  assert.ok(bars.length <= 75);
  assert.equal(bars.reduce((sum, bar) => sum + bar.images, 0), 1200);
  assert.equal(bars.reduce((sum, bar) => sum + bar.usd, 0), 300);
  assert.equal(bars.at(-1).to, 36_000);
});

test("bars inside a gap are left out, those with images never", () => {
  const night = { step: 100, bars: [1, 0, 0, 3, 1], usd: [null, null, null, null, null] };
  const bars = joinBars(night, timeAxis(500, [{ from: 100, to: 400 }], 0, 500), 4);
  assert.deepEqual(bars.map((bar) => [bar.from, bar.images, bar.usd]), [[0, 1, null], [300, 3, null], [400, 1, null]]);
});

test("count scale ends at or above the greatest value in a few round steps", () => {
  for (const greatest of [0, 1, 2, 3, 7, 16, 19, 99, 1234, 200_000]) {
    const { step, top } = countScale(greatest);
    assert.ok(top >= greatest && step >= 1 && top / step <= 4, `${greatest}: ${step}, ${top}`);
    assert.ok(/^[125]0*$/.test(String(step)), `${step}`);
  }
});

test("ticks are full hours of the reader's clock, apart from each other", () => {
  const start = Date.parse("2026-11-28T22:04:00Z") / 1000;
  const ticks = timeTicks(timeAxis(8 * HOUR, [], 0, 600), start, 90, 58);
  assert.ok(ticks.length >= 4);
  ticks.forEach((tick, index) => {
    assert.equal((tick.at + 90 * 60) % HOUR, 0);
    if (index) assert.ok(tick.x - ticks[index - 1].x >= 58);
  });
});

test("ticks of a run of seconds have different labels", () => {
  const ticks = timeTicks(timeAxis(7, [], 0, 600), 1_795_903_200, 0, 58);
  assert.ok(ticks.every((tick) => tick.fine));
  assert.equal(new Set(ticks.map((tick) => tick.at)).size, ticks.length);
});
