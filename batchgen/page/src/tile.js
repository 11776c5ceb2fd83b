/** A tile of the grid: the picture in its well, badges and a caption. Tiles are filled again as the grid scrolls. */

import { thumbOf } from "./data.js";
import { h, setAttribute, setText } from "./dom.js";
import { bytes, money } from "./format.js";
import { icon } from "./icons.js";
import { CAUSES, STATES, SUSPECTS } from "./labels.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {{row: number, shown: string, state: string}} Filled what the tile shows, so that nothing is drawn twice */
/** @typedef {ReturnType<typeof createTile>} Tile */

/** @param {BuiltPage} page */
export function createTile(page) {
  const well = h("div", { class: "fit" });
  const badge = h("span", { class: "badge" });
  const corner = h("div", { class: "corner" });
  const folder = h("span", { class: "faint" }),
    name = h("span");
  const stars = h("span", { class: "stars" });
  const about = h("span"),
    price = h("span");
  const element = h(
    "div",
    { class: "tile", role: "gridcell", tabindex: "-1" },
    h("div", { class: "frame" }, well, badge, corner, h("span", { class: "open", title: "Open" }, icon("expand"))),
    h(
      "div",
      { class: "cap", "aria-hidden": "true" },
      h("div", { class: "l1" }, h("span", { class: "id" }, folder, name), stars),
      h("div", { class: "l2" }, about, price),
    ),
  );
  let row = -1,
    picture = "",
    dressed = "";

  /** @param {number} next */
  function fill(next) {
    row = next;
    element.dataset.row = String(row);
    const { tiles } = page.document;
    const now = `${row} ${tiles.sha[row]} ${tiles.state[row]}`;
    if (now !== picture) {
      picture = now;
      well.replaceChildren(tiles.ordinal[row] < 0 ? ghost(page, row) : wellImage(page, row));
      caption();
    }
    dress();
  }

  function caption() {
    const { tiles } = page.document,
      key = tiles.key[row],
      cut = key.lastIndexOf("/") + 1;
    setText(folder, key.slice(0, cut));
    setText(name, key.slice(cut) + (tiles.ordinal[row] > 0 ? ` · ${tiles.ordinal[row] + 1}` : ""));
    setText(about, summary(page, row));
    setText(price, tiles.usd[row] === null ? "" : tiles.ordinal[row] < 0 ? "" : money(tiles.usd[row]));
    element.classList.toggle("none", tiles.ordinal[row] < 0);
    corner.replaceChildren(...corners(page, row));
  }

  /** Shows mark, selection and cursor. */
  function dress() {
    const { view, marks } = page,
      mark = marks.get(row),
      replaced = !mark && marks.replaced(row);
    const selected = view.selection.has(row),
      here = view.cursor === row;
    const now = `${row} ${mark?.mark} ${mark?.stars} ${mark?.note} ${Boolean(replaced)} ${selected} ${here}`;
    if (now === dressed) return;
    dressed = now;
    const { classList } = element;
    classList.toggle("p", mark?.mark === "pick");
    classList.toggle("x", mark?.mark === "reject");
    classList.toggle("was", Boolean(replaced));
    classList.toggle("sel", selected);
    classList.toggle("cur", here);
    const sign = mark?.mark === "pick" ? "check" : mark?.mark === "reject" ? "x" : replaced ? "history" : null;
    badge.replaceChildren(...(sign ? [icon(sign)] : []));
    badge.title = replaced ? "The picture that was marked has been replaced" : "";
    setText(stars, "★".repeat(mark?.stars ?? 0) + (mark?.note ? " ✎" : ""));
    setAttribute(element, "aria-selected", String(selected));
    setAttribute(element, "aria-label", tileName(page, row));
    element.tabIndex = here ? 0 : -1;
  }

  /** Shows the source of an edit for as long as a key is held. @param {boolean} on */
  function flicker(on) {
    const source = page.document.tiles.sources[row]?.[0],
      image = well.querySelector("img");
    if (source === undefined || !image) return;
    image.src = on ? thumbOf(page.document, page.document.words.source[source].sha) : page.thumb(row);
    element.classList.toggle("before", on);
  }

  return {
    element,
    fill,
    dress,
    flicker,
    get row() {
      return row;
    },
  };
}

