"""The log file: whole lines, one form, nothing secret, nothing that steers a terminal, and never the end of a run."""

from __future__ import annotations

import json
import logging
import stat
import threading
import time
import warnings
from pathlib import Path

import pytest

from batchgen import redaction
from batchgen.files import log
from tests.timing import patience

CANARY = "pk.canary/4711+Zq8vT3xW9pL5"
SIGNED = "https://cdn.example/a.png?X-Signature=abcdef&Expires=9"


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(redaction, "_KNOWN", set())


def wanted(folder: Path, **said: object) -> log.LogOptions:
    return log.LogOptions(file=folder / "logs" / "batchgen.jsonl", **said)  # type: ignore[arg-type]


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "logs" / "batchgen.jsonl").read_text("ascii").splitlines()]


@pytest.mark.filterwarnings("always")
def test_own_and_library_events_are_lines_of_one_form(tmp_path):
    with log.logging_to(wanted(tmp_path), batch="shop"):
        log.event("settled", job="a", usd=None, images=1)
        with log.log_context(run="r1"):
            log.event("claimed", logging.DEBUG, tags=("x", "y"))
            logging.getLogger("httpx").warning("slow %s", "answer")
            logging.getLogger("httpx").info("not of interest")
        warnings.warn("old", UserWarning, stacklevel=1)
        try:
            raise ValueError(CANARY[:3])
        except ValueError:
            logging.getLogger("asyncio").exception("lost")
    log.event("after the end")
    found = lines(tmp_path)
    assert [(line["level"], line["event"]) for line in found] == [
        ("info", "settled"), ("debug", "claimed"), ("warning", "library"), ("warning", "library"), ("error", "library"),
    ]  # fmt: skip
    assert [line.get("run") for line in found] == [None, "r1", "r1", None, None]
    assert {line["batch"] for line in found} == {"shop"}
    assert "usd" not in found[0]
    assert found[1]["tags"] == ["x", "y"]
    assert (found[2]["logger"], found[2]["message"]) == ("httpx", "slow answer")
    assert "UserWarning: old" in found[3]["message"]
    assert found[4]["error"] == f"ValueError: {CANARY[:3]}"
    file = tmp_path / "logs" / "batchgen.jsonl"
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize("as_text", [False, True], ids=["json", "text"])
def test_nothing_secret_and_nothing_that_steers_a_terminal(tmp_path, as_text):
    nasty = "a\x1b[2Jb\r\nc\x7f\u202ed\x85\ud800"
    told: list[str] = []
    with log.logging_to(wanted(tmp_path, as_text=as_text, verbose=2, show=told.append)):
        redaction.register([CANARY, ""])
        log.event("failed", message=f"{nasty} {CANARY}", deep={"list": [f"x{CANARY}", SIGNED]})
        logging.getLogger("lib").warning("Authorization: Bearer abcdefgh12345 sk-proj-0123456789abcdefgh %s", CANARY)
    text = (tmp_path / "logs" / "batchgen.jsonl").read_bytes().decode("ascii")
    assert len(text.splitlines()) == 2
    for written in (text.replace("\n", ""), *told):
        assert all(" " <= character <= "~" for character in written)
        for secret in (CANARY, "abcdefgh12345", "sk-proj", "X-Signature"):
            assert secret not in written
    assert "https://cdn.example/a.png?[...]" in text
    if not as_text:
        assert json.loads(text.splitlines()[0])["message"] == f"{nasty} [hidden]"


def test_it_rotates_and_keeps_few(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "SIZE", 2_000)
    with log.logging_to(wanted(tmp_path)):
        for number in range(200):
            log.event("settled", job=f"job-{number}")
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["batchgen.jsonl", *(f"batchgen.jsonl.{n + 1}" for n in range(log.OLDER))]
    assert all(file.stat().st_size <= 2_000 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert lines(tmp_path)[-1]["job"] == "job-199"


def test_gathered_lines_are_written_soon_and_before_an_error_in_order(tmp_path):
    with log.logging_to(wanted(tmp_path)):
        for number in range(3):
            log.event("settled", job=number)
        log.event("failed", logging.ERROR, job=3)
        assert [line["job"] for line in lines(tmp_path)] == [0, 1, 2, 3], "an error is not waited for"
        log.event("settled", job=4)
        end = time.monotonic() + patience(10)
        while len(lines(tmp_path)) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        assert [line["job"] for line in lines(tmp_path)] == [0, 1, 2, 3, 4]
        log.event("settled", job=5)
    assert [line["job"] for line in lines(tmp_path)] == [0, 1, 2, 3, 4, 5], "nothing is lost at the end"


def test_the_size_counts_what_an_earlier_log_left(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "SIZE", 2_000)
    for number in range(6):
        with log.logging_to(wanted(tmp_path)):
            log.event("settled", job=number, message="x" * 500)
    older = [json.loads(line)["job"] for line in (tmp_path / "logs" / "batchgen.jsonl.1").read_text().splitlines()]
    assert (older, [line["job"] for line in lines(tmp_path)]) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("broken", ["folder", "full"])
def test_a_log_that_cannot_be_written_is_reported_once_and_ends_nothing(tmp_path, broken):
    messages: list[str] = []
    file = Path("/dev/full") if broken == "full" else tmp_path / "file" / "logs" / "x.jsonl"
    (tmp_path / "file").write_text("no folder")
    with log.logging_to(log.LogOptions(file=file, show=messages.append)):
        log.event("one")
        log.event("two")
    assert messages == [f"the log {file} cannot be written; the run continues"]


def test_a_log_needs_no_thread_of_its_own(tmp_path, monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with log.logging_to(wanted(tmp_path)):
        log.event("one")
        log.event("two", logging.WARNING)
        assert [line["event"] for line in lines(tmp_path)] == ["one", "two"], "a warning writes all before it"
        log.event("three")
    assert [line["event"] for line in lines(tmp_path)] == ["one", "two", "three"]


def test_the_terminal_shows_what_was_asked_for(tmp_path):
    told: list[str] = []
    for verbose in (0, 1, 2):
        with log.logging_to(wanted(tmp_path, verbose=verbose, show=told.append)):
            log.event("claimed", logging.DEBUG, job=f"claimed-{verbose}")
            log.event("delivered", job=f"done-{verbose}", message="two words")
    assert [line.split(" ", 1)[1] for line in told] == [
        'delivered job=done-1 message="two words"',
        "claimed job=claimed-2",
        'delivered job=done-2 message="two words"',
    ]
