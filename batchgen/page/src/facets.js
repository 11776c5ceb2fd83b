/** The list of filters: facets with their values and counts. Beside the grid, or in a sheet on a phone. */

import { h, setAttribute, setText } from "./dom.js";
import { FACETS, rangeTitle } from "./filters.js";
import { number } from "./format.js";
import { CAUSES, KINDS, MARKS, MODES, STATES, SUSPECTS } from "./labels.js";
import { closeSheet, openSheet } from "./sheet.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./types").Facet} Facet */

/** @type {Record<Facet, string>} */
export const TITLES = {
  state: "State",
  cause: "Cause",
  mark: "Mark",
  suspect: "Worth a look",
  earlier: "Made again",
  kind: "Kind",
  provider: "Provider",
  model: "Model",
  purchase: "Mode",
  tag: "Tag",
  size: "Size",
  cost: "Cost",
  mime: "Format",
  c2pa: "C2PA",
  time: "Day",
};

const SHORT = 8; // values of a facet before "more"
const ALWAYS = new Set(["state", "mark"]); // facets that show values without a single picture
/** Facets whose values keep their order; of the others the most frequent come first. */
const IN_ORDER = new Set(["state", "mark", "size", "cost", "time", "suspect", "earlier", "c2pa"]);

/** The name of a value. @param {BuiltPage} page @param {Facet} facet @param {string} value */
export function valueName({ document: { zone } }, facet, value) {
  switch (facet) {
    case "state":
      return STATES[value] ?? value;
    case "cause":
      return CAUSES[value] ?? value;
    case "mark":
      return MARKS[value] ?? value;
    case "suspect":
      return SUSPECTS[value] ?? value;
    case "kind":
      return KINDS[value] ?? value;
    case "purchase":
      return MODES[value] ?? value;
    case "size":
      return value.replace("x", " × ");
    case "mime":
      return value.replace(/^image\//, "").toUpperCase();
    case "earlier":
      return value === "yes" ? "Has an earlier form" : "Made once";
    case "c2pa":
      return value === "yes" ? "Carries C2PA" : "Without C2PA";
    case "cost":
    case "time":
      return rangeTitle(facet, value, zone);
    default:
      return value;
  }
}

/** The facets as an element; `draw` brings it up to date. @param {BuiltPage} page */
function facetSections(page) {
  const sections = FACETS.map((facet) => facetSection(page, facet));
  const element = h(
    "div",
    { class: "facets" },
    sections.map(({ element }) => element),
  );
  const draw = () => {
    for (const section of sections) section.draw();
  };
  return { element, draw };
}

/** The facets beside the grid; the view announces its rows once the page is built. @param {BuiltPage} page */
export function facetList(page) {
  const { element, draw } = facetSections(page);
  for (const topic of /** @type {const} */ (["rows", "marks"])) page.view.on(topic, draw);
  return element;
}

/** @param {BuiltPage} page @param {Facet} facet */
function facetSection(page, facet) {
  const { view } = page;
  let whole = false;
  const list = h("div", { class: "options" });
  const more = h("button", {
    class: "more",
    type: "button",
    onclick: () => {
      whole = !whole;
      draw();
    },
  });
  const clear = h("button", {
    class: "clear",
    type: "button",
    text: "Clear",
    "aria-label": `Clear ${TITLES[facet]}`,
    onclick: () => view.unfilter(facet),
  });
  const element = h(
    "section",
    { class: "facet", "aria-label": TITLES[facet] },
    h("h3", {}, h("span", { text: TITLES[facet] }), clear),
    list,
    more,
  );
  /** Buttons by value. @type {Map<string, HTMLButtonElement>} */
  const options = new Map();

  function draw() {
    const chosen = view.filters.get(facet) ?? new Set(),
      values = shownValues(page, facet);
    const cut = whole ? values : values.filter(([value], index) => index < SHORT || chosen.has(value));
    element.hidden = !isUseful(page, facet, values);
    if (element.hidden) return;
    clear.hidden = chosen.size === 0;
    more.hidden = values.length <= SHORT;
    setText(more, whole ? "Fewer" : `${number(values.length - cut.length)} more`);
    const buttons = cut.map(([value, count]) => {
      let button = options.get(value);
      if (!button) options.set(value, (button = option(page, facet, value)));
      return dressOption(button, count, chosen.has(value));
    });
    replaceButtons(list, buttons);
  }
  return { element, draw };
}

/** @param {HTMLButtonElement} button @param {number} count below 0: unknown @param {boolean} chosen */
function dressOption(button, count, chosen) {
  setText(/** @type {HTMLElement} */ (button.lastElementChild), count < 0 ? "" : number(count));
  setAttribute(button, "aria-pressed", String(chosen));
  button.classList.toggle("zero", count === 0);
  return button;
}

/** Lists the buttons, if they are others or in another order; the one that has the focus keeps it.
 * @param {HTMLElement} list @param {HTMLButtonElement[]} buttons */
function replaceButtons(list, buttons) {
  const same = buttons.length === list.childElementCount && buttons.every((button, at) => list.children[at] === button);
  if (same) return;
  const focused = document.activeElement;
  list.replaceChildren(...buttons);
  if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

/** The values of a facet and their counts, in the order in which they are listed.
 * @param {BuiltPage} page @param {Facet} facet @returns {[string, number][]} */
function shownValues({ view }, facet) {
  const { words } = view.columns[facet],
    counts = view.counts.of(facet),
    chosen = view.filters.get(facet) ?? new Set();
  /** @type {[string, number][]} */
  const values = words.map((word, code) => [word, counts[code] ?? 0]);
  // A range that was brushed over the night is not among the words, and has no count.
  for (const value of chosen) if (!words.includes(value)) values.push([value, -1]);
  const listed = values.filter(([value]) => isListed(view, facet, value));
  if (IN_ORDER.has(facet) && (facet !== "size" || listed.length <= SHORT)) return listed;
  return listed.sort(
    (a, b) => view.counts.total(facet, b[0]) - view.counts.total(facet, a[0]) || a[0].localeCompare(b[0]),
  );
}

/** Marks are listed while they are few words: single numbers of stars only where there are such pictures.
 * @param {import("./view").PageView} view @param {Facet} facet @param {string} value */
function isListed(view, facet, value) {
  if (view.filters.get(facet)?.has(value)) return true;
  if (facet === "mark" && /^[1-5]$|replaced/.test(value)) return view.counts.total(facet, value) > 0;
  if (facet === "state") return view.counts.total(facet, value) > 0 || ["done", "failed", "pending"].includes(value);
  return ALWAYS.has(facet) || view.counts.total(facet, value) > 0;
}

/** A facet with a single value that all pictures have divides nothing.
 * @param {BuiltPage} page @param {Facet} facet @param {[string, number][]} values */
function isUseful({ view }, facet, values) {
  if (ALWAYS.has(facet) || view.filters.has(facet)) return true;
  if (facet === "earlier" || facet === "c2pa")
    return view.counts.total(facet, "yes") > 0 && view.counts.total(facet, "no") > 0;
  if (facet === "cause") return values.some(([, count]) => count > 0);
  if (facet === "suspect" || facet === "tag") return values.length > 0;
  return values.length > 1;
}

/** @param {BuiltPage} page @param {Facet} facet @param {string} value */
function option(page, facet, value) {
  const title = valueName(page, facet, value);
  return h(
    "button",
    {
      class: "opt",
      type: "button",
      "aria-pressed": "false",
      title: title.length > 24 ? title : null,
      "data-value": value,
      onclick: (/** @type {MouseEvent} */ event) => {
        if (event.altKey) page.view.unfilter(facet);
        page.view.filter(facet, value, event.altKey || undefined);
      },
    },
    facet === "state" && h("span", { class: `dot ${value}` }),
    h("span", { class: "n", text: title }),
    h("span", { class: "c" }),
  );
}

/** Opens the facets as a sheet, for a phone. @param {BuiltPage} page */
export function openFacets(page) {
  const { view } = page,
    { element, draw } = facetSections(page);
  const done = h("button", { class: "btn primary", type: "button", onclick: closeSheet });
  const update = () => {
    draw();
    setText(done, `Show ${number(view.rows.length)}`);
  };
  const end = view.on("rows", update);
  update();
  openSheet("Filters", h("div", { class: "facet-sheet" }, element, h("footer", {}, done)), { closed: end });
}
