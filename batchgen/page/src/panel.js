/** The details beside a picture: what it is at once, and what its job went through as soon as that is loaded. */

import { copy, h } from "./dom.js";
import { quote } from "./format.js";
import { icon } from "./icons.js";
import { attempts, files, parameters } from "./panel_job.js";
import { alerts, facts, origins, promptText } from "./panel_picture.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Detail} Detail */

/** A picture that is passed quickly loads no details. */
const PATIENCE = 60; // ms

export class Panel {
  element = h("aside", { class: "panel", "aria-label": "Details", tabindex: "-1" });
  row = -1;
  #timer = 0;
  #scrolled = false;
  #note = h("textarea", {
    class: "input note",
    rows: "3",
    maxlength: "1000", // what an import takes
    placeholder: "What should change? It goes along with the mark.",
    "aria-label": "Note",
    onblur: () => this.saveNote(),
    onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
  });

  /** @param {Page} page @param {(index: number) => void} choose a partner @param {() => void} leave the note */
  constructor(page, choose, leave) {
    this.page = page;
    this.choose = choose;
    this.leave = leave;
    this.element.addEventListener("scroll", () => {
      this.#scrolled = true;
    });
    addEventListener("pagehide", () => this.saveNote());
  }

  /** @param {number} row */
  show(row) {
    this.saveNote();
    this.row = row;
    this.#note.value = this.page.marks.get(row)?.note ?? "";
    const prompt = this.page.prompt(row);
    const job = h(
      "div",
      { class: "panel-job", "aria-live": "off" },
      h("p", { class: "faint loading", text: "Loading details" }),
    );
    this.element.replaceChildren(
      ...[
        alerts(this.page, row),
        promptText(
          prompt,
          this.#copy("Copy the prompt", "Prompt", () => prompt),
        ),
        facts(this.page, row),
        origins(this.page, row, this.choose),
        h("section", {}, h("h3", {}, "Note", h("kbd", { text: "N" })), this.#note),
        job,
        this.#copies(),
      ].filter((element) => element !== null),
    );
    if (this.#scrolled) this.element.scrollTop = 0; // reading or setting it costs a layout
    this.#scrolled = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(row, job), PATIENCE);
  }

  clear() {
    this.saveNote();
    clearTimeout(this.#timer);
    this.row = -1;
    this.element.replaceChildren();
  }

  focusNote() {
    this.#note.scrollIntoView({ block: "center" });
    this.#note.focus({ preventScroll: true });
  }

  /** Take over the note of a mark that was changed elsewhere. */
  refreshNote() {
    if (this.row >= 0 && document.activeElement !== this.#note)
      this.#note.value = this.page.marks.get(this.row)?.note ?? "";
  }

  /** Keep the note; one step of undo for each visit of the field. */
  saveNote() {
    if (this.row < 0) return;
    const note = this.#note.value.trim();
    if (note !== (this.page.marks.get(this.row)?.note ?? "")) {
      this.page.marks.change([this.row], { note }, note ? "Note kept for" : "Note removed from");
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" && !(event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.preventDefault();
    event.stopPropagation();
    this.leave();
  }

  /** @param {number} row @param {HTMLElement} place */
  async #load(row, place) {
    try {
      const detail = await this.page.detail(row);
      if (row !== this.row) return;
      place.replaceChildren(
        ...[
          detail.message &&
            !detail.attempts.some((attempt) => attempt.message === detail.message) &&
            h("p", { class: "alert bad text", text: detail.message }),
          detail.note && h("p", { class: "muted text", text: `Note of redo: ${detail.note}` }),
          parameters(detail),
          attempts(this.page, detail),
          files(this.page, row, detail),
        ].filter((element) => element instanceof HTMLElement),
      );
    } catch (error) {
      if (row === this.row)
        place.replaceChildren(
          h("p", { class: "alert bad", text: error instanceof Error ? error.message : String(error) }),
        );
    }
  }

  #copies() {
    const { tiles, words, commands } = this.page.document;
    const row = this.row;
    const key = quote(tiles.key[row]);
    const state = words.state[tiles.state[row]];
    const id = (/** @type {string} */ command) => () => `${command} --id ${key}`;
    /** @type {[string, () => string | Promise<string>][]} */
    const buttons = [["Id", () => tiles.key[row]]];
    if (tiles.path[row]) buttons.push(["Path", () => tiles.path[row]]);
    buttons.push(["YAML", async () => (await this.page.detail(row)).yaml]);
    if (state === "done") buttons.push(["Redo command", id(commands.redo)]);
    else if (state === "pending") buttons.push(["Run command", id(commands.run)]);
    else if (state === "at_provider") buttons.push(["Collect command", () => commands.collect]);
    else buttons.push(["Retry command", id(commands.retry)]);
    buttons.push(["Show command", () => `${commands.show} ${key}`]);
    return h(
      "section",
      {},
      h("h3", { text: "Copy" }),
      h(
        "div",
        { class: "copies" },
        buttons.map(([name, text]) =>
          h("button", { class: "btn small", type: "button", text: name, onclick: () => this.#copyText(name, text) }),
        ),
      ),
    );
  }

  /** @param {string} label @param {string} name @param {() => string} text */
  #copy(label, name, text) {
    return h(
      "button",
      {
        class: "btn quiet icon small",
        type: "button",
        "aria-label": label,
        title: label,
        onclick: () => this.#copyText(name, text),
      },
      icon("copy"),
    );
  }

  /** @param {string} name @param {() => string | Promise<string>} text */
  async #copyText(name, text) {
    try {
      const copied = await copy(await text());
      this.page.toast(copied ? `${name} copied` : `${name} not copied: the browser does not allow it`);
    } catch (error) {
      this.page.toast(error instanceof Error ? error.message : String(error));
    }
  }
}
