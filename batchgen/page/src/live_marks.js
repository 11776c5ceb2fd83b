/** Marks of a live page: every change goes to the job database, and what others change arrives here. */

import { count } from "./format.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./types").MarkEntry} MarkEntry */

const SEND_AFTER = 100; // ms; many marks in a row are one request
const RETRY = 2000; // ms
const MOST = 5000; // marks in one request

/** @param {Pick<MarkEntry, "id" | "picture">} entry */
const place = (entry) => `${entry.picture} ${entry.id}`;

/**
 * @param {BuiltPage} page @param {string | null} url null: read only, marks stay in the browser
 * @param {(waiting: number) => void} onWaiting
 */
export function connectMarks(page, url, onWaiting) {
  /** @type {Map<string, MarkEntry>} changes that the server has not confirmed */
  const queue = new Map();
  /** @type {Map<string, MarkEntry>} the marks of the job database */
  let stored = new Map();
  let timer = 0,
    sending = false,
    offered = false;

  const later = (/** @type {number} */ delay) => {
    if (!timer) timer = setTimeout(send, delay);
  };

  async function send() {
    clearTimeout(timer);
    timer = 0;
    if (sending || !queue.size || url === null) return;
    sending = true;
    const batch = [...queue.values()].slice(0, MOST);
    let delay = 0;
    try {
      const body = JSON.stringify({ marks: batch });
      const answer = await fetch(url, { method: "PUT", headers: { "Content-Type": "application/json" }, body });
      if (answer.ok || answer.status < 500) confirm(batch);
      if (!answer.ok && answer.status < 500) page.toast(`The server refused ${count(batch.length, "mark")}.`);
      if (answer.status >= 500) delay = RETRY;
    } catch {
      delay = RETRY;
    }
    sending = false;
    onWaiting(queue.size);
    if (queue.size) later(delay);
  }

  /** Takes sent changes out of the queue, but for those that changed again meanwhile. @param {MarkEntry[]} batch */
  function confirm(batch) {
    for (const entry of batch) {
      if (queue.get(place(entry)) === entry) queue.delete(place(entry));
      stored.set(place(entry), entry);
    }
  }

  /** @param {MarkEntry[]} entries */
  function enqueue(entries) {
    for (const entry of entries) queue.set(place(entry), entry);
    onWaiting(queue.size);
    later(SEND_AFTER);
  }

  /** Takes marks of the job database in. @param {MarkEntry[]} entries @param {boolean} whole all that there are */
  function take(entries, whole) {
    const now = new Map(entries.map((entry) => [place(entry), entry]));
    const at = new Date().toISOString();
    // The server is right about what it has just changed, even where its clock is behind that of this browser.
    const news = entries
      .filter((entry) => !queue.has(place(entry)))
      .map((entry) => (whole ? entry : { ...entry, at }));
    if (whole) {
      for (const [key, entry] of stored)
        if (!now.has(key) && !queue.has(key)) news.push({ ...entry, mark: null, stars: 0, note: "", at });
      stored = now;
    } else for (const [key, entry] of now) stored.set(key, entry);
    page.marks.merge(news);
    if (whole && url !== null && !offered) offer();
  }

  /** Offers to save marks that an earlier visit left in this browser only. */
  function offer() {
    offered = true;
    const mine = page.marks.entries().filter((entry) => !stored.has(place(entry)) && !queue.has(place(entry)));
    const text = `${count(mine.length, "mark")} are in this browser only`;
    if (mine.length) page.toast(text, "Save in the job database", () => enqueue(mine));
  }

  if (url !== null) page.marks.onChange((rows) => enqueue(page.marks.entriesOf(rows)));
  return { take, send };
}
