/** The details beside a picture: what it is at once, and what its job went through as soon as that is loaded. */

import { copy, h } from "./dom.js";
import { holds, maskOf, partners } from "./edits.js";
import { bytes, clock, count, day, duration, money, number, quote } from "./format.js";
import { icon } from "./icons.js";
import { attempts, files, parameters } from "./panel_job.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./types").Detail} Detail */
/** @typedef {import("./dom.js").Child} Child */

/** Characters of a prompt that are shown at first. */
const EXCERPT = 3000;
/** A picture that is passed quickly loads no details. */
const PATIENCE = 60; // ms

/** What each kind of suspect means to the one who looks. @type {Record<string, string>} */
const SUSPECTS = {
  tiny: "The picture is tiny.", "one-colour": "The picture has only one colour.",
  "wrong-size": "The picture has another size than was asked for.",
  "no-alpha": "The picture should be transparent and is not.", duplicate: "The same file as another picture.",
  "near-duplicate": "Looks nearly like another picture.", "same-as-source": "Looks like its input: nothing was edited.",
  "no-c2pa": "Carries no C2PA, unlike the model's other pictures.", unreadable: "The file cannot be read.",
};

export class Panel {
  element = h("aside", { class: "panel", "aria-label": "Details", tabindex: "-1" });
  row = -1;
  #timer = 0;
  #note = h("textarea", {
    class: "input note", rows: "3", maxlength: "2000", placeholder: "What should change? It goes along with the mark.",
    "aria-label": "Note", onblur: () => this.saveNote(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
  });

  /** @param {Page} page @param {(index: number) => void} choose a partner @param {() => void} leave the note */
  constructor(page, choose, leave) {
    this.page = page;
    this.choose = choose;
    this.leave = leave;
    addEventListener("pagehide", () => this.saveNote());
  }

  /** @param {number} row */
  show(row) {
    this.saveNote();
    this.row = row;
    this.#note.value = this.page.marks.get(row)?.note ?? "";
    const job = h("div", { class: "panel-job", "aria-live": "off" }, h("p", { class: "faint loading", text: "Loading details" }));
    this.element.replaceChildren(...[
      this.#alerts(), this.#prompt(), this.#facts(), this.#partners(),
      h("section", {}, h("h3", {}, "Note", h("kbd", { text: "N" })), this.#note), job, this.#copies(),
    ].filter((element) => element !== null));
    this.element.scrollTop = 0;
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
    if (this.row >= 0 && document.activeElement !== this.#note) this.#note.value = this.page.marks.get(this.row)?.note ?? "";
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
      place.replaceChildren(...[
        detail.message && h("p", { class: "alert bad text", text: detail.message }),
        detail.note && h("p", { class: "muted text", text: `Note of redo: ${detail.note}` }),
        parameters(detail), attempts(this.page, detail), files(this.page, row, detail),
      ].filter((element) => element instanceof HTMLElement));
      this.#yaml = detail.yaml;
    } catch (error) {
      if (row === this.row) place.replaceChildren(h("p", { class: "alert bad", text: error instanceof Error ? error.message : String(error) }));
    }
  }

  #yaml = "";

  #alerts() {
    const { tiles, words } = this.page.document;
    const suspects = (tiles.suspects[this.row] ?? []).map(([kind, other, detail]) => {
      const word = words.suspect[kind];
      return h("div", { class: "alert" }, icon("warning"), h("div", {}, h("p", { text: SUSPECTS[word] ?? word }),
        detail && h("p", { class: "text", text: detail }),
        other >= 0 && h("p", { class: "links" }, this.#button(tiles.key[other], () => this.page.view.open(other)),
          this.#button("Compare", () => this.page.view.compare([this.row, other])))));
    });
    const replaced = this.page.marks.replaced(this.row);
    if (replaced) {
      const word = replaced.mark === "pick" ? "picked" : replaced.mark === "reject" ? "rejected" : "marked";
      suspects.unshift(h("div", { class: "alert calm" }, icon("history"), h("div", {},
        h("p", { text: `You ${word} the file that was here before. It was replaced, so the mark no longer counts.` }),
        replaced.note && h("p", { class: "text", text: replaced.note }))));
    }
    return suspects.length ? h("section", { class: "alerts" }, suspects) : null;
  }

  #prompt() {
    const prompt = this.page.prompt(this.row);
    const text = h("p", { class: "prompt text", dir: "auto", tabindex: "0", text: prompt.slice(0, EXCERPT) });
    const more = prompt.length > EXCERPT && h("button", {
      class: "link", type: "button", text: `Show all ${count(prompt.length, "character")}`,
      onclick: () => { text.textContent = prompt; if (more) more.remove(); },
    });
    return h("section", {}, h("h3", {}, "Prompt", this.#copy("Copy the prompt", "Prompt", () => prompt)),
      prompt ? text : h("p", { class: "faint", text: "No prompt" }), more);
  }

  #facts() {
    const { tiles, words, zone } = this.page.document;
    const row = this.row;
    const pictured = tiles.ordinal[row] >= 0;
    const pixels = tiles.width[row] * tiles.height[row];
    const tags = (tiles.tags[row] || []).map((tag) => this.#button(words.tag[tag], () => this.#filter("tag", words.tag[tag])));
    const cost = [
      tiles.usd[row] !== null && money(tiles.usd[row]),
      tiles.credits[row] !== null && `${number(/** @type {number} */ (tiles.credits[row]))} credits`,
    ].filter(Boolean);
    /** @type {[string, Child][]} */
    const facts = [
      ["State", h("span", { class: "state" }, h("span", { class: `dot ${words.state[tiles.state[row]]}` }),
        [words.state[tiles.state[row]], words.cause[tiles.cause[row]]].filter(Boolean).join(": "))],
      ["Provider", words.provider[tiles.provider[row]]], ["Model", words.model[tiles.model[row]]],
      ["Kind", words.kind[tiles.kind[row]]],
      ["Size", pictured && pixels > 0 && `${tiles.width[row]} × ${tiles.height[row]}${megapixels(pixels)}`],
      ["File", pictured && [bytes(tiles.bytes[row]), words.mime[tiles.mime[row]]?.replace("image/", "").toUpperCase(),
        holds(tiles.alpha, row) && "transparent"].filter(Boolean).join(", ")],
      ["C2PA", pictured && (holds(tiles.c2pa, row) ? "yes, states its origin" : "none")],
      ["Cost", cost.length ? cost.join(", ") : pictured && "no price known"],
      ["Time", tiles.at[row] > 0 && [`${day(tiles.at[row], zone)}, ${clock(tiles.at[row], zone)}`,
        tiles.seconds[row] > 0 && `took ${duration(tiles.seconds[row])}`].filter(Boolean).join(", ")],
      ["Tags", tags.length > 0 && h("span", { class: "links" }, tags)],
    ];
    return h("section", {}, h("dl", {}, facts.filter(([, value]) => value)
      .map(([name, value]) => [h("dt", { text: name }), h("dd", {}, value)])));
  }

  #partners() {
    const all = partners(this.page, this.row);
    const mask = maskOf(this.page, this.row);
    if (!all.length && !mask) return null;
    const inputs = all.filter((partner) => partner.kind === "input").length;
    const { zone } = this.page.document;
    const items = all.map((partner, index) => h("li", {}, h("button", {
      type: "button", class: "mini", "aria-label": `Compare with ${partner.label}: ${partner.title}`, onclick: () => this.choose(index),
    }, partner.picture.thumb && h("img", { src: partner.picture.thumb, alt: "" })),
    h("div", {}, h("p", { class: "muted", text: partner.kind === "earlier" && partner.at
      ? `Earlier form, ${day(partner.at, zone)}, ${clock(partner.at, zone)}` : partner.label }),
    partner.picture.url
      ? h("a", { class: "mono", href: partner.picture.url, target: "_blank", rel: "noreferrer", text: partner.picture.path })
      : h("span", { class: "mono", text: partner.picture.path }),
    partner.prompt && h("p", { class: "text", text: partner.prompt.slice(0, EXCERPT) }))));
    const masked = mask && h("li", {}, h("span", { class: "mini checker" }, mask.thumb && h("img", { src: mask.thumb, alt: "" })),
      h("div", {}, h("p", { class: "muted", text: "Mask" }), h("span", { class: "mono", text: mask.path })));
    return h("section", {}, h("h3", { text: inputs ? "Made from" : all.length ? "Earlier" : "Mask" }), h("ul", { class: "partners" }, items, masked));
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
    buttons.push(["YAML", async () => this.#yaml || (await this.page.detail(row)).yaml]);
    if (state === "done") buttons.push(["Redo command", id(commands.redo)]);
    else if (state === "pending") buttons.push(["Run command", id(commands.run)]);
    else buttons.push(["Retry command", id(commands.retry)]);
    buttons.push(["Show command", () => `${commands.show} ${key}`]);
    return h("section", {}, h("h3", { text: "Copy" }), h("div", { class: "copies" }, buttons.map(([name, text]) =>
      h("button", { class: "btn small", type: "button", text: name, onclick: () => this.#copyText(name, text) }))));
  }

  /** @param {string} label @param {string} name @param {() => string} text */
  #copy(label, name, text) {
    return h("button", { class: "btn quiet icon small", type: "button", "aria-label": label, title: label,
      onclick: () => this.#copyText(name, text) }, icon("copy"));
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

  /** @param {"tag"} facet @param {string} value */
  #filter(facet, value) {
    this.page.view.close();
    this.page.view.only(facet, value);
  }

  /** @param {string} text @param {() => void} press */
  #button(text, press) {
    return h("button", { class: "link", type: "button", text, onclick: press });
  }
}

/** @param {number} pixels */
const megapixels = (pixels) => (pixels >= 1e5 ? `, ${(pixels / 1e6).toFixed(1)} MP` : "");
