/** Light and dark: the system's theme, unless the reader chose the other one. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

const KEY = "batchgen:theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** @typedef {"light" | "dark"} Theme */

/** @returns {Theme} */
function system() {
  return dark.matches ? "dark" : "light";
}

/** @returns {Theme} */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : system();
}

/** Sets the theme that the reader chose on an earlier visit. Called before anything is drawn. */
export function applyTheme() {
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    /* storage is closed to the page: it follows the system */
  }
}

/** Changes the theme; the system's own is followed again from then on. */
function flip() {
  const next = theme() === "dark" ? "light" : "dark";
  const follows = next === system();
  if (follows) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (follows) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    /* the choice holds until the page is closed */
  }
}

/** A button that changes between light and dark. @returns {HTMLButtonElement} */
export function themeButton() {
  const button = h("button", { class: "btn quiet icon theme", type: "button" });
  const draw = () => {
    const next = theme() === "dark" ? "light" : "dark";
    button.replaceChildren(icon(next === "light" ? "sun" : "moon"));
    button.setAttribute("aria-label", `Switch to ${next}`);
    button.title = `Switch to ${next}`;
  };
  button.addEventListener("click", () => {
    flip();
    draw();
  });
  dark.addEventListener("change", draw);
  draw();
  return button;
}
