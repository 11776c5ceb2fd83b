"""``tests/REPORTS.md`` names tests that exist, and leaves out no public case and no good shape of an answer."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from batchgen.sandbox.shapes import GOOD

from .test_wire_pictures import CASES

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "tests" / "REPORTS.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("| case", "|---"))
]
#: The public cases of answers: each is in the table.
PUBLIC = [
    "dupkey", "nan", "badutf", "errnull", "errempty", "nopad", "dblprefix", "pctb64", "rawimage", "sse",
    "gzipmulti", "rawdeflate", "longcl", "tecl", "relurl", "redir", "topimages", "authurl", "errbeside", "url403",
    "bighead", "plainurl", "imgtag", "link", "emptyimg", "gemquota", "echo422", "softmoney", "mid401", "byok",
    "imagesafety", "litezero", "gzip", "ws", "tokens", "twice", "early", "crlf", "litesci",
]  # fmt: skip
NAMED = sorted({place for row in ROWS for place in re.findall(r"`([^`]+::[^`]+)`", row[3])})


@functools.cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_named_tests_exist():
    for place in NAMED:
        path, _, name = place.partition("::")
        function, _, case = name.partition("[")
        assert (ROOT / path).is_file(), place
        assert function in functions(path), place
        assert not case or case.removesuffix("]") in CASES, place


def test_every_row_is_whole():
    assert len(ROWS) > 60
    assert [row for row in ROWS if len(row) != 4 or not all(row[1:])] == []
    assert all("::" in row[3] for row in ROWS)


def test_every_public_case_of_an_answer_is_there():
    told = {name for row in ROWS for name in re.split(r"[,\s]+", row[0]) if name}
    assert set(PUBLIC) <= told
    assert len(PUBLIC) == 39


def test_every_good_shape_is_tried():
    tried = {case.partition(".")[2].partition("=")[0] for case in CASES}
    assert tried == {name for shapes in GOOD.values() for name in shapes}
