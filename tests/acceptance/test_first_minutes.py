"""The first minutes: how batchgen was called, help through a pager, the line while a manifest is read, slips."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .kit import ROOT
from .terminal import Screen, on_terminal

PROGRAM = Path(sys.executable).with_name("batchgen")
JOBS = "jobs:\n  - {id: cat, provider: openai, prompt: A cat}\n  - {id: dog, provider: openai, prompt: A dog}\n"


def called(folder: Path, program: list[str], *words: str, path: str = "/usr/bin:/bin") -> str:
    """Run a program for real, with *path* as the search path, and return what it printed."""
    env = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*program, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(not PROGRAM.exists(), reason="batchgen is not installed here")
def test_hints_show_how_the_program_was_called(tmp_path):
    local = tmp_path / ".venv/bin/batchgen"
    local.parent.mkdir(parents=True)
    shutil.copy(PROGRAM, local)
    assert "batchgen run MANIFEST" in called(tmp_path, [".venv/bin/batchgen"], "status")
    assert ": .venv/bin/batchgen run MANIFEST" in called(tmp_path, [".venv/bin/batchgen"], "status")
    assert ": .venv/bin/batchgen run MANIFEST" in called(tmp_path, [str(local)], "status")
    on_path = f"{local.parent}:/usr/bin:/bin"
    assert ": batchgen run MANIFEST" in called(tmp_path, ["batchgen"], "status", path=on_path)
    assert f": {PROGRAM} run MANIFEST" in called(tmp_path, [sys.executable, "-m", "batchgen"], "status")
    assert f": {PROGRAM} run MANIFEST" in called(tmp_path, [str(PROGRAM)], "status", path=on_path)
    assert "  .venv/bin/batchgen validate" in called(tmp_path, [".venv/bin/batchgen"], "--help")


def test_what_the_demonstration_suggests_works_as_typed(tmp_path):
    shown = called(tmp_path, [sys.executable, "-m", "batchgen"], "demo", "--latency", "none")
    lines = [line.removeprefix("now try").strip() for line in shown.partition("now try")[2].splitlines()]
    commands = [line.partition("    ")[0] for line in lines if "batchgen" in line]
    assert len(commands) == 5
    for command in [commands[0].removesuffix(" --open"), *commands[1:4]]:
        assert (
            subprocess.run(command, shell=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, check=False).returncode
            == 0
        )


@pytest.mark.parametrize("words", [["--help"], ["help"], ["run", "--help"], ["help", "manifest"]])
def test_long_help_goes_through_the_pager(bare, words):
    pager = bare.folder / "pager"
    pager.write_text("#!/bin/sh\necho PAGER BEGINS\ncat\necho PAGER ENDS\n")
    pager.chmod(pager.stat().st_mode | stat.S_IXUSR)
    for name in ("BATCHGEN_PAGER", "PAGER"):
        text, code = on_terminal(bare, words, "xterm", 100, **{"BATCHGEN_PAGER": str(pager), name: str(pager)})
        assert code == 0
        assert text.startswith("PAGER BEGINS")
        assert text.rstrip().endswith("PAGER ENDS")
    for term, rows, command in (("dumb", 30, str(pager)), ("xterm", 2000, str(pager)), ("xterm", 30, "")):
        text, code = on_terminal(bare, words, term, 100, rows, BATCHGEN_PAGER=command)
        assert (code, "PAGER" in text.replace("BATCHGEN_PAGER", "")) == (0, False)
    assert "PAGER BEGINS" not in bare.run(*words, BATCHGEN_PAGER=str(pager)).out


def test_help_on_a_terminal_has_bold_headings_and_no_escapes_to_read(bare):
    text, _ = on_terminal(bare, ["help"], "xterm")
    assert "\x1b[1m" in text
    assert "\\x1b" not in text


def test_commands_are_in_groups_six_first(bare):
    text = bare.run("--help").out
    groups = [part.splitlines() for part in text.split("\n\n") if part.startswith(("Make", "Look", "Again", "Try"))]
    assert len(groups) >= 4
    first = [line.split()[0] for line in groups[0][1:] if line[2] != " "]
    assert first == ["init", "validate", "plan", "run", "status", "retry"]


@pytest.mark.parametrize("words", [["plan"], ["validate"], ["run", "--sandbox", "--latency", "none"]])
def test_a_terminal_shows_at_once_that_a_manifest_is_read(bare, words):
    (bare.folder / "m.yaml").write_text(JOBS)
    text, code = on_terminal(bare, [*words, "m.yaml"], "xterm")
    assert code == 0
    assert text.startswith("\r\x1b[Kreading m.yaml\r")
    assert "reading m.yaml, 2 rows\r\x1b[K" in text
    assert "reading" not in "\n".join(Screen().feed(text).shown)


def test_a_terminal_shows_how_many_files_are_verified(bare):
    (bare.folder / "m.yaml").write_text(JOBS)
    bare.run("run", "m.yaml", "--sandbox", "--latency", "none", "--yes")
    text, code = on_terminal(bare, ["verify", "--deep", "--sandbox"], "xterm")
    assert code == 0
    assert "checking, 2 files\r\x1b[K" in text
    assert "checking" not in "\n".join(Screen().feed(text).shown)


def test_the_reading_line_is_for_terminals(bare):
    (bare.folder / "m.yaml").write_text(JOBS)
    assert "reading m.yaml" not in bare.run("plan", "m.yaml").err
    for option in ("-q", "--json"):
        assert "reading m.yaml" not in on_terminal(bare, ["plan", "m.yaml", option], "xterm")[0]
    text, _ = on_terminal(bare, ["plan", "m.yaml"], "dumb")
    assert text.startswith("reading m.yaml\r\n")
    assert "\x1b" not in text


@pytest.mark.parametrize("example", ["generate", "edit", "catalog"])
def test_init_names_the_provider_and_its_key(bare, example):
    begun = bare.run("init", "--example", example)
    assert "export OPENAI_API_KEY=...    the key of openai" in begun.err
    assert "--budget 1" in begun.err
    refused = bare.run("run", "--budget", "1")
    assert refused.code == 5
    assert "OPENAI_API_KEY" in refused.err
    other = bare.run("init", "other", "--example", example, AIGATE_API_KEY="sk-0123456789abcdef")
    assert f"write  provider: aigate  into jobs/{example}.yaml" in other.err
    assert "OPENAI_API_KEY" not in other.err
    assert "sandbox-output/" in (bare.folder / ".gitignore").read_text().split()


def test_the_projects_own_gitignore_knows_the_sandbox():
    assert "sandbox-output/" in (ROOT / ".gitignore").read_text().split(), os.fspath(ROOT)


SLIPS = [
    ("jobs/autumn.yaml --sandbox", "did you mean: batchgen run jobs/autumn.yaml --sandbox"),
    ("autumn", "did you mean: batchgen run autumn"), ("start", "did you mean: batchgen run"),
    ("ls", "did you mean: batchgen list"), ("stop", "did you mean: batchgen cancel"),
    ("keys", "did you mean: batchgen help keys"), ("models", "did you mean: batchgen providers models"),
    ("version", "did you mean: batchgen --version"), ("stauts", "did you mean 'status'?"),
    ("xyzzy", "batchgen --help lists all of them"), ("list failed", "did you mean: batchgen list --status failed"),
    ("list autumn", "batchgen list --id autumn, or batchgen list --batch autumn"),
    ("cancel cat", "to select jobs: --id cat"),
    ("run jobs/autumn.yaml jobs/other.yaml", "one manifest at a time: `include` in a manifest joins several"),
    ("--dry-run run", "Options of a command come after its name: batchgen run --dry-run"),
    ("run --dryrun", "Did you mean '--dry-run'?"), ("run --budget abc", "such as 40 or 0.50"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "answer"), SLIPS, ids=[line for line, _ in SLIPS])
def test_a_slip_of_a_newcomer_is_answered_with_what_to_type(bare, line, answer):
    (bare.folder / "jobs").mkdir()
    (bare.folder / "jobs/autumn.yaml").write_text(JOBS)
    done = bare.run(*line.split())
    assert (done.code, done.out) == (2, "")
    assert answer in done.err


def test_a_word_that_names_nothing(bare):
    (bare.folder / "jobs").mkdir()
    (bare.folder / "jobs/autumn.yaml").write_text(JOBS)
    job = bare.run("run", "cat")
    assert job.code == 10
    assert "there are: autumn. To select a job: --id cat" in job.err
    assert "there are: jobs/autumn.yaml" in bare.run("run", "foo.yml").err


def test_a_batch_is_an_argument_of_the_commands_that_show_it(bare):
    (bare.folder / "jobs").mkdir()
    for name in ("autumn", "winter"):
        (bare.folder / f"jobs/{name}.yaml").write_text(JOBS)
        assert bare.run("run", name, "--sandbox", "--latency", "none").code == 0
    for command in ("status", "usage", "export", "verify", "watch"):
        by_option = bare.run(command, "--batch", "autumn", "--sandbox")
        assert by_option.code == 0, by_option.err
        for word in ("autumn", "jobs/autumn.yaml"):
            by_word = bare.run(command, word, "--sandbox")
            assert (by_word.code, by_word.out) == (0, by_option.out)
    assert bare.run("status", "autmn", "--sandbox").code == 10
