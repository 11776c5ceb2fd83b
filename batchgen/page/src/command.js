/** A command as the user types it, with a button that copies it. */

import { copy, h } from "./dom.js";
import { icon } from "./icons.js";
import { toast } from "./toast.js";

/** Words that the line breaks between: not behind the hyphens of an option. @param {string} text */
function words(text) {
  return text.split(/( +)/).map((part) => (part.trim() ? h("span", { class: "word", text: part }) : part));
}

/** A sentence with its commands, which stand between backticks, as code. @param {string} text */
export function prose(text) {
  const code = (/** @type {string} */ part) => h("code", { class: "mono", text: part });
  return h(
    "p",
    {},
    text.split("`").map((part, index) => (index % 2 ? code(part) : part)),
  );
}

const DONE = 1600; // ms that the button shows its success

/** @param {string} text @returns {HTMLElement} */
export function commandBox(text) {
  const button = h(
    "button",
    { class: "copy", type: "button", "aria-label": "Copy the command", title: "Copy" },
    icon("copy"),
  );
  button.addEventListener("click", () => {
    void copy(text).then((copied) => {
      if (!copied) return toast("The browser does not allow copying: select the command instead");
      button.classList.add("ok");
      button.replaceChildren(icon("check"));
      setTimeout(() => {
        button.classList.remove("ok");
        button.replaceChildren(icon("copy"));
      }, DONE);
      return toast("Copied the command");
    });
  });
  return h("div", { class: "cmd" }, h("pre", {}, words(text)), button);
}
