"""An error that nobody foresaw: one sentence for a person, the traceback in the log, keys in neither."""

from __future__ import annotations

import json
import sys

import pytest

from batchgen import redaction
from batchgen.app import queries
from batchgen.cli import main
from batchgen.errors import StoreError
from batchgen.files import log as logs

KEY = "sk-canary-Zq8vT3xW9pL5mK2rB7nD4hJ6-0000"


def boom(*_arguments, **_options):
    raise ValueError(f"list.remove(x): x not in list, {KEY}")


def group(*_arguments, **_options):
    try:
        boom()
    except ValueError as error:
        raise BaseExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("inner", [error])]) from None


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "_last", [])

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["batchgen", "-C", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("fails", [boom, group])
def test_it_is_one_sentence_and_the_path_of_the_log(command, tmp_path, monkeypatch, fails):
    monkeypatch.setattr(queries, "status", fails)
    log = tmp_path / ".batchgen" / "logs" / "batchgen.jsonl"
    code, out, err = command("status")
    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith("an unexpected error ended this command: ValueError: list.remove(x): x not in list, ")
    assert f"its traceback is in {log}; run again with --debug" in line
    [entry] = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    assert entry["event"] == "crash"
    assert any("in boom" in text for text in entry["traceback"])
    assert KEY not in err + log.read_text(encoding="utf-8")


def test_a_script_gets_it_as_json(command, monkeypatch):
    monkeypatch.setattr(queries, "status", boom)
    code, out, err = command("status", "--json")
    assert (code, out) == (1, "")
    assert json.loads(err)["code"] == 1


@pytest.mark.parametrize("fails", [boom, group])
def test_with_debug_the_traceback_is_shown_without_keys(command, monkeypatch, fails):
    monkeypatch.setattr(queries, "status", fails)
    code, _, err = command("status", "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert "in boom" in err
    assert KEY not in err
    assert err.splitlines()[-1].startswith("an unexpected error ended this command: ValueError")


def test_with_debug_an_error_of_a_library_is_shown_without_secrets(command, monkeypatch):
    def fails(*_arguments, **_options):
        raise StoreError("the store refuses") from OSError(f"GET https://shop.example/cat.png?sig={KEY} failed")

    redaction.register([KEY])
    monkeypatch.setattr(queries, "status", fails)
    code, _, err = command("status", "--debug")
    assert code == 1
    assert "OSError: GET https://shop.example/cat.png?[...] failed" in err
    assert err.splitlines()[-1] == "batchgen.errors.StoreError: the store refuses"
    assert KEY not in err


def test_a_log_that_cannot_be_written_is_no_second_error(command, tmp_path, monkeypatch):
    (tmp_path / ".batchgen").write_text("a file where a folder is expected", encoding="utf-8")
    monkeypatch.setattr(queries, "status", boom)
    code, _, err = command("status")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "traceback is in" not in err
    assert "run again with --debug for a traceback" in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ExceptionGroup("x", [ValueError("y"), StoreError("the disk is full")]), 1, "the disk is full"),
        (ExceptionGroup("x", [OSError(28, "No space left on device", "f.png")]), 1, "f.png: No space left on device"),
        (BaseExceptionGroup("x", [KeyboardInterrupt()]), 130, "interrupted"),
    ],
)
def test_a_group_is_reported_by_its_clearest_message(command, monkeypatch, error, code, message):
    def fails(*_arguments):
        raise error

    monkeypatch.setattr(queries, "status", fails)
    assert command("status") == (code, "", f"{message}\n")
