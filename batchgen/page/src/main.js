/** Start of the page: reads the document, builds the landmarks and mounts the parts. */

import { readDocument } from "./data.js";
import { h } from "./dom.js";
import { mountComparison } from "./compare.js";
import { mountFull } from "./full.js";
import { connectKeys } from "./keys.js";
import { connect } from "./live.js";
import { overview } from "./overview.js";
import { createPage } from "./page.js";
import { mountPictures } from "./pictures.js";
import { applyTheme } from "./theme.js";
import { topBar } from "./top.js";
import { connectUrl } from "./url.js";

function start() {
  applyTheme();
  const page = createPage(readDocument());
  const pictures = h("section", { class: "wrap lib", id: "pictures", "aria-label": "Pictures", tabindex: "-1" });
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#pictures", onclick: skip, text: "Skip to the pictures" }),
    topBar(page),
    h("main", {}, overview(page), pictures),
    h("div", { class: "vh", id: "announcements", role: "status", "aria-live": "polite" }),
  );
  connectUrl(page.view);
  mountPictures(page, pictures);
  connectKeys();
  mountFull(page);
  mountComparison(page);
  connect(page);
}

/** The URL's hash holds the state of the page, so the link moves the focus itself. @param {Event} event */
function skip(event) {
  event.preventDefault();
  const pictures = /** @type {HTMLElement} */ (document.getElementById("pictures"));
  pictures.focus();
  pictures.scrollIntoView();
}

start();
