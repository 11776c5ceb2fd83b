/** Zoom and pan of pictures: one state, shared by all stages that show the same motif. */

/**
 * The view of one picture through one stage; lengths in CSS pixels.
 * @typedef {{
 *   width: number, height: number, pictureWidth: number, pictureHeight: number, draw: (box: Box) => void,
 * }} Frame
 * @typedef {{ left: number, top: number, width: number, height: number }} Box
 */

/** A picture of few pixels is enlarged so often at most when it is fitted into the stage. */
const LARGEST_FIT = 8;
const STEP = 1.4;

/** Device pixels in one CSS pixel: 100 % means a pixel of the picture on a pixel of the screen. */
const density = () => globalThis.devicePixelRatio || 1;

/** @param {number} value @param {number} least @param {number} most */
export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/** CSS pixels for a pixel of the picture when the whole picture is shown. @param {Frame} frame */
export function fitOf(frame) {
  const margin = frame.width < 600 ? 8 : 24;
  const wide = (frame.width - 2 * margin) / frame.pictureWidth;
  const high = (frame.height - 2 * margin) / frame.pictureHeight;
  return Math.max(Math.min(wide, high, LARGEST_FIT), 0.001);
}

/** The scale, relative to the fit, at which a pixel of the picture is a pixel of the screen. @param {Frame} frame */
export const actualScale = (frame) => 1 / (fitOf(frame) * density());

/** The lowest and the highest scale of a frame. @param {Frame} frame @returns {[number, number]} */
export function scales(frame) {
  const actual = actualScale(frame);
  return [Math.min(1, actual), Math.max(8, 8 * actual)];
}

/** Start of a picture of `length` in a `room`: its point `centre` (0 to 1) in the middle, no gap at its edges. */
const start = (/** @type {number} */ length, /** @type {number} */ room, /** @type {number} */ centre) =>
  length <= room ? (room - length) / 2 : clamp(room / 2 - centre * length, room - length, 0);

/** The centre that leaves no gap at the edges. */
const centred = (/** @type {number} */ length, /** @type {number} */ room, /** @type {number} */ centre) =>
  length <= room ? 0.5 : clamp(centre, room / 2 / length, 1 - room / 2 / length);

export class Zoom {
  scale = 1; // of the fit
  x = 0.5; // the point of the picture in the middle of the stage, 0 to 1
  y = 0.5;
  /** @type {Set<Frame>} */
  frames = new Set();
  /** Called after each drawing. */
  changed = () => {};
  #due = 0;

  /** @param {Frame} frame @returns {Box} */
  box(frame) {
    const factor = fitOf(frame) * this.scale;
    const width = frame.pictureWidth * factor;
    const height = frame.pictureHeight * factor;
    return { left: start(width, frame.width, this.x), top: start(height, frame.height, this.y), width, height };
  }

  /** Percent of the picture's own pixels. @param {Frame} frame */
  percent(frame) {
    return Math.round(fitOf(frame) * this.scale * density() * 100);
  }

  get fitted() {
    return Math.abs(this.scale - 1) < 0.005;
  }

  /**
   * Scale so that the point of the picture under the pointer keeps its place.
   * @param {number} scale @param {Frame} frame
   * @param {number} [left] of the pointer; without it the middle of the stage
   * @param {number} [top]
   */
  to(scale, frame, left = frame.width / 2, top = frame.height / 2) {
    const before = this.box(frame);
    const [least, most] = scales(frame);
    this.scale = clamp(scale, least, most);
    const growth = (this.scale * fitOf(frame) * frame.pictureWidth) / before.width;
    const width = before.width * growth;
    const height = before.height * growth;
    const across = (left - before.left) / before.width;
    const down = (top - before.top) / before.height;
    this.x = centred(width, frame.width, across + (frame.width / 2 - left) / width);
    this.y = centred(height, frame.height, down + (frame.height / 2 - top) / height);
    this.draw();
  }

  /** One step larger or smaller. @param {1 | -1} by @param {Frame} frame */
  step(by, frame) {
    const next = this.scale * STEP ** by;
    const passesFit = (this.scale < 0.995 && next > 1) || (this.scale > 1.005 && next < 1);
    this.to(passesFit ? 1 : next, frame);
  }

  /** Fit, or 100 %. @param {Frame} frame @param {number} [left] @param {number} [top] */
  toggle(frame, left, top) {
    const actual = actualScale(frame);
    if (!this.fitted) this.to(1, frame);
    else this.to(Math.abs(actual - 1) < 0.02 ? 2 : actual, frame, left, top);
  }

  /** Move the picture; false where it is at its edge already.
   * @param {number} left @param {number} top @param {Frame} frame */
  pan(left, top, frame) {
    const { width, height } = this.box(frame);
    const x = centred(width, frame.width, this.x - left / width);
    const y = centred(height, frame.height, this.y - top / height);
    const moves = Math.abs(x - this.x) * width > 0.5 || Math.abs(y - this.y) * height > 0.5;
    this.x = x;
    this.y = y;
    if (moves) this.draw();
    return moves;
  }

  reset() {
    this.scale = 1;
    this.x = this.y = 0.5;
    this.draw();
  }

  /** Draw all frames with the next frame of the screen. */
  draw() {
    this.#due ||= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    cancelAnimationFrame(this.#due);
    this.#due = 0;
    for (const frame of this.frames) frame.draw(this.box(frame));
    this.changed();
  }
}
