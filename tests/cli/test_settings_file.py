"""Options in settings files: which there may be, what goes before what, and what is refused, with its place."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from batchgen.app.config import settings
from batchgen.app.project import Project
from batchgen.cli import batchgen, settings_file
from batchgen.cli.params import RUNS, FailureLimit
from batchgen.errors import SettingsError

#: Whatever is new has been thought about: would anybody be harmed, or misled, by a file that says it?
OPEN = {
    "validate": {"strict"}, "plan": {"budget", "diff", "full"}, "watch": {"every"}, "usage": {"by"},
    "export": {"format"}, "report": {"open", "single_file"}, "open": {"folder", "print"}, "verify": {"deep", "quick"},
    "serve": {"port", "open", "read_only"},
    "collect": {"on_finish", "notify", "metrics_file", "log_file", "log_format"},
    "clean": {"older_than"}, "schedule": {"every", "daily"},
    "sandbox": {"port", "log", "latency", "fault", "throttle", "idle_exit"},
}  # fmt: skip
OF_A_RUN = {"budget", "stop_at", "max_time", "max_failures", "wait_lock", "progress", "on_finish", "notify"}
OF_A_RUN |= {"no_wait", "metrics_file", "log_file", "log_format", "fail_on", "no_input"}
OF_A_RUN |= {"backend", "address", "workers"}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return the user's own file, and a world without settings but those of the test."""
    for name in ("BATCHGEN_BUDGET", "BATCHGEN_STOP_AT", "BATCHGEN_RUN_STOP_AT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    file = tmp_path / "own.yaml"
    file.write_text("", encoding="utf-8")
    monkeypatch.setenv("BATCHGEN_CONFIG", str(file))
    return file


def shop(own: Path, text: str) -> Path:
    (own.parent / "shop" / "batchgen.yaml").write_text(text, encoding="utf-8")
    return own.parent / "shop"


def parsed(folder: Path, *words: str, name: str = "run") -> dict[str, Any]:
    command = batchgen.get_command(click.Context(batchgen), name)
    arguments = [*words, "m.yaml"] if name in RUNS else list(words)
    root = click.Context(batchgen, auto_envvar_prefix="BATCHGEN")
    context = command.make_context(name, arguments, parent=root, obj={"folder": folder})
    return context.params


def refused(own: Path, text: str, name: str = "run", *words: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parsed(shop(own, text), *words, name=name)
    return [line.removeprefix(f"{own.parent}/") for line in str(caught.value).splitlines()]


def commands() -> dict[str, click.Command]:
    return {name: batchgen.get_command(click.Context(batchgen), name) for name in batchgen.entries}


def test_every_option_of_every_command_has_been_thought_about():
    found = {name: set(settings_file.allowed(command)) for name, command in commands().items()}
    for name in RUNS:
        assert found.pop(name) == OF_A_RUN
    assert {name: allowed for name, allowed in found.items() if allowed} == OPEN


def test_file_fills_what_flags_and_environment_leave_out(own, monkeypatch):
    own.write_text(
        "options: {run: {stop_at: 05:00, max_time: 2h, on_finish: date, log_file: /nowhere/log}}", encoding="utf-8"
    )
    folder = shop(own, "options: {run: {stop-at: 22:30, max_failures: 5, notify: 'http://127.0.0.1:9/'}}")
    options = parsed(folder)
    # 22:30 is no number, though YAML 1.1 makes one of it
    assert (options["stop_at"], options["max_time"]) == (time(22, 30), timedelta(hours=2))
    assert options["max_failures"].jobs == 5
    assert (options["notify"], options["on_finish"], options["wait_lock"]) == (("http://127.0.0.1:9/",), "date", 0)
    assert options["log_file"] == Path("/nowhere/log")
    monkeypatch.setenv("BATCHGEN_STOP_AT", "06:00")
    assert parsed(folder)["stop_at"] == time(6)
    assert parsed(folder, "--stop-at", "07:00")["stop_at"] == time(7)


def test_run_options_also_hold_for_resume_and_retry(own):
    own.write_text("options: {retry: {max_time: 1h, progress: none}}", encoding="utf-8")
    folder = shop(own, "options: {run: {max_time: 2h, max_failures: 9}, retry: {max_failures: 5%}}")
    options = {name: parsed(folder, name=name) for name in RUNS}
    nine, share = FailureLimit(jobs=9), FailureLimit(percent=5.0)
    assert {name: each["max_failures"] for name, each in options.items()} == {
        "run": nine, "resume": nine, "retry": share, "redo": nine
    }  # fmt: skip
    # the project's file goes before one's own, whichever of the two it names
    assert {name: each["max_time"] for name, each in options.items()} == dict.fromkeys(RUNS, timedelta(hours=2))
    assert {name: each["progress"] for name, each in options.items()} == dict.fromkeys(RUNS, "auto") | {"retry": "none"}


@pytest.mark.parametrize("text", ["options:", "options: {run: }", "options: {run: {}, plan: }", "# options:"])
def test_what_is_commented_out_says_nothing(own, text):
    assert parsed(shop(own, text))["stop_at"] is None


def test_settings_are_those_of_the_manifest(own):
    folder = shop(own, "options: {run: {max_time: 2h}, plan: {full: true}}")
    (own.parent / ".git").mkdir()
    assert parsed(own.parent)["max_time"] is None
    root = click.Context(batchgen)
    run, plan = (batchgen.get_command(root, name) for name in ("run", "plan"))
    for words in ([str(folder / "m.yaml")], ["shop/m.yaml", "-C", str(own.parent)]):
        assert run.make_context("run", words, parent=root).params["max_time"] == timedelta(hours=2)
    assert plan.make_context("plan", [str(folder / "m.yaml")], parent=root).params["full"] is True


def test_those_of_a_resume_are_those_of_the_batchs_manifest(own, monkeypatch):
    folder = shop(own, "options: {run: {max_time: 2h}}")
    (own.parent / ".git").mkdir()
    (folder / "m.yaml").touch()
    asked: list[tuple[Any, ...]] = []

    def batches(place: Project) -> list[SimpleNamespace]:
        asked.append((place.root, place.sandbox))
        return [SimpleNamespace(name="night", manifest=str(folder / "m.yaml"))]

    monkeypatch.setattr("batchgen.app.manifests._batches", batches)
    resume = batchgen.get_command(click.Context(batchgen), "resume")
    for words in (["night", "--sandbox"], []):
        context = resume.make_context("resume", [*words, "-C", str(own.parent)], parent=click.Context(batchgen))
        assert context.params["max_time"] == timedelta(hours=2)
    assert asked == [(own.parent, True), (own.parent, False)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("options:\n  rnu: {}", "2:3: options.rnu: unknown command 'rnu' (did you mean 'run'?)"),
        ("options:\n  estimate: {}", "2:3: options.estimate: unknown command 'estimate' (write 'plan')"),
        ("option: {}", "1:1: option: unknown key 'option' (did you mean 'options'?)"),
        ("options: [run]", "1:10: options: should map the name of a command to its options"),
        ("options: {run: 5}", "1:16: options.run: should be a mapping (key: value)"),
        ("options: {run: {stopat: 5}}", "run.stopat: run has no option 'stopat' (did you mean 'stop_at'?)"),
        ("options: {run: {latency: none}}", "run has no option 'latency' (batchgen run --help lists the options)"),
        ("options: {run: {stop_at: 25:00}}", "1:26: options.run.stop_at: expected a time of day such as 06:30"),
        ("options: {run: {max_time: 6 days}}", "expected a duration"),
        ("options: {run: {max_failures: 5.5}}", "expected a number"),
        ("options: {run: {budget: much}}", "expected an amount in USD"),
        ("options: {run: {progress: fancy}}", "1:27: options.run.progress: 'fancy' is not one of"),
        ("options: {run: {wait_lock: }}", "options.run.wait_lock: has no value"),
        ("options: {run: {wait_lock: [1, 2]}}", "options.run.wait_lock: should be one value"),
        ("options: {run: {log_file: true}}", "options.run.log_file: should be text or a number, not a switch"),
        ("options: {run: {stop_at: 05:00, stop-at: 06:00}}", "options.run.stop-at: is given twice"),
        ("options: {run: {notify: [{a: b}]}}", "should be one value, or a list of them"),
        ("options: {run: {notify: 'http://x.example.com/'}}", "a webhook must use https, or http on this machine"),
        (
            "options: {run: {on_finish: rm}}",
            "cannot be set in this file (it runs a command; only your own",
        ),
        (
            "options: {run: {metrics_file: /etc/x.prom}}",
            "(it leads out of the project; only your own settings may set it",
        ),
        ("options: {run: {log_file: logs/../../x}}", "(it leads out of the project; only your own settings"),
        ("options: {run: {yes: true}}", "cannot be set in this file (it has to be confirmed each time"),
        ("options: {run: {sandbox: true}}", "(it selects what the command is about; use the command line)"),
        ("options: {run: {limit: 10}}", "(it selects what the command is about; use the command line)"),
        ("options: {run: {concurrency: 4}}", "(set it for a provider: providers: NAME: limits: {concurrency: N})"),
        ("options: {run: {db: x.db}}", "set BATCHGEN_DB in the environment or in a file named with --env-file)"),
        ("options: {run: {max_time: 1h, max_time: 2h}}", "the key 'max_time' is given twice"),
    ],
)
def test_impossible_options_are_placed_before_anything_begins(own, text, line):
    # also where the command line says the same option rightly
    [caught] = refused(own, text, "run", "--max-time", "1h", "--budget", "1")
    assert caught.startswith(("shop/batchgen.yaml:1:", "shop/batchgen.yaml:2:"))
    assert line in caught


def test_all_mistakes_are_reported_at_once(own):
    text = "options: {run: {yse: 1, budget: x}, plan: {ful: true}, db: {deep: true}}"
    assert len(refused(own, text)) == 2
    assert parsed(own.parent / "shop", name="watch")["every"] == 1
    with pytest.raises(SettingsError) as caught:
        settings_file.check(batchgen, settings.layers(own.parent / "shop"))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "options.run.yse", "options.run.budget", "options.plan.ful", "options.db.deep",
    ]  # fmt: skip


