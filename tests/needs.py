"""What tests need beyond Python: a test skips without it, or fails where everything must be there."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

EVERYTHING = "TEST_EVERYTHING"


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where `.ci/run` forbids to skip."""
    if os.environ.get(EVERYTHING):
        pytest.fail(f"{what}, and {EVERYTHING} is set")
    pytest.skip(what)


def need_program(*names: str) -> str:
    """Path of the first of these programs that is there."""
    for name in names:
        if path := shutil.which(name):
            return path
    missing(f"{' or '.join(names)} is not installed")
