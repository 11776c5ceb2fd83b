/** Counts beside the values of facets, computed for a facet when they are asked for. Pure. */

import { countValues } from "./filters.js";

/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./filters").Column} Column */
/** @typedef {import("./filters").Failures} Failures */

export class FacetCounts {
  /** @type {Map<Facet, Uint32Array>} */
  #shown = new Map();
  /** @type {Map<Facet, Uint32Array>} */
  #totals = new Map();
  /** @type {Failures | null} */
  #failures = null;

  /** @param {Record<Facet, Column>} columns */
  constructor(columns) {
    this.columns = columns;
  }

  /** Takes in other filters. @param {Failures} failures */
  update(failures) {
    this.#failures = failures;
    this.#shown.clear();
  }

  /** Takes in that the values of one facet changed. @param {Facet} facet */
  forget(facet) {
    this.#shown.delete(facet);
    this.#totals.delete(facet);
  }

  /** How many rows have each value of a facet, under the filters of the other facets. @param {Facet} facet */
  of(facet) {
    let counts = this.#shown.get(facet);
    if (!counts) this.#shown.set(facet, (counts = countValues(this.columns[facet], facet, this.#failures)));
    return counts;
  }

  /** How many rows have a value, whatever the filters. @param {Facet} facet @param {string} value */
  total(facet, value) {
    let counts = this.#totals.get(facet);
    if (!counts) this.#totals.set(facet, (counts = countValues(this.columns[facet], facet, null)));
    return counts[this.columns[facet].words.indexOf(value)] ?? 0;
  }
}
