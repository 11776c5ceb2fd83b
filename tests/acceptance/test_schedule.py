"""``schedule``: what it prints is run as it is, by the shell of cron and the judge of systemd."""

from __future__ import annotations

import plistlib
import shutil
import subprocess

import pytest

from batchgen.app.schedule import Schedule
from batchgen.errors import UsageError

from .kit import CANARY

ONE = [{"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}]


@pytest.fixture
def odd(project):
    """A project in a folder whose name means something to every shell and unit file."""
    project.move_to(project.folder / "it's 100% $HOME")
    project.folder.mkdir()
    return project


@pytest.mark.not_on(postgres="a run with an empty environment", s3="a run with an empty environment")
def test_cron_line_runs_in_an_empty_environment_silently(odd, witness):
    manifest = odd.manifest(ONE, name="night.yaml")
    env = odd.folder / ".env"
    env.write_text(f"OPENAI_API_KEY={CANARY}\n", encoding="utf-8")
    env.chmod(0o600)
    shown = odd.run("schedule", "cron", manifest, "--every", "30m", "--", "--budget", "1")
    assert shown.code == 0, shown.err
    *comments, line = shown.out.splitlines()
    assert all(text.startswith("#") for text in comments)
    assert line.startswith("*/30 * * * * /")
    command = line.split(" ", 5)[5].replace("\\%", "%")
    done = subprocess.run(["env", "-i", "/bin/sh", "-c", command], cwd="/", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert len(witness.charges()) == 1
    assert odd.jobs()["one"]["state"] == "done"


def test_systemd_takes_service_and_timer(odd, tmp_path):
    manifest = odd.manifest(ONE, name="night.yaml")
    shown = odd.run("schedule", "systemd", manifest, "--daily", "22:30", "--", "--yes")
    assert shown.code == 0, shown.err
    assert "SuccessExitStatus=3 7 8 9\n" in shown.out
    assert "OnCalendar=*-*-* 22:30:00\n" in shown.out
    assert "--wait-lock 600 --yes" in shown.out
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    service, timer = shown.out.split("\n\n# ~/.config/systemd/user/batchgen-night.timer\n")
    files = [tmp_path / "batchgen-night.service", tmp_path / "batchgen-night.timer"]
    for file, text in zip(files, (service, timer), strict=True):
        file.write_text(text, encoding="utf-8")
    judged = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    assert "batchgen-night" not in judged.stderr, judged.stderr
    assert judged.returncode == 0, judged.stderr


def test_launchd_gets_a_property_list(odd):
    manifest = odd.manifest(ONE, name="night.yaml")
    shown = odd.run("schedule", "launchd", manifest, "--every", "1h", "--", "--yes")
    unit = plistlib.loads(shown.out.encode())
    assert unit["StartInterval"] == 3600
    assert unit["ProgramArguments"][-5:] == ["run", str(manifest), "--wait-lock", "600", "--yes"]


@pytest.mark.parametrize(
    "rest", [["--every", "7m"], ["--daily", "25:00"], ["--every", "1h", "--daily", "1:00"], ["--", "--budgt", "4"]]
)
def test_what_cannot_be_is_reported(project, rest):
    done = project.run("schedule", "cron", project.manifest(ONE), *rest)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "--budgt" not in rest or "batchgen run --help" in done.err


@pytest.mark.parametrize(("option", "hint"), [("--sandbox", True), ("--budget", True), ("--at", False)])
def test_options_of_run_belong_behind_the_dashes(project, option, hint):
    refused = project.run("schedule", "cron", project.manifest(ONE), option, "1")
    assert (refused.code, refused.out) == (2, "")
    assert (f"options of run follow after --, as in  -- {option}" in refused.err) is hint


def write_env(project, text: str):
    env = project.folder / ".env"
    env.write_text(text, encoding="utf-8")
    env.chmod(0o600)
    return env


def test_cron_line_without_a_key_that_cron_sees_is_reported(project):
    path = project.manifest([*ONE, {"id": "two", "provider": "aimlapi", "prompt": "Two"}])
    project.env.pop("AIMLAPI_API_KEY")
    shown = project.run("schedule", "cron", path, "--", "--yes")
    assert shown.code == 0
    shell, missing = shown.err.splitlines()
    where = f"add it to {project.folder}/.env (then: chmod 600)"
    assert shell.startswith("warning: this run will not start: OPENAI_API_KEY is set in this shell only")
    assert shell.endswith(where)
    assert missing.startswith("warning: this run will not start: no API key for aimlapi: set the environment variable")
    assert project.run("schedule", "cron", path, "--", "--sandbox").err == ""
    write_env(project, f"OPENAI_API_KEY={CANARY}\nAIMLAPI_API_KEY={CANARY}\n")  # also where the shell has one too
    assert project.run("schedule", "cron", path, "--", "--yes").err == ""


def test_cron_line_of_a_paused_provider_is_reported(project):
    path = project.manifest(ONE)
    write_env(project, f"OPENAI_API_KEY={CANARY}\n")
    assert project.run("run", path, "--yes").code == 0
    assert project.run("pause", "openai").code == 0
    assert "warning: openai: paused since" in project.run("schedule", "cron", path, "--", "--yes").err


def test_cron_line_that_cannot_spend_is_reported(project):
    path = project.manifest(ONE)
    write_env(project, f"OPENAI_API_KEY={CANARY}\n")
    for kind in ("cron", "systemd", "launchd"):
        bare = project.run("schedule", kind, path)
        assert bare.code == 0
        assert "this run will not start: spending is not confirmed; add  -- --budget USD" in bare.err
        capped = project.run("schedule", kind, path, "--", "--budget", "7")
        assert capped.err == ""
        assert "budget 7 applies to each run separately" in capped.out
        assert "holds for each" not in bare.out
    assert project.run("schedule", "cron", path, "--", "--sandbox").err == ""
    assert "will not start" in project.run("schedule", "cron", path, BATCHGEN_RUN_YES="1").err  # cron lacks that
    write_env(project, f"OPENAI_API_KEY={CANARY}\nBATCHGEN_RUN_BUDGET=1\n")
    assert project.run("schedule", "cron", path).err == ""
    write_env(project, f"OPENAI_API_KEY={CANARY}\n")
    stated = project.run("schedule", "cron", project.manifest(ONE, budget={"usd": 4}), "--", "--budget", "7")
    assert (stated.err, "holds for each" in stated.out) == ("", False)
    path.write_text("jobs: 7\n", encoding="utf-8")
    assert "this run will not start: " in project.run("schedule", "cron", path).err


@pytest.mark.parametrize(
    ("every", "cron", "calendar"),
    [
        ("1m", "* * * * *", "*:0/1"), ("10m", "*/10 * * * *", "*:0/10"), ("1h", "0 * * * *", "0/1:00"),
        ("60m", "0 * * * *", "0/1:00"), ("6h", "0 */6 * * *", "0/6:00"), (None, "0 22 * * *", "*-*-* 22:00:00"),
    ],
)  # fmt: skip
def test_times(every, cron, calendar):
    when = Schedule.of(every, None)
    assert (when.cron, when.calendar) == (cron, calendar)
    if every is None:
        with pytest.raises(UsageError):
            Schedule.of("5h", None)
