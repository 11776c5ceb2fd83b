/** The state of the page in its URL's hash, and steps of the browser's history. */

import { MODES } from "./edits.js";
import { FACETS } from "./filters.js";
import { TILE } from "./view.js";

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./view").PageView} PageView */

const REPLACE_AFTER = 300; // ms

/** A picture by key and, from the second of its job on, its number: "cat-1", "cat-1:2".
 * @param {PageDocument} page @param {number} row */
function name(page, row) {
  const { key, ordinal } = page.tiles;
  return encodeURIComponent(key[row]) + (ordinal[row] > 0 ? `:${ordinal[row] + 1}` : "");
}

/** @param {PageDocument} page @param {string} name @returns {number} -1: the page has no such picture */
function rowOf({ tiles }, name) {
  const [encoded, number] = name.split(":"),
    key = decodeURIComponent(encoded);
  const wanted = Number(number ?? 1) - 1;
  return tiles.key.findIndex(
    (each, row) => each === key && (tiles.ordinal[row] === wanted || (wanted === 0 && tiles.ordinal[row] < 0)),
  );
}

/** @param {PageView} view @returns {string} */
export function hash(view) {
  const { page } = view;
  /** @type {string[]} */
  const parts = [];
  const add = (/** @type {string} */ name, /** @type {string} */ value) => parts.push(`${name}=${value}`);
  const initial = view.defaults().get("state"),
    state = view.filters.get("state");
  for (const facet of FACETS) {
    const values = [...(view.filters.get(facet) ?? [])].map(encodeURIComponent).join(",");
    if (facet !== "state") {
      if (values) add(facet, values);
    } else if (!state && initial) add("state", "all");
    else if (state && !(initial && state.size === 1 && state.has("done"))) add("state", values);
  }
  if (view.query) add("q", encodeURIComponent(view.query));
  if (view.sort !== "manifest") add("sort", view.sort);
  if (view.group !== "none") add("group", view.group);
  if (view.tile !== TILE) add("tile", String(view.tile));
  if (view.full >= 0) add("open", name(page, view.full));
  if (view.full >= 0 && view.mode !== "result") add("mode", view.mode);
  if (view.comparison.length) add("compare", view.comparison.map((row) => name(page, row)).join(","));
  return parts.length ? `#${parts.join("&")}` : "";
}

/** @param {PageView} view @param {string} text a hash */
export function restore(view, text) {
  const parts = new Map(
    text
      .replace(/^#/, "")
      .split("&")
      .filter(Boolean)
      .map((part) => {
        const [name, ...value] = part.split("=");
        return [name, value.join("=")];
      }),
  );
  const list = (/** @type {string} */ name) => (parts.get(name) ?? "").split(",").filter(Boolean);
  view.filters = new Map();
  for (const facet of FACETS) {
    const values = list(facet).map(decodeURIComponent);
    if (values.length && !(facet === "state" && values[0] === "all")) view.filters.set(facet, new Set(values));
  }
  if (!parts.has("state")) for (const [facet, values] of view.defaults()) view.filters.set(facet, values);
  view.query = decodeURIComponent(parts.get("q") ?? "");
  view.sort = parts.get("sort") ?? "manifest";
  view.group = parts.get("group") ?? "none";
  if (parts.has("tile")) view.tile = Number(parts.get("tile"));
  view.mode = /** @type {PageView["mode"]} */ (
    MODES.some(([mode]) => mode === parts.get("mode")) ? parts.get("mode") : "result"
  );
  view.invalidate();
  const open = parts.has("open") ? rowOf(view.page, parts.get("open") ?? "") : -1;
  const compared = list("compare")
    .map((each) => rowOf(view.page, each))
    .filter((row) => row >= 0);
  if (open >= 0) view.open(open);
  else if (compared.length > 1) view.compare(compared);
  else if (view.full >= 0 || view.comparison.length) view.close();
}

/**
 * Keeps the URL and the view in step. Opening a picture and choosing filters are steps of the history; moving on in
 * full view, typing and sizing replace the current one. Closing goes back where opening was the last step.
 * @param {PageView} view
 */
export function connectUrl(view) {
  let before = snapshot(view);
  let restoring = false;
  const replace = replacer();
  const read = () => {
    restoring = true;
    try {
      restore(view, location.hash);
    } catch {
      restore(view, ""); // not a URL that the page wrote
    }
    queueMicrotask(() => {
      before = snapshot(view);
      restoring = false;
    });
  };
  const write = () => {
    if (restoring) return;
    const now = snapshot(view);
    const url = hash(view) || location.pathname + location.search;
    const last = before;
    before = now;
    if (!now.open && last.open && history.state?.opened && last.rest === now.rest) {
      replace.now();
      history.back();
    } else if ((now.open && !last.open) || last.filters !== now.filters) {
      replace.now();
      history.pushState({ opened: now.open && !last.open }, "", url);
    } else replace.later(url);
  };
  read();
  for (const topic of /** @type {const} */ (["rows", "open", "size"])) view.on(topic, write);
  addEventListener("popstate", () => {
    replace.drop(); // it was for the step of the history that the browser has left
    read();
  });
  addEventListener("pagehide", replace.now);
}

/** Replaces the URL some time after it changed: browsers take only so many changes a second. */
function replacer() {
  /** @type {string | null} */
  let next = null;
  let timer = 0;
  const drop = () => {
    clearTimeout(timer);
    timer = 0;
    next = null;
  };
  const now = () => {
    if (next !== null && next !== (location.hash || location.pathname + location.search)) {
      history.replaceState(history.state, "", next);
    }
    drop();
  };
  const later = (/** @type {string} */ url) => {
    next = url;
    timer ||= setTimeout(now, REPLACE_AFTER);
  };
  return { now, later, drop };
}

/** @param {PageView} view */
function snapshot(view) {
  const filters = FACETS.map((/** @type {Facet} */ facet) => [...(view.filters.get(facet) ?? [])].join()).join("|");
  return {
    open: view.full >= 0 || view.comparison.length > 0,
    filters,
    rest: filters + view.query + view.sort + view.group + view.tile,
  };
}
