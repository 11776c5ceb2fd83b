"""Warnings of libraries: never on the terminal, unless Python is asked to show them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, warnings
import batchgen.manifest
load = batchgen.manifest.load

def loud(*arguments, **options):
    for kind in (UserWarning, RuntimeWarning, FutureWarning):
        warnings.warn("a library is worried", kind)
    return load(*arguments, **options)

batchgen.manifest.load = loud
from batchgen.cli import main
sys.argv = ["batchgen", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("words", [["validate"], ["plan"], ["-q", "validate"]], ids=" ".join)
@pytest.mark.parametrize("shown", [False, True], ids=["hidden", "asked for"])
def test_a_warning_of_a_library_reaches_the_terminal_only_on_request(tmp_path, words, shown):
    (tmp_path / "m.yaml").write_text("jobs: [{id: a, prompt: x, provider: openai}]\n", encoding="utf-8")
    options = ["-W", "default"] if shown else []
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, *words, "m.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("a library is worried" in done.stderr) == shown
    if words[0] == "-q" and not shown:
        assert (done.stdout, done.stderr) == ("", "")
