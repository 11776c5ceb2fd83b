"""``python -m tests.bench [NAME ...] [--against DIR] [--short] [--json]``: one table at the end.

The machine is shared and noisy: trust ratios and CPU, not times. Nothing here fails for being slow.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

from .apart import MissingToolError
from .figures import Row, table
from .meter import cores
from .program import Checkout
from .settings import Settings
from .suite import BENCHMARKS


def main() -> None:
    """Run the benchmarks that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another source tree of batchgen to measure, too")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="repetitions, in turn; default: 3")
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs of a case, instead of its own number")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows of the large table")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    settings = Settings(
        short=given.short,
        pairs=given.pairs,
        against=given.against and Checkout.at(given.against.resolve()),
        jobs=given.jobs,
        rows=given.rows,
    )
    found: list[Row] = []
    began = time.monotonic()
    for name in given.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found += BENCHMARKS[name](settings)
        except MissingToolError as error:
            print(f"{name}: skipped: {error}", file=sys.stderr)
    where = f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {cores()} cores"
    if given.json:
        print(json.dumps({"where": where, "rows": [row.as_json() for row in found]}, indent=1))
        return
    print(f"{where}; {time.monotonic() - began:.0f} s; in square brackets: lowest and highest of {given.pairs};")
    print("in round ones: the ratio to the first row of each group\n")
    print(table(found))


if __name__ == "__main__":
    main()
