"""``python -m tests.bench [NAME ...] [--short] [--json]``: one table at the end.

The machine is shared and noisy: trust ratios and CPU, not times. Nothing here fails for being slow.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time

from .figures import Row, table
from .meter import cores
from .suite import BENCHMARKS


def main() -> None:
    """Run the benchmarks that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    found: list[Row] = []
    began = time.monotonic()
    for name in given.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += BENCHMARKS[name](short=given.short)
    where = f"Python {platform.python_version()}, {platform.system()}, {cores()} cores"
    if given.json:
        print(json.dumps({"where": where, "rows": [row.as_json() for row in found]}, indent=1))
        return
    print(f"{where}; {time.monotonic() - began:.0f} s; in brackets: the ratio to the first row of each group\n")
    print(table(found))


if __name__ == "__main__":
    main()
