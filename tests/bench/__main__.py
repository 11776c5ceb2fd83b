"""``python -m tests.bench [NAME ...] [--against DIR] [--short] [--json | --markdown]``: one table at the end.

The machine is shared and noisy: trust ratios and CPU, not times. Nothing here fails for being slow.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
import traceback
from pathlib import Path

from .apart import MissingToolError
from .figures import Row, table
from .program import Checkout
from .report import machine, page
from .settings import Settings
from .suite import BENCHMARKS, ON_REQUEST


def main() -> None:
    """Run the benchmarks that were asked for, or all but the longest."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks, see below; default: all but (*)")
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another source tree of batchgen to measure, too")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="repetitions, in turn; default: 3")
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs of a case, instead of its own number")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows of the large table")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument("--markdown", action="store_true", help="print the page RESULTS.md on stdout")
    parser.add_argument("--from", nargs="+", type=Path, metavar="FILE", dest="files", help="take figures from --json")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    where, found, failed = (*_earlier(given.files), []) if given.files else (machine(), *_measure(given))
    if given.json:
        print(json.dumps({"where": where, "rows": [row.as_json() for row in found]}, indent=1))
    elif given.markdown:
        print(page(found, where), end="")
    else:
        if given.short:
            print("--short: these figures mean nothing; they show only that every benchmark runs")
        print(
            f"{where}; in square brackets: lowest and highest;\nin round ones: the ratio to the first row of a case\n"
        )
        print(table(found))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _listing() -> str:
    """Return the benchmarks with what they measure."""
    lines = ["benchmarks:"]
    for name, benchmark in BENCHMARKS.items():
        first = inspect.cleandoc(benchmark.__doc__ or "").partition("\n")[0]
        lines.append(f"  {name:<9}{'*' if name in ON_REQUEST else ' '} {first}")
    return "\n".join([*lines, "(*) only where it is named"])


def _measure(given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Return the figures, and the names of the benchmarks that failed."""
    settings = Settings(
        short=given.short,
        pairs=given.pairs,
        against=given.against and Checkout.at(given.against.resolve()),
        jobs=given.jobs,
        rows=given.rows,
    )
    found: list[Row] = []
    failed: list[str] = []
    for name in given.names or [name for name in BENCHMARKS if name not in ON_REQUEST]:
        began = time.monotonic()
        try:
            found += BENCHMARKS[name](settings)
        except MissingToolError as error:
            print(f"{name}: skipped: {error}", file=sys.stderr)
        except Exception:  # noqa: BLE001 - half an hour of other figures must not be lost with it
            failed.append(name)
            print(f"{name}: failed:\n{traceback.format_exc()}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found, failed


def _earlier(files: list[Path]) -> tuple[str, list[Row]]:
    """Return what earlier runs printed as JSON; a case that is in several files is taken from the last one."""
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    cases: dict[str, list[Row]] = {}
    for document in documents:
        rows = [Row.from_json(row) for row in document["rows"]]
        cases |= {what: [row for row in rows if row.what == what] for what in dict.fromkeys(row.what for row in rows)}
    return documents[-1]["where"], [row for rows in cases.values() for row in rows]


if __name__ == "__main__":
    main()
