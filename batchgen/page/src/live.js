/** The live page: takes in what happens in the batch while the page is open, and shows whether the server is there. */

import { runEnded } from "./actions.js";
import { applyRows } from "./data.js";
import { h, setText } from "./dom.js";
import { count, number } from "./format.js";
import { connectMarks } from "./live_marks.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */
/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {{tiles: PageDocument["tiles"], words: PageDocument["words"]}} Update */

const RECONNECT = 2000; // ms; a browser gives up by itself where the server answers with an error
const REDRAW = 250; // ms between two changes of the rows, so that a fast run leaves time to scroll

/** Follows the server, where the page comes from one. @param {BuiltPage} page */
export function connect(page) {
  const { live } = page.document;
  if (!live) return;
  const sign = statusSign(live.marks === null);
  const marks = connectMarks(page, live.marks, (waiting) => sign.wait(waiting));
  document.querySelector(".top .right")?.prepend(sign.element);
  const rows = rowTaker(page);
  let last = "";

  const open = () => {
    const source = new EventSource(last ? `events?since=${last}` : live.events);
    /** @param {string} name @param {(content: any) => void} take */
    const on = (name, take) =>
      source.addEventListener(name, (event) => {
        last = event.lastEventId || last;
        take(JSON.parse(event.data));
      });
    on("rows", rows);
    on("figures", (figures) => {
      Object.assign(page.document, figures);
      page.view.emit("data");
    });
    on("marks", ({ marks: entries, whole }) => marks.take(entries, whole));
    on("run", (run) => runEnded(page, run));
    on("reload", () => page.toast("So much has changed that the page has to be loaded again", "Load", reload));
    source.addEventListener("open", () => {
      sign.connected(true);
      marks.send();
    });
    source.addEventListener("error", () => {
      sign.connected(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(open, RECONNECT);
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  };
  open();
  addEventListener("pageshow", (event) => {
    if (event.persisted) open(); // the page came back from the history
  });
}

function reload() {
  location.reload();
}

/** Returns a function that takes changed rows in; many small changes become one.
 * @param {BuiltPage} page @returns {(update: Update) => void} */
function rowTaker(page) {
  const pill = newPill(page);
  let timer = 0;
  return (update) => {
    const { tiles } = page.document;
    numberJobs(tiles, update.tiles);
    const before = new Set(tiles.sha);
    const { changed, added } = applyRows(page.document, update);
    pill.add([...changed, ...added].filter((row) => tiles.sha[row] && !before.has(tiles.sha[row])));
    timer ||= setTimeout(() => {
      timer = 0;
      page.view.dataChanged();
    }, REDRAW);
  };
}

/** Gives jobs the numbers that they have on this page: the server counts those of an update only.
 * @param {PageDocument["tiles"]} tiles @param {PageDocument["tiles"]} part */
function numberJobs(tiles, part) {
  const numbers = new Map(tiles.key.map((key, row) => [key, tiles.job[row]]));
  part.key.forEach((key, row) => {
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    part.job[row] = number;
  });
}

/** The pill that counts pictures which arrived since the user looked; it leads to the first of them.
 * @param {BuiltPage} page */
function newPill(page) {
  /** @type {number[]} */
  let rows = [];
  const text = h("span");
  const element = h("button", { class: "live-pill", type: "button", hidden: true }, text);
  element.addEventListener("click", () => {
    const first = rows.find((row) => page.view.position(row) >= 0);
    rows = [];
    draw();
    if (first === undefined) return page.toast("The filters hide the new pictures");
    page.view.move(first);
    page.view.jump();
  });
  const draw = () => {
    element.hidden = !rows.length;
    setText(text, `${number(rows.length)} new`);
    element.setAttribute("aria-label", `${count(rows.length, "new picture")}: go to the first`);
  };
  document.body.append(element);
  return {
    /** @param {number[]} arrived */
    add(arrived) {
      if (!arrived.length) return;
      rows = rows.concat(arrived);
      draw();
    },
  };
}

/** The sign in the head: live, or waiting for the server. @param {boolean} readOnly */
function statusSign(readOnly) {
  const text = h("span", { text: "connecting" });
  const element = h("span", { class: "live-sign", role: "status" }, h("i", { class: "dot pending" }), text);
  let here = true,
    waiting = 0;
  const draw = () => {
    const dot = /** @type {Element} */ (element.firstChild);
    dot.className = `dot ${here ? (waiting ? "warn" : "done") : "failed"}`;
    const unsaved = waiting ? `; ${count(waiting, "mark")} not saved yet` : "";
    setText(text, here ? `live${readOnly ? ", read only" : ""}${unsaved}` : `server gone, trying again${unsaved}`);
    element.title = here
      ? "This page follows the batch."
      : "batchgen serve does not answer. Start it again, and this page continues; marks wait here until then.";
  };
  return {
    element,
    /** @param {boolean} now */
    connected(now) {
      here = now;
      draw();
    },
    /** @param {number} marks */
    wait(marks) {
      waiting = marks;
      draw();
    },
  };
}
