"""Tabs of a real Chromium that watch themselves: errors, requests and refusals of the page fail the test."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.needs import missing, need_program
from tests.timing import patience

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
SIZES = {"desktop": (1440, 900), "tablet": (820, 1180), "phone": (390, 844)}
#: A folder for screenshots to look at; without it, they land in the folder of the test.
PICTURES = "BATCHGEN_TEST_PICTURES"
#: Chromium reports violations of the policy as an event, before the page's own scripts run.
_WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
#: The marks that the browser keeps for a page, by id and number of the picture.
_MARKS = """(key) => {
  const words = ({mark, stars, note}) => [mark, stars || "", note && `'${note}'`].filter(Boolean).join(" ");
  const name = (id) => id.replace(/^(\\d+) (.*)$/, (_, number, key) => number < 2 ? key : `${key}:${number}`);
  const kept = Object.entries(JSON.parse(localStorage.getItem(key) ?? "{}"));
  return Object.fromEntries(kept.map(([id, mark]) => [name(id), words(mark)]).filter(([, text]) => text).sort());
}"""
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the Chromium of the system; the driver downloads none."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed: make setup-browser")
    program = need_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page in a tab, with what a user does there and what the page does behind the user's back."""

    page: Any
    folder: Path
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _data: dict[str, Any] | None = None
    allowed: list[str] = field(default_factory=list)  #: regular expressions of problems that the test provokes

    def watch(self) -> None:
        self.page.add_init_script(_WATCH)
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("crash", lambda _: self.problems.append("the tab crashed"))

    def _log(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def check(self) -> None:
        """Fail on errors of the page and on requests that leave the machine's files."""
        problems = [text for text in self.problems if not any(re.search(each, text) for each in self.allowed)]
        assert not problems, problems
        outside = [url for url in self.requests if urlsplit(url).scheme not in ("file", "data", "blob")]
        assert not outside or not self.page.url.startswith("file:"), outside

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def find(self, selector: str, **options: Any) -> Any:
        return self.page.locator(selector, **options)

    def role(self, role: str, name: str | re.Pattern[str] | None = None, **options: Any) -> Any:
        """Return the element of that role and accessible name, as a screen reader finds it."""
        return self.page.get_by_role(role, **({"name": name} if name is not None else {}), **options)

    def wait(self, expression: str, argument: object = None) -> Any:
        """Wait until a JavaScript expression or function is true; return its value."""
        return self.page.wait_for_function(expression, arg=argument).json_value()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition of the test holds; the tab keeps working meanwhile."""
        deadline = time.monotonic() + patience(5)
        while not condition():
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(30)

    def evaluate(self, expression: str, argument: object = None) -> Any:
        return self.page.evaluate(expression, argument)

    @property
    def hash(self) -> str:
        """The state of the page in its URL."""
        return str(self.evaluate("() => location.hash.slice(1)"))

    def wait_hash(self, pattern: str | re.Pattern[str]) -> None:
        """Wait until the URL holds this part of the state."""
        source = pattern.pattern if isinstance(pattern, re.Pattern) else re.escape(pattern)
        self.wait("(source) => new RegExp(source).test(location.hash)", source)

    def wait_without_hash(self, part: str) -> None:
        """Wait until the URL no longer holds this; a step back takes its own time."""
        self.wait("(part) => !location.hash.includes(part)", part)

    @property
    def document(self) -> dict[str, Any]:
        """The data of the page, as it lies in the file."""
        path = Path(unquote(urlsplit(self.page.url).path))
        if self._data is None:
            found = _DATA.search(path.read_text(encoding="utf-8"))
            assert found, "the page has no data"
            self._data = dict(json.loads(found[1]))
        return self._data

    def tiles(self) -> list[str]:
        """Return the tiles in the document, in the order of the grid: ids, and id:2 for a second picture."""
        rows = self.evaluate("""() => [...document.querySelectorAll(".line:not([hidden]) [data-row]")]
          .map((tile) => [Number(tile.closest("[aria-rowindex]").ariaRowIndex), tile.ariaColIndex, tile.dataset.row])
          .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([,, row]) => Number(row))""")
        return [self.name(row) for row in rows]

    def name(self, row: int) -> str:
        """Return the id of a row, with the number of the picture from the second of its job on."""
        tiles = self.document["tiles"]
        return tiles["key"][row] + (f":{tiles['ordinal'][row] + 1}" if tiles["ordinal"][row] > 0 else "")

    def row(self, name: str) -> int:
        return next(row for row in range(self.document["tiles"]["count"]) if self.name(row) == name)

    def tile(self, name: str) -> Any:
        return self.find(f'.line:not([hidden]) [data-row="{self.row(name)}"]')

    @property
    def cursor(self) -> str:
        """The tile that has the focus of the keyboard."""
        row = self.evaluate("() => document.querySelector('.line:not([hidden]) [tabindex=\"0\"]')?.dataset.row ?? -1")
        return self.name(int(row)) if int(row) >= 0 else ""

    def wait_cursor(self, name: str) -> None:
        """Wait until the cursor is on this tile, in sight."""
        self.find(f'.line:not([hidden]) [data-row="{self.row(name)}"][tabindex="0"]').wait_for()

    def wait_count(self, text: str) -> None:
        """Wait until the bar over the grid counts so many pictures."""
        self.wait("(text) => document.querySelector('.bar .count').textContent === text", text)

    def marks(self) -> dict[str, str]:
        """Return the marks that the browser keeps, by id: "pick 4 'a note'"; of a second picture by id:2."""
        document = self.document
        return dict(self.evaluate(_MARKS, f"batchgen:{document['database']}:{document['batch']}"))

    def wait_marks(self, marks: dict[str, str]) -> None:
        """Wait until the browser keeps these marks and no others."""
        end = time.monotonic() + patience(5)
        while (found := self.marks()) != marks:
            assert time.monotonic() < end, f"{found} instead of {marks}"
            self.page.wait_for_timeout(30)

    def toast(self, text: str) -> None:
        """Wait for a message at the edge of the page."""
        self.find(".toasts").get_by_text(text).first.wait_for()

    def pasted(self) -> str:
        """Return what the clipboard holds, by pasting it into the search field."""
        self.press("/", "Control+a", "Control+v")
        text = str(self.find("#search").input_value())
        self.press("Control+a", "Delete", "Escape")
        return text

    def screenshot(self, name: str) -> Path:
        """Write a picture to look at; nothing compares it."""
        folder = Path(os.environ.get(PICTURES) or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        self.page.screenshot(path=path)
        return path


@dataclass
class Visitor:
    """Opens tabs, each in a browser profile of its own, and checks them at the end."""

    browser: Any
    folder: Path
    tabs: list[Tab] = field(default_factory=list)

    def profile(self, *, size: str = "desktop", theme: str = "light", touch: bool = False, **options: Any) -> Any:
        width, height = SIZES[size]
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=touch,
            is_mobile=touch,
            accept_downloads=True,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(patience(5) * 1000)
        return context

    def open(self, path: Path | str, fragment: str = "", *, profile: Any = None, **options: Any) -> Tab:
        """Open a page from disk (or an address), in a new profile unless there is one."""
        tab = Tab(page=(profile or self.profile(**options)).new_page(), folder=self.folder)
        tab.watch()
        self.tabs.append(tab)
        address = path.resolve().as_uri() if isinstance(path, Path) else path
        tab.page.goto(address + (f"#{fragment}" if fragment else ""))
        return tab

    def close(self) -> None:
        for tab in self.tabs:
            tab.check()

    def leave(self) -> None:
        for context in self.browser.contexts:
            context.close()
