/** A view that covers the page: the page beneath takes no input, and the focus returns to its tile. */

/** What stays in use while a view covers the page: words for screen readers, toasts, other views. */
const USABLE = "[role=status], [aria-live], .toast, .toasts, dialog, .full, .compare, script, style";
let covers = 0;

/**
 * @param {HTMLElement} element
 * @param {() => HTMLElement} first gets the focus
 */
export function cover(element, first) {
  return {
    open() {
      element.hidden = false;
      if (++covers === 1) setBeneath(true);
      first().focus({ preventScroll: true });
    },
    close() {
      element.hidden = true;
      if (--covers > 0) return;
      setBeneath(false);
      requestAnimationFrame(() => focusTile()); // the tile may have to be drawn first
    },
  };
}

/** @param {boolean} inert */
function setBeneath(inert) {
  document.documentElement.classList.toggle("covered", inert);
  for (const child of document.body.children) {
    if (child instanceof HTMLElement && !child.matches(USABLE)) child.inert = inert;
  }
}

function focusTile() {
  const tile = document.querySelector('.tile[tabindex="0"]');
  if (tile instanceof HTMLElement && covers === 0) tile.focus({ preventScroll: true });
}