def test_a_switch_and_a_number_are_typed_as_on_the_command_line(own):
    folder = shop(own, "options: {plan: {full: yes}, sandbox: {port: 80.5}, verify: {deep: maybe}}")
    assert parsed(folder, "m.yaml", name="plan")["full"] is True
    for name, what in (
        ("sandbox", "expected a whole number from 0 to 65535, such as 8765, not '80.5'"),
        ("verify", "'maybe' is not a valid bool"),
    ):
        with pytest.raises(SettingsError, match=what):
            parsed(folder, name=name)


def test_help_and_completion_read_no_file(own):
    folder = shop(own, "options: [")
    run = batchgen.get_command(click.Context(batchgen), "run")
    context = run.make_context("run", [], resilient_parsing=True, obj={"folder": folder})
    assert context.params["stop_at"] is None
    assert "--stop-at" in run.get_help(context)
    with pytest.raises(click.exceptions.Exit):
        parsed(folder, "--help")


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("confirm_above", ["confirm_above"]),
        ("options.plan.full", ["BATCHGEN_PLAN_FULL", "options.plan.full"]),
        ("options.run.stop_at", ["BATCHGEN_RUN_STOP_AT", "BATCHGEN_STOP_AT", "options.run.stop_at"]),
        ("options.retry.log_file", ["BATCHGEN_RETRY_LOG_FILE", "options.retry.log_file", "options.run.log_file"]),
    ],
)
def test_what_goes_before_a_setting(name, before):
    assert settings_file.rivals(name) == before
