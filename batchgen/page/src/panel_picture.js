/** Sections of the details from the page's columns: suspects, prompt, facts, and what the picture was made from. */

import { h } from "./dom.js";
import { holds, maskOf, partners } from "./edits.js";
import { bytes, clock, count, day, duration, money, number } from "./format.js";
import { icon } from "./icons.js";
import { STATES } from "./labels.js";

/** @typedef {import("./types").Page} Page */
/** @typedef {import("./dom.js").Child} Child */

/** Characters of a prompt that are shown at first. */
const EXCERPT = 3000;

/** What each kind of suspect means to the one who looks. @type {Record<string, string>} */
const SUSPECTS = {
  tiny: "The picture is tiny.",
  "one-colour": "The picture has only one colour.",
  "wrong-size": "The picture does not have the size that was requested.",
  "no-alpha": "The picture should be transparent and is not.",
  duplicate: "The same file as another picture.",
  "near-duplicate": "Looks nearly like another picture.",
  "same-as-source": "Looks like its input: nothing was edited.",
  "no-c2pa": "Carries no C2PA, unlike the model's other pictures.",
  unreadable: "The file cannot be read.",
};

/** Why the picture may be wrong. @param {Page} page @param {number} row */
export function alerts(page, row) {
  const { tiles, words } = page.document;
  const suspects = (tiles.suspects[row] ?? []).map(([kind, other, detail]) => {
    const word = words.suspect[kind];
    return h(
      "div",
      { class: "alert" },
      icon("warning"),
      h(
        "div",
        {},
        h("p", { text: SUSPECTS[word] ?? word }),
        detail && other < 0 && h("p", { class: "text", text: detail }),
        other >= 0 &&
          h(
            "p",
            { class: "links" },
            link(tiles.key[other], () => page.view.open(other)),
            link("Compare", () => page.view.compare([row, other])),
          ),
      ),
    );
  });
  const replaced = page.marks.replaced(row);
  if (replaced) {
    const word = replaced.mark === "pick" ? "picked" : replaced.mark === "reject" ? "rejected" : "marked";
    suspects.unshift(
      h(
        "div",
        { class: "alert calm" },
        icon("history"),
        h(
          "div",
          {},
          h("p", {
            text: `You ${word} the file that was here before. It was replaced, so the mark no longer counts.`,
          }),
          replaced.note && h("p", { class: "text", text: replaced.note }),
        ),
      ),
    );
  }
  return suspects.length ? h("section", { class: "alerts" }, suspects) : null;
}

/** @param {string} prompt @param {HTMLElement} button that copies it */
export function promptText(prompt, button) {
  const text = h("p", { class: "prompt text", dir: "auto", tabindex: "0", text: prompt.slice(0, EXCERPT) });
  const more =
    prompt.length > EXCERPT &&
    h("button", {
      class: "link",
      type: "button",
      text: `Show all ${count(prompt.length, "character")}`,
      onclick: () => {
        text.textContent = prompt;
        if (more) more.remove();
      },
    });
  return h(
    "section",
    {},
    h("h3", {}, "Prompt", button),
    prompt ? text : h("p", { class: "faint", text: "No prompt" }),
    more,
  );
}

/** Tags, each of which shows its pictures. @param {Page} page @param {number} row */
function tagLinks({ view, document: { tiles, words } }, row) {
  return (tiles.tags[row] || []).map((tag) =>
    link(words.tag[tag], () => {
      view.close();
      view.only("tag", words.tag[tag]);
    }),
  );
}

/** @param {Page} page @param {number} row */
function fileFact({ document: { tiles, words } }, row) {
  const parts = [
    bytes(tiles.bytes[row]),
    words.mime[tiles.mime[row]]?.replace("image/", "").toUpperCase(),
    holds(tiles.alpha, row) && "transparent",
    holds(tiles.gone, row) && "not on the disk any more",
  ];
  return parts.filter(Boolean).join(", ");
}

/** State and cause. @param {Page} page @param {number} row */
function stateFact({ document: { tiles, words } }, row) {
  const state = words.state[tiles.state[row]];
  const name = (STATES[state] ?? state).toLowerCase();
  const text = [name, words.cause[tiles.cause[row]]].filter(Boolean).join(": ");
  return h("span", { class: "state" }, h("span", { class: `dot ${state}` }), text);
}

