"""How batchgen was called, in the commands of hints."""

from __future__ import annotations

import sys

import pytest

from batchgen.cli import program

TEXT = "more than batchgen accepts: batchgen run m.yaml, `batchgen --help`; /srv/batchgen run stays"


@pytest.fixture(autouse=True)
def _fresh():
    program._program.cache_clear()
    yield
    program._program.cache_clear()


@pytest.mark.parametrize("called", ["batchgen", "/nowhere/batchgen", "-c", "pytest", ""])
def test_a_program_that_is_not_there_leaves_texts_alone(monkeypatch, called):
    monkeypatch.setattr(sys, "argv", [called])
    assert program.as_called(TEXT) == TEXT


def test_only_commands_are_replaced(monkeypatch, tmp_path):
    script = tmp_path / "my tools" / "batchgen"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert program.as_called(TEXT) == (
        f"more than batchgen accepts: '{script}' run m.yaml, `'{script}' --help`; /srv/batchgen run stays"
    )
    monkeypatch.chdir(tmp_path)
    program._program.cache_clear()
    assert program.as_called("batchgen run m.yaml") == "'my tools/batchgen' run m.yaml"
