/** The handle that divides before and after: it wipes from one to the other, or fades. */

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { clamp } from "./zoom.js";

/** @typedef {import("./stage.js").Stage} Stage */
/** @typedef {import("./zoom.js").Box} Box */
/** How the two pictures are joined. @typedef {"wipe" | "fade" | "difference"} Blend */

export class Slider {
  /** Part of the picture that shows what came before, in percent. */
  cut = 50;
  /** @type {Blend} */
  blend = "wipe";
  /** @type {Box} */
  #box = { left: 0, top: 0, width: 1, height: 1 };
  #on = false;

  /** @param {Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.knob = h(
      "div",
      {
        class: "knob",
        role: "slider",
        tabindex: "0",
        hidden: true,
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        "aria-orientation": "horizontal",
        onpointerdown: (/** @type {PointerEvent} */ event) => this.#down(event),
        onpointermove: (/** @type {PointerEvent} */ event) => this.#move(event),
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      },
      icon("drag"),
    );
    stage.element.append(this.knob);
    stage.onPlace = (box) => {
      this.#box = box;
      this.#draw();
    };
  }

  /** Show the handle, or take it away and show all layers whole. @param {boolean} on @param {Blend} blend */
  set(on, blend) {
    this.#on = on;
    this.blend = blend;
    this.#draw();
  }

  /** @param {number} by percent */
  move(by) {
    this.cut = clamp(this.cut + by, 0, 100);
    this.#draw();
  }

  #draw() {
    const wipes = this.#on && this.blend === "wipe";
    const fades = this.#on && this.blend === "fade";
    this.knob.hidden = !wipes && !fades;
    this.knob.classList.toggle("fade", fades);
    this.knob.setAttribute("aria-label", fades ? "Fade between before and after" : "Divide before and after");
    this.knob.setAttribute("aria-valuenow", String(Math.round(this.cut)));
    this.knob.setAttribute("aria-valuetext", `${Math.round(this.cut)} % before`);
    this.knob.style.left = `${clamp(this.#box.left + (this.#box.width * this.cut) / 100, 0, this.stage.width)}px`;
    const before = this.stage.layer("before")?.element;
    const after = this.stage.layer("after")?.element;
    if (before) before.style.clipPath = wipes ? `inset(0 ${100 - this.cut}% 0 0)` : "";
    if (!after) return;
    after.style.clipPath = wipes ? `inset(0 0 0 ${this.cut}%)` : "";
    after.style.opacity = fades ? String(1 - this.cut / 100) : "";
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button > 0) return;
    event.preventDefault();
    event.stopPropagation();
    this.knob.setPointerCapture(event.pointerId);
    this.knob.classList.add("drag");
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.knob.hasPointerCapture(event.pointerId)) return;
    const left = event.clientX - this.stage.element.getBoundingClientRect().left;
    this.cut = clamp(((left - this.#box.left) / this.#box.width) * 100, 0, 100);
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const steps = /** @type {Record<string, number>} */ ({
      ArrowLeft: -2,
      ArrowDown: -2,
      ArrowRight: 2,
      ArrowUp: 2,
      PageDown: -10,
      PageUp: 10,
      Home: -100,
      End: 100,
    });
    const by = steps[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.move(event.shiftKey ? by * 5 : by);
  }
}
