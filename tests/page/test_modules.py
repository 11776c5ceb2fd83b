"""The tests of single modules of the page (*.test.mjs), run by node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.needs import need_program
from tests.timing import patience

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.slow
@pytest.mark.skipif(not TESTS, reason="there are none")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_modules(path):
    command = [need_program("node"), "--test", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience(15))
    assert done.returncode == 0, done.stdout + done.stderr
