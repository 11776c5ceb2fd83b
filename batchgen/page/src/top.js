/** The bar at the top: name of the batch, search, tally of marks, help. */

import { h, setText, svg } from "./dom.js";
import { number } from "./format.js";
import { subtitle } from "./head_words.js";
import { openHelp } from "./help.js";
import { icon } from "./icons.js";
import { openSendBack } from "./send_back.js";
import { themeButton } from "./theme.js";

/** @typedef {import("./page").BuiltPage} BuiltPage */

const TYPING = 90; // ms between the last key and the search

/** @param {BuiltPage} page */
export function topBar(page) {
  return h(
    "header",
    { class: "top" },
    h(
      "div",
      { class: "brand" },
      logo(),
      h("b", { text: page.document.batch }),
      h("span", { class: "sub", text: subtitle(page.document) }),
      page.document.sandbox ? h("span", { class: "sandbox-sign", text: "sandbox" }) : null,
    ),
    searchField(page),
    h("div", { class: "right" }, tally(page), sendButton(page), themeButton(), helpButton(page)),
  );
}

function logo() {
  const square = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ classes) =>
    svg("rect", { x, y, width: 8, height: 8, rx: 2, class: classes });
  return svg(
    "svg",
    { class: "logo", viewBox: "0 0 20 20", "aria-hidden": "true" },
    square(1, 1, "ink"),
    square(11, 1, "tint"),
    square(1, 11, "tint"),
    square(11, 11, "frame"),
  );
}

/** @param {BuiltPage} page */
function searchField({ view }) {
  const field = h("input", {
    id: "search",
    type: "search",
    placeholder: "Search prompts and ids",
    "aria-label": "Search prompts and ids",
    autocomplete: "off",
    spellcheck: "false",
    enterkeyhint: "search",
  });
  let timer = 0;
  const apply = () => {
    clearTimeout(timer);
    if (view.query === field.value.trim()) return;
    view.query = field.value.trim();
    view.jump();
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, TYPING);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    apply();
    field.blur();
    view.jump();
  });
  view.on("rows", () => {
    if (document.activeElement !== field) field.value = view.query;
  });
  return h(
    "div",
    { class: "search", role: "search" },
    icon("search"),
    field,
    h("kbd", { "aria-hidden": "true", text: "/" }),
  );
}

/** @param {BuiltPage} page */
function tally({ view, marks }) {
  const button = (
    /** @type {"pick" | "reject"} */ mark,
    /** @type {string} */ letter,
    /** @type {import("./icons").IconName} */ name,
  ) => {
    const figure = h("span", { text: "0" });
    const element = h(
      "button",
      { class: letter, type: "button", onclick: () => view.only("mark", mark) },
      icon(name),
      figure,
    );
    const draw = () => {
      const total = marks.counts()[mark];
      setText(figure, number(total));
      element.classList.toggle("some", total > 0);
      element.setAttribute("aria-label", `Show the ${number(total)} ${mark}s`);
    };
    view.on("marks", draw);
    view.on("data", draw);
    draw();
    return element;
  };
  return h("div", { class: "tally" }, button("pick", "p", "check"), button("reject", "x", "x"));
}

/** The button of the sheet that sends rejects back; it counts them. @param {BuiltPage} page */
function sendButton(page) {
  const figure = h("span", { class: "n" });
  const button = h(
    "button",
    { class: "btn send", type: "button", title: "Send back (S)", onclick: () => openSendBack(page) },
    icon("send"),
    h("span", { class: "label", text: "Send back" }),
    figure,
  );
  const draw = () => {
    const rejects = page.marks.counts().reject;
    setText(figure, rejects ? number(rejects) : "");
    button.classList.toggle("primary", rejects > 0);
    button.setAttribute("aria-label", rejects ? `Send back ${number(rejects)} rejects` : "Send back rejects");
  };
  page.view.on("marks", draw);
  page.view.on("data", draw);
  draw();
  return button;
}

/** @param {BuiltPage} page */
function helpButton(page) {
  return h("button", {
    class: "btn quiet icon help",
    type: "button",
    "aria-label": "Keys and help (?)",
    title: "Keys and help (?)",
    text: "?",
    onclick: () => openHelp(page),
  });
}
