"""Every fault case of the catalogue is a test, or says why it is none; ``tests/FAULTS.md`` is that table, kept true."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "FAULTS.md"
MODULES = sorted(Path(__file__).parent.glob("test_*.py"))
CASES = {"N": 30, "P": 29, "F": 26, "D": 14, "R": 21, "M": 26, "S": 25}
GROUPS = {
    "N": "Network",
    "P": "Provider semantics",
    "F": "File system",
    "D": "Database",
    "R": "Process and time",
    "M": "Manifest",
    "S": "Security",
}
HEAD = """# Fault cases

The tests of each case of the catalogue. `FAULTS=write make test ARGS="tests/faults/test_table.py"` rewrites
this table; the same test fails when it is out of date.
"""


@functools.cache
def _functions(path: Path) -> list[str]:
    return [
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _dictionary(path: Path, name: str) -> dict[str, str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == name and node.value is not None:
            return dict(ast.literal_eval(node.value))
    return {}


def _collected() -> tuple[dict[str, list[str]], dict[str, str]]:
    proved: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for path in MODULES:
        shown = path.relative_to(ROOT).as_posix()
        for name in _functions(path):
            if found := re.match(r"test_([NPFDRMS]\d+)_", name):
                proved.setdefault(found[1], []).append(f"{shown}::{name}")
        for case, places in _dictionary(path, "ELSEWHERE").items():
            proved.setdefault(case, []).extend(re.split(r"[,\s]+", places.strip()))
        reasons |= _dictionary(path, "NOT_HERE")
    return proved, reasons


def _table() -> str:
    proved, reasons = _collected()
    lines = [HEAD]
    for letter, count in CASES.items():
        lines += [f"## {GROUPS[letter]}", "", "| case | where |", "|---|---|"]
        for number in range(1, count + 1):
            case = f"{letter}{number}"
            places = "<br>".join(f"`{place}`" for place in dict.fromkeys(proved.get(case, [])))
            why = f"not here: {reasons[case]}" if case in reasons else ""
            lines.append(f"| {case} | {'; '.join(filter(None, (places, why)))} |")
        lines.append("")
    return "\n".join(lines)


def test_every_case_is_proved_or_says_why_not():
    proved, reasons = _collected()
    every = {f"{letter}{number}" for letter, count in CASES.items() for number in range(1, count + 1)}
    assert sorted(every - set(proved) - set(reasons)) == []
    assert sorted((set(proved) | set(reasons)) - every) == []


def test_what_is_named_elsewhere_is_there():
    for places in _collected()[0].values():
        for place in places:
            file, _, name = place.partition("::")
            assert (ROOT / file).is_file(), place
            assert not name or name.split("[")[0].split("::")[-1] in _functions(ROOT / file), place


def test_the_table_is_true():
    if os.environ.get("FAULTS") == "write":
        TABLE.write_text(_table(), encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == _table()