/** What a screen reader reads for a tile. @param {BuiltPage} page @param {number} row */
function tileName(page, row) {
  const { tiles, words } = page.document,
    mark = page.marks.get(row);
  const prompt = page.prompt(row);
  return [
    prompt.length > 160 ? `${prompt.slice(0, 160)}…` : prompt,
    tiles.key[row] + (tiles.ordinal[row] > 0 ? ` picture ${tiles.ordinal[row] + 1}` : ""),
    STATES[words.state[tiles.state[row]]] ?? words.state[tiles.state[row]],
    mark?.mark === "pick" && "picked",
    mark?.mark === "reject" && "rejected",
    mark?.stars && `${mark.stars} of 5 stars`,
    mark?.note && "has a note",
    page.marks.replaced(row) && "replaced since it was marked",
    tiles.suspects[row] && "worth a look",
  ]
    .filter(Boolean)
    .join(", ");
}

/** The picture, contained, its checkerboard under itself only. @param {BuiltPage} page @param {number} row */
function wellImage(page, row) {
  const { tiles } = page.document,
    width = tiles.width[row] || 1,
    height = tiles.height[row] || 1;
  const image = h("img", {
    class: page.isClear(row) ? "checker" : "",
    alt: "",
    decoding: "async",
    draggable: "false",
  });
  image.style.aspectRatio = `${width} / ${height}`;
  image.style[width >= height ? "width" : "height"] = "100%";
  image.style.maxWidth = `${width}px`;
  image.style.maxHeight = `${height}px`;
  image.addEventListener("error", () => missing(image, page, row));
  image.src = page.thumb(row);
  return image;
}

/** Tries the original where the thumbnail is missing. @param {HTMLImageElement} image @param {BuiltPage} page
 * @param {number} row */
function missing(image, page, row) {
  const original = page.image(row);
  if (image.getAttribute("src") !== original) image.src = original;
  else
    image.replaceWith(h("div", { class: "ghost" }, icon("picture"), h("p", { text: "The picture cannot be shown" })));
}

/** A job without a picture: its state, its cause and what it asks for. @param {BuiltPage} page @param {number} row */
function ghost(page, row) {
  const { tiles, words } = page.document,
    state = words.state[tiles.state[row]],
    cause = words.cause[tiles.cause[row]];
  return h(
    "div",
    { class: "ghost" },
    h("span", { class: `dot ${state}` }),
    h("b", { text: cause && cause !== state ? (CAUSES[cause] ?? cause) : (STATES[state] ?? state) }),
    h("p", { class: "text", text: page.prompt(row).slice(0, 200) }),
  );
}

/** @param {BuiltPage} page @param {number} row */
function summary(page, row) {
  const { tiles, words } = page.document,
    provider = words.provider[tiles.provider[row]] ?? "";
  if (tiles.ordinal[row] < 0) return provider;
  const size = tiles.width[row] ? `${tiles.width[row]}×${tiles.height[row]}` : bytes(tiles.bytes[row]);
  return `${provider} · ${size}`;
}

/** @param {BuiltPage} page @param {number} row @returns {HTMLElement[]} signs of edits, suspects and earlier forms */
function corners(page, row) {
  const { tiles, words } = page.document,
    suspects = tiles.suspects[row],
    sources = tiles.sources[row];
  const signs = [];
  if (suspects) {
    const title = suspects.map(
      ([kind, , detail]) => `${SUSPECTS[words.suspect[kind]] ?? words.suspect[kind]}: ${detail}`,
    );
    signs.push(h("span", { class: "sus", title: title.join("\n") }, icon("warning")));
  }
  if (tiles.earlier[row]) signs.push(h("span", { title: "Has an earlier form" }, icon("history")));
  if (sources) {
    const more = sources.length > 1 ? String(sources.length) : null;
    signs.push(h("span", { title: "An edit: hold Space to see what it was made from" }, icon("slider"), more));
  }
  return signs;
}