/** @param {Page} page @param {number} row */
export function facts(page, row) {
  const { tiles, words, zone } = page.document;
  const pictured = tiles.ordinal[row] >= 0;
  const pixels = tiles.width[row] * tiles.height[row];
  const tags = tagLinks(page, row);
  const cost = [
    tiles.usd[row] !== null && money(tiles.usd[row]),
    tiles.credits[row] !== null && `${number(/** @type {number} */ (tiles.credits[row]))} credits`,
  ].filter(Boolean);
  /** @type {[string, Child][]} */
  const facts = [
    ["State", stateFact(page, row)],
    ["Provider", words.provider[tiles.provider[row]]],
    ["Model", words.model[tiles.model[row]]],
    ["Mode", tiles.mode && words.mode[tiles.mode[row]]],
    ["Kind", words.kind[tiles.kind[row]]],
    ["Size", pictured && pixels > 0 && `${tiles.width[row]} × ${tiles.height[row]}${megapixels(pixels)}`],
    ["File", pictured && fileFact(page, row)],
    ["C2PA", pictured && (holds(tiles.c2pa, row) ? "yes, states its origin" : "none")],
    ["Cost", cost.length ? cost.join(", ") : pictured && "no price known"],
    [
      "Time",
      tiles.at[row] > 0 &&
        [
          `${day(tiles.at[row], zone)}, ${clock(tiles.at[row], zone)}`,
          tiles.seconds[row] > 0 && `took ${duration(tiles.seconds[row])}`,
        ]
          .filter(Boolean)
          .join(", "),
    ],
    ["Tags", tags.length > 0 && h("span", { class: "links" }, tags)],
  ];
  return h(
    "section",
    {},
    h(
      "dl",
      {},
      facts.filter(([, value]) => value).map(([name, value]) => [h("dt", { text: name }), h("dd", {}, value)]),
    ),
  );
}

/** A picture that came before, with a button that compares. @param {import("./edits.js").Partner} partner
 * @param {number} zone @param {() => void} press */
function origin(partner, zone, press) {
  return h(
    "li",
    {},
    h(
      "button",
      {
        type: "button",
        class: "mini",
        "aria-label": `Compare with ${partner.label}: ${partner.title}`,
        onclick: press,
      },
      partner.picture.thumb && h("img", { src: partner.picture.thumb, alt: "" }),
    ),
    h(
      "div",
      {},
      h("p", {
        class: "muted",
        text:
          partner.kind === "earlier" && partner.at
            ? `Earlier form, ${day(partner.at, zone)}, ${clock(partner.at, zone)}`
            : partner.label,
      }),
      partner.picture.url
        ? h("a", {
            class: "mono",
            href: partner.picture.url,
            target: "_blank",
            rel: "noreferrer",
            text: partner.picture.path,
          })
        : h("span", { class: "mono", text: partner.picture.path }),
      partner.prompt && h("p", { class: "text", text: partner.prompt.slice(0, EXCERPT) }),
    ),
  );
}

/** Inputs, mask and earlier forms. @param {Page} page @param {number} row @param {(index: number) => void} choose */
export function origins(page, row, choose) {
  const all = partners(page, row);
  const mask = maskOf(page, row);
  if (!all.length && !mask) return null;
  const inputs = all.filter((partner) => partner.kind === "input").length;
  const { zone } = page.document;
  const items = all.map((partner, index) => origin(partner, zone, () => choose(index)));
  const masked =
    mask &&
    h(
      "li",
      {},
      h("span", { class: "mini checker" }, mask.thumb && h("img", { src: mask.thumb, alt: "" })),
      h("div", {}, h("p", { class: "muted", text: "Mask" }), h("span", { class: "mono", text: mask.path })),
    );
  return h(
    "section",
    {},
    h("h3", { text: inputs ? "Made from" : all.length ? "Earlier" : "Mask" }),
    h("ul", { class: "partners" }, items, masked),
  );
}

/** @param {string} text @param {() => void} press */
const link = (text, press) => h("button", { class: "link", type: "button", text, onclick: press });

/** @param {number} pixels */
const megapixels = (pixels) => (pixels >= 1e5 ? `, ${(pixels / 1e6).toFixed(1)} MP` : "");
