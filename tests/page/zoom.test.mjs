/** Zoom and pan of the full view and the comparison. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { actualScale, fitOf, scales, Zoom } from "../../batchgen/page/src/zoom.js";

globalThis.requestAnimationFrame = (run) => setTimeout(run, 0);
globalThis.cancelAnimationFrame = clearTimeout;

const frame = (pictureWidth, pictureHeight, width = 1000, height = 800) => ({
  width, height, pictureWidth, pictureHeight, draw() {},
});

/** The point of the picture, 0 to 1, that lies at a place of the stage. */
const under = (zoom, stage, left, top) => {
  const box = zoom.box(stage);
  return [(left - box.left) / box.width, (top - box.top) / box.height];
};

const close = (one, two) => one.forEach((value, index) => assert.ok(Math.abs(value - two[index]) < 1e-6, `${one} ${two}`));

test("fit shows the whole picture in the middle", () => {
  for (const [width, height] of [[1024, 768], [640, 1600], [4000, 3000], [16, 16], [2048, 512]]) {
    const stage = frame(width, height), box = new Zoom().box(stage);
    assert.ok(box.left >= 0 && box.top >= 0, `${width} x ${height}`);
    assert.ok(Math.abs(box.left * 2 + box.width - stage.width) < 1e-9);
    assert.ok(Math.abs(box.width / box.height - width / height) < 1e-9);
  }
});

test("fit enlarges tiny pictures within bounds", () => {
  assert.equal(fitOf(frame(16, 16)), 8);
});

test("zoom keeps the point under the pointer", () => {
  const zoom = new Zoom(), stage = frame(4000, 3000);
  const before = under(zoom, stage, 700, 300);
  zoom.to(3, stage, 700, 300);
  close(under(zoom, stage, 700, 300), before);
  zoom.to(5.5, stage, 700, 300);
  close(under(zoom, stage, 700, 300), before);
});

test("zoom leaves no gap at the edges", () => {
  const zoom = new Zoom(), stage = frame(4000, 3000);
  zoom.to(4, stage, 0, 0);
  zoom.pan(10_000, 10_000, stage);
  const box = zoom.box(stage);
  assert.deepEqual([box.left, box.top].map(Math.round), [0, 0]);
  zoom.pan(-1e6, -1e6, stage);
  const end = zoom.box(stage);
  assert.deepEqual([end.left + end.width, end.top + end.height].map(Math.round), [1000, 800]);
});

test("zoom ends at its bounds", () => {
  const zoom = new Zoom(), stage = frame(4000, 3000), [least, most] = scales(stage);
  zoom.to(1e9, stage);
  assert.equal(zoom.scale, most);
  zoom.to(0, stage);
  assert.equal(zoom.scale, least);
  assert.ok(most * fitOf(stage) >= 8, "800 % of a large picture");
});

test("toggle goes from fit to 100 % and back", () => {
  const zoom = new Zoom(), stage = frame(4000, 3000);
  zoom.toggle(stage);
  assert.equal(zoom.percent(stage), 100);
  zoom.toggle(stage);
  assert.ok(zoom.fitted);
});

test("toggle shows a picture of the stage's size larger", () => {
  const zoom = new Zoom(), stage = frame(952, 752);
  assert.equal(actualScale(stage), 1);
  zoom.toggle(stage);
  assert.equal(zoom.percent(stage), 200);
});

test("steps stop at fit on their way", () => {
  const zoom = new Zoom(), small = frame(100, 100);
  zoom.to(0.6, small);
  zoom.step(1, small);
  zoom.step(1, small);
  assert.equal(zoom.scale, 1);
});

test("pan states whether the picture moves", () => {
  const zoom = new Zoom(), stage = frame(4000, 3000);
  assert.equal(zoom.pan(80, 0, stage), false, "a fitted picture");
  zoom.to(2, stage);
  assert.equal(zoom.pan(80, 0, stage), true);
  zoom.pan(1e6, 0, stage);
  assert.equal(zoom.pan(80, 0, stage), false, "at its edge");
});

test("shared zoom shows the same part of pictures of one shape", () => {
  const zoom = new Zoom(), large = frame(2048, 1536, 500, 800), small = frame(512, 384, 500, 800);
  zoom.to(3, large, 100, 380);
  close(under(zoom, large, 250, 400), under(zoom, small, 250, 400));
});
