/** The bar over the grid: how many pictures, the filters as chips, order, groups and size. */

import { h, setText } from "./dom.js";
import { openFacets, TITLES, valueName } from "./facets.js";
import { FACETS } from "./filters.js";
import { count, number } from "./format.js";
import { icon } from "./icons.js";
import { GROUPS, SORTS } from "./order.js";
import { announce } from "./page.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./types").Facet} Facet */

/** @param {BuiltPage} page @returns {HTMLElement} */
export function bar(page) {
  const { view } = page;
  const figure = h("span", { class: "count", text: "" });
  const chips = h("div", { class: "chips" });
  const filters = h(
    "button",
    { class: "btn quiet only-narrow", type: "button", onclick: () => openFacets(page) },
    icon("filter"),
    h("span", { text: "Filter" }),
  );
  const draw = () => {
    const text = total(page);
    if (figure.textContent && figure.textContent !== text) announce(text);
    setText(figure, text);
    chips.replaceChildren(...chipsOf(page));
  };
  view.on("rows", draw);
  const controls = h("div", { class: "controls" }, filters, ...choices(page), sizer(page), printButton());
  return h("div", { class: "bar" }, figure, chips, controls);
}

/** Order and groups. @param {BuiltPage} page */
function choices(page) {
  const { view } = page;
  const sort = (/** @type {string} */ value) => void (view.sort = value);
  const group = (/** @type {string} */ value) => void (view.group = value);
  return [
    choice("Sort", SORTS, () => view.sort, sort, page),
    choice("Group", GROUPS, () => view.group, group, page),
  ];
}

/** "142 pictures", "3 pictures and 7 jobs without one". @param {BuiltPage} page */
function total({ view, document: { tiles } }) {
  const { rows } = view;
  let pictures = 0;
  for (const row of rows) if (tiles.ordinal[row] >= 0) pictures++;
  const without = rows.length - pictures;
  if (!without) return count(pictures, "picture");
  return pictures ? `${count(pictures, "picture")}, ${count(without, "job")} without` : count(without, "job");
}

/** @param {BuiltPage} page @returns {HTMLElement[]} */
function chipsOf(page) {
  const { view } = page,
    chips = [];
  for (const facet of FACETS) {
    for (const value of view.filters.get(facet) ?? [])
      chips.push(chip(valueName(page, facet, value), TITLES[facet], () => view.filter(facet, value, false)));
  }
  if (view.query)
    chips.push(
      chip(`“${view.query}”`, "Search", () => {
        view.query = "";
      }),
    );
  if (chips.length > 1)
    chips.push(h("button", { class: "chip all", type: "button", onclick: () => view.clear() }, "Clear all"));
  return chips;
}

/** @param {string} text @param {string} title @param {() => void} remove */
function chip(text, title, remove) {
  return h(
    "button",
    {
      class: "chip",
      type: "button",
      title: `${title}: ${text}`,
      "aria-label": `Remove ${title}: ${text}`,
      onclick: remove,
    },
    h("span", { class: "text", text }),
    icon("x"),
  );
}

/** @param {string} label @param {Record<string, string>} options @param {() => string} read
 * @param {(value: string) => void} write @param {BuiltPage} page */
function choice(label, options, read, write, { view }) {
  const select = h(
    "select",
    {
      "aria-label": label,
      onchange: () => {
        write(select.value);
        select.blur();
      },
    },
    Object.entries(options).map(([value, text]) => h("option", { value, text })),
  );
  const draw = () => {
    select.value = read();
  };
  view.on("rows", draw);
  return h("span", { class: "select" }, select, icon("chevron"));
}

/** @param {BuiltPage} page */
function sizer({ view }) {
  const range = h("input", { type: "range", min: "84", max: "420", step: "4", "aria-label": "Size of pictures" });
  range.addEventListener("input", () => {
    view.tile = Number(range.value);
  });
  const draw = () => {
    if (Number(range.value) !== view.tile) range.value = String(view.tile);
  };
  view.on("size", draw);
  draw();
  return h(
    "span",
    { class: "sizer not-narrow", title: "Size of pictures (+ and -)" },
    icon("picture"),
    range,
    icon("picture"),
  );
}

/** Prints the pictures that are shown. */
function printButton() {
  return h(
    "button",
    {
      class: "btn quiet icon not-narrow",
      type: "button",
      "aria-label": "Print a contact sheet",
      title: "Print a contact sheet",
      onclick: () => print(),
    },
    icon("print"),
  );
}

/** What is shown where no picture passes the filters, with a way out. @param {BuiltPage} page @returns {HTMLElement} */
export function emptyState(page) {
  const {
      view,
      document: { tiles },
    } = page,
    element = h("div", { class: "empty", hidden: true });
  const draw = () => {
    element.hidden = view.rows.length > 0;
    if (element.hidden) return;
    const [title, text, action, run] = emptyWords(page, tiles.count);
    element.replaceChildren(icon(view.query ? "search" : "picture"), h("b", { text: title }), h("span", { text }));
    if (action) element.append(h("button", { class: "btn", type: "button", text: action, onclick: run }));
  };
  view.on("rows", draw);
  return element;
}

/** @param {BuiltPage} page @param {number} all @returns {[string, string, string?, (() => void)?]} */
function emptyWords({ view }, all) {
  if (!all) return ["Nothing here yet", "The batch has no jobs, or this report leaves all of them out."];
  const clear = () => view.clear();
  if (view.query && view.filters.size) {
    const [facets, query] = [new Map(view.filters), view.query];
    return [
      `Nothing matches “${query}”`,
      `within the ${facets.size === 1 ? "filter" : "filters"} set.`,
      "Search everything",
      () => {
        view.clear();
        view.query = query;
      },
    ];
  }
  if (view.query)
    return [
      `Nothing matches “${view.query}”`,
      "Search looks at prompts and ids; all words must occur.",
      "Clear the search",
      clear,
    ];
  const marks = view.filters.get("mark");
  if (marks?.has("pick") || marks?.has("reject")) {
    return [
      "No picture has this mark yet",
      "P picks, X rejects the picture under the cursor.",
      "Show all pictures",
      clear,
    ];
  }
  if (marks?.has("none")) return ["Every picture is marked", "That was all of them.", "Show all pictures", clear];
  return ["No picture passes all filters", `The page has ${number(all)}.`, "Clear all filters", clear];
}
