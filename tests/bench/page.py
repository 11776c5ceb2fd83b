"""The page of a report with 50,000 pictures in a real Chromium: size, load, filters, scrolling, heap.

Times of a shared machine are worth little: frames during which the machine stood still are left out and counted, and
the work of the page is measured as CPU of its main thread, from a trace.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.page import sample
from tests.page.browser import chromium

from . import trace
from .figures import Row, rows
from .pulse import pulse
from .settings import Settings

_LONG_FRAME = 50.0
_WINDOW = {"width": 1440, "height": 900}
_TILE = "[data-row] img"
_FACET = "nav .facet:is([aria-label=Provider], [aria-label=Tag], [aria-label=Kind]) button.opt"
#: Notes when the first tiles are painted: two frames after the first one is there.
_FIRST = """
const look = () => document.querySelector("[data-row] img")
  ? requestAnimationFrame(() => requestAnimationFrame(() => { window.firstTiles = performance.now(); }))
  : requestAnimationFrame(look);
look();
"""
#: Collects the time of each frame, in milliseconds since 1970.
_FRAMES = """() => { window.times = []; const note = (now) => {
  window.times.push(performance.timeOrigin + now); requestAnimationFrame(note); }; requestAnimationFrame(note); }"""
#: Types into a field or presses a control, and waits until the grid has changed and is painted.
_STEP = """async ([selector, text]) => {
  const element = document.querySelector(selector), grid = document.querySelector("[role=grid]");
  const shown = () => grid.getAttribute("aria-rowcount") + grid.querySelector("[data-row]")?.dataset.row;
  const before = shown(), began = performance.now();
  if (text === null) element.click();
  else { element.value = text; element.dispatchEvent(new Event("input", {bubbles: true})); }
  const frame = () => new Promise(requestAnimationFrame);
  while (shown() === before) {
    if (performance.now() - began > 20000) throw new Error(`${selector} changes nothing`);
    await frame();
  }
  await frame();
  return performance.now() - began;
}"""
_HEAP = "HeapProfiler.collectGarbage"


def page(settings: Settings) -> list[Row]:
    """Load, filter and scroll a page of 50,000 pictures; goals: 15 MB, 1 s, 0.3 s, tasks of 50 ms, 95 % of frames."""
    count = 2_000 if settings.short else 50_000
    seconds = 2.0 if settings.short else 20.0
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        index = _write(Path(folder), count)
        figures: dict[str, dict[str, Any]] = {"size of the page": {"space": (index.stat().st_size / 1e6, "MB")}}
        figures |= _load(browser, index)
        figures |= _filters(browser, index)
        figures |= _scroll(browser, index, seconds)
        figures |= _long_tasks(browser, index, seconds / 2, Path(folder))
    what = f"page of {count:,} pictures"
    return [row for how, measures in figures.items() for row in rows(what, {how: measures})]


def _write(folder: Path, count: int) -> Path:
    """Write the sample with a thumbnail of its own for each picture, so that each has to be read and decoded."""
    document = sample.document(count)
    index = sample.write(folder, document)
    names = document["tiles"]["sha"]
    thumbs = index.parent / "thumbs"
    for row, name in enumerate(names):
        if name:
            names[row] = f"{row:016x}"
            os.link(thumbs / f"{name}.webp", thumbs / f"{names[row]}.webp")
    index.write_text(sample.html(document), encoding="utf-8")
    return index


def _open(browser: Any, index: Path) -> Any:
    tab = browser.new_page(viewport=_WINDOW)
    tab.goto(index.as_uri(), timeout=120_000)
    tab.wait_for_selector(_TILE, timeout=120_000)
    return tab


def _load(browser: Any, index: Path) -> dict[str, dict[str, Any]]:
    """Open the page three times, each in a new profile."""
    walls, cpus, heaps = [], [], []
    for _ in range(3):
        tab = browser.new_page(viewport=_WINDOW)
        tab.add_init_script(_FIRST)
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable")
        tab.goto(index.as_uri(), timeout=120_000)
        walls.append(tab.wait_for_function("() => window.firstTiles", timeout=120_000).json_value() / 1000)
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        cpus.append(1000 * metrics["ScriptDuration"])
        heaps.append(_heap(session))
        tab.context.close()
    return {"first tiles": {"speed": (walls, "s"), "cpu": (cpus, "ms of script"), "space": (heaps, "MB heap")}}


def _heap(session: Any) -> float:
    session.send(_HEAP)
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def _filters(browser: Any, index: Path) -> dict[str, dict[str, Any]]:
    """Search and filter; each way several times, to and fro."""
    tab = _open(browser, index)
    words = ["harbour ink", "number 1", "teapot slate", ""]
    searches = [tab.evaluate(_STEP, ["#search", word]) / 1000 for word in words]
    values = tab.locator(_FACET).evaluate_all("(all) => all.slice(0, 12).map((each) => each.dataset.value)")
    options = [f'{_FACET}[data-value="{value}"]' for value in values]
    presses = [tab.evaluate(_STEP, [option, None]) / 1000 for option in options for _ in range(2)]
    tab.context.close()
    return {"search": {"speed": (searches, "s")}, "filter": {"speed": (presses, "s")}}


def _scroll(browser: Any, index: Path, seconds: float) -> dict[str, dict[str, Any]]:
    """Scroll by wheel through the pictures; return the share of frames that took less than 50 ms."""
    tab = _open(browser, index)
    session = tab.context.new_cdp_session(tab)
    before = _heap(session)
    with pulse() as taken:
        tab.evaluate(_FRAMES)
        _wheel(tab, seconds)
        times = tab.evaluate("() => window.times")
    after = _heap(session)
    spans = list(itertools.pairwise(times))
    sound = [end - begin for begin, end in spans if not taken.stood_still(begin, end)]
    quick = 100 * sum(length < _LONG_FRAME for length in sound) / len(sound)
    tab.context.close()
    left_out = f"% of frames under 50 ms; {len(spans) - len(sound)} of {len(spans)} left out, the machine stood still"
    return {
        "scrolling": {"speed": (quick, left_out)},
        "heap before scrolling": {"space": (before, "MB")},
        "heap after scrolling": {"space": (after, "MB")},
    }


def _wheel(tab: Any, seconds: float) -> None:
    """Turn the wheel sixty times a second, slowly at first and then fast."""
    tab.mouse.move(900, 600)
    end = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < end:
        tab.mouse.wheel(0, (120, 400, 1200, -300)[turn // 60 % 4])
        turn += 1
        time.sleep(1 / 60)


def _long_tasks(browser: Any, index: Path, seconds: float, folder: Path) -> dict[str, dict[str, Any]]:
    """Trace loading and scrolling; return the longest task of the main thread that runs script, in CPU."""
    found = {}
    tab = browser.new_page(viewport=_WINDOW)
    path = folder / "trace.json"
    for how in ("loading", "scrolling"):
        browser.start_tracing(page=tab, path=path, categories=list(trace.CATEGORIES))
        if how == "loading":
            tab.goto(index.as_uri(), timeout=120_000)
            tab.wait_for_selector(_TILE, timeout=120_000)
            tab.wait_for_timeout(2_000)
        else:
            _wheel(tab, seconds)
        browser.stop_tracing()
        tasks = trace.tasks(trace.read(path))
        found[f"longest task of script while {how}"] = {"cpu": (max(task.script for task in tasks), "ms")}
    found["main thread while scrolling"] = {
        "cpu": (sum(task.cpu for task in tasks) / (60 * seconds), "ms a frame of 60 Hz")
    }
    tab.context.close()
    return found
