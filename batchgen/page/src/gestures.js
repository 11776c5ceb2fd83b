/** Pointer gestures of a stage: wheel and pinch zoom, drag pans, double click toggles, a swipe changes the picture. */

/** @typedef {import("./zoom").Zoom} Zoom */
/** @typedef {import("./zoom").Frame} Frame */
/**
 * What a stage does on a swipe; `drag` gets the way of the finger so far, and 0 at the end.
 * @typedef {{ swipe?: (by: 1 | -1) => void, drag?: (left: number) => void }} Hooks
 */

const SWIPE = 56; // px
const DOUBLE_TAP = 300; // ms

/**
 * @param {HTMLElement} element of the stage
 * @param {() => Zoom} zoom
 * @param {Frame} frame
 * @param {Hooks} hooks
 */
export function addGestures(element, zoom, frame, hooks = {}) {
  const pointers = new Pointers(element, zoom, frame, hooks);
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const speed = event.ctrlKey ? 0.01 : event.deltaMode ? 0.05 : 0.0022;
      zoom().to(zoom().scale * Math.exp(-event.deltaY * speed), frame, ...pointers.at(event));
    },
    { passive: false },
  );
  element.addEventListener("dblclick", (event) => {
    if (!onControl(event)) zoom().toggle(frame, ...pointers.at(event));
  });
  element.addEventListener("pointerdown", (event) => pointers.down(event));
  element.addEventListener("pointermove", (event) => pointers.move(event));
  element.addEventListener("pointerup", (event) => pointers.up(event, true));
  element.addEventListener("pointercancel", (event) => pointers.up(event, false));
}

/** @param {Event} event */
const onControl = (event) =>
  event.target instanceof Element && !!event.target.closest("button, a, [role=slider], .seg");

class Pointers {
  /** @type {Map<number, { x: number, y: number }>} */
  #points = new Map();
  #start = { x: 0, y: 0 };
  #apart = 1; // of two fingers, for a scale of 1
  #many = false; // two fingers were down: the rest of the gesture is not a swipe
  #tap = { time: 0, x: 0, y: 0 };

  /** @param {HTMLElement} element @param {() => Zoom} zoom @param {Frame} frame
   *  @param {Hooks} hooks */
  constructor(element, zoom, frame, hooks) {
    this.element = element;
    this.zoom = zoom;
    this.frame = frame;
    this.hooks = hooks;
  }

  /** Position within the stage. @param {{ clientX: number, clientY: number }} event @returns {[number, number]} */
  at(event) {
    const bounds = this.element.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (event.button > 0 || onControl(event)) return;
    if (this.#points.size === 0) {
      this.#start = { x: event.clientX, y: event.clientY };
      this.#many = false;
    }
    this.#points.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.element.setPointerCapture(event.pointerId);
    this.element.classList.add("drag");
    if (this.#points.size === 2) {
      this.#many = true;
      this.hooks.drag?.(0);
      this.#apart = this.#gap() / this.zoom().scale;
    }
  }

  /** @param {PointerEvent} event */
  move(event) {
    const point = this.#points.get(event.pointerId);
    if (!point) return;
    const left = event.clientX - point.x;
    const top = event.clientY - point.y;
    point.x = event.clientX;
    point.y = event.clientY;
    if (this.#points.size === 2) this.#pinch();
    else if (this.zoom().scale > 1.005) this.zoom().pan(left, top, this.frame);
    else if (this.#swipes(event)) this.hooks.drag?.(event.clientX - this.#start.x);
  }

  /** @param {PointerEvent} event @param {boolean} complete */
  up(event, complete) {
    if (!this.#points.delete(event.pointerId) || this.#points.size) return;
    this.element.classList.remove("drag");
    const swipes = this.#swipes(event);
    if (swipes) this.hooks.drag?.(0);
    if (!complete || event.pointerType === "mouse") return;
    const left = event.clientX - this.#start.x;
    const top = event.clientY - this.#start.y;
    if (swipes && Math.abs(left) > SWIPE && Math.abs(left) > 1.5 * Math.abs(top)) this.hooks.swipe?.(left < 0 ? 1 : -1);
    else if (!this.#many && Math.hypot(left, top) < 10) this.#tapped(event);
  }

  /** @param {PointerEvent} event */
  #swipes(event) {
    return !!this.hooks.swipe && event.pointerType !== "mouse" && !this.#many && this.zoom().scale < 1.005;
  }

  #gap() {
    const [one, two] = [...this.#points.values()];
    return one && two ? Math.max(Math.hypot(one.x - two.x, one.y - two.y), 1) : 1;
  }

  #pinch() {
    const [one, two] = [...this.#points.values()];
    if (!one || !two) return;
    const middle = this.at({ clientX: (one.x + two.x) / 2, clientY: (one.y + two.y) / 2 });
    this.zoom().to(this.#gap() / this.#apart, this.frame, ...middle);
  }

  /** A second tap at the same place toggles the zoom. @param {PointerEvent} event */
  #tapped(event) {
    const { clientX: x, clientY: y, timeStamp: time } = event;
    const twice = time - this.#tap.time < DOUBLE_TAP && Math.hypot(x - this.#tap.x, y - this.#tap.y) < 30;
    this.#tap = { time: twice ? 0 : time, x, y };
    if (!twice) return;
    event.preventDefault();
    this.zoom().toggle(this.frame, ...this.at(event));
  }
}
