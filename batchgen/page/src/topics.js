/** Topics of the view and their listeners: changes are announced once, after the code that made them has run. */

/** @typedef {import("./types").Topic} Topic */

export class Topics {
  /** @type {Map<Topic, (() => void)[]>} */
  #listeners = new Map();
  /** @type {Set<Topic>} */
  #due = new Set();

  /** Computes what the listeners will read. */
  refresh() {}

  /** @param {Topic} topic */
  emit(topic) {
    if (!this.#due.size) queueMicrotask(() => this.#flush());
    this.#due.add(topic);
  }

  #flush() {
    this.refresh(); // which may add topics: a filter can move the cursor
    const due = [...this.#due];
    this.#due.clear();
    for (const topic of due) for (const listener of this.#listeners.get(topic) ?? []) listener();
  }

  /** @param {Topic} topic @param {() => void} listener @returns {() => void} what ends the listening */
  on(topic, listener) {
    this.#listeners.set(topic, [...(this.#listeners.get(topic) ?? []), listener]);
    return () => {
      this.#listeners.set(
        topic,
        (this.#listeners.get(topic) ?? []).filter((each) => each !== listener),
      );
    };
  }
}
