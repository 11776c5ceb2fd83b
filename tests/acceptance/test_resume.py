"""Going on and looking on: resume, retry --with, watch, show --as-yaml and --as-curl."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from contextlib import suppress

import pytest
import yaml
from PIL import Image

from tests.forkserver import FRESH

from .kit import CANARY, finish, wait_for

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}


def test_retry_overrides_outlast_the_manifest(project, witness):
    bad = {"id": "bad", **LOW, "quality": "high", "prompt": "Bad [sandbox: refuse]"}
    path = project.manifest([{"id": "ok", **LOW, "prompt": "Ok"}, bad])
    assert project.run("run", path, "--yes").code == 3
    words = ("--with", "quality=low", "--with", "prompt=Good", "--with", "provider=aimlapi")
    plan = project.run("retry", *words, "--dry-run", "--json").json
    assert plan["with"] == {"quality": "low", "prompt": "Good", "provider": "aimlapi"}
    assert [(lane["provider"], lane["requests"]) for lane in plan["lanes"]] == [("aimlapi", 1)]
    assert project.jobs()["bad"]["state"] == "failed"
    done = project.run("retry", *words, "--yes")
    assert done.code == 0, done.err
    assert "bad: prompt " in done.err
    assert "quality high -> low" in done.err
    last = witness.charges()[-1]
    assert (last["provider"], last["prompt"]) == ("aimlapi", "Good")
    charged = len(witness.charges())
    assert project.run("plan", path, "--json").json["jobs"]["done"] == 2
    assert project.run("run", path, "--yes").code == 0
    assert project.run("resume", "shop", "--yes").code == 0
    assert "with      prompt=Good provider=aimlapi quality=low" in project.run("show", "bad").out
    assert len(witness.charges()) == charged
    # a job table that was lost learns it again from the sidecar
    project.lose_database()
    assert project.run("run", path, "--yes").code == 0
    assert len(witness.charges()) == charged
    # and the manifest has the last word once it its request has changed
    project.manifest([{"id": "ok", **LOW, "prompt": "Ok"}, bad | {"prompt": "New"}])
    assert project.run("resume", "--yes").code == 0
    assert len(witness.charges()) == charged + 1


def test_what_a_retry_asked_for_holds_while_the_job_is_pending(project, witness):
    path = project.manifest([{"id": "bad", **LOW, "prompt": "Bad [sandbox: refuse]"}])
    assert project.run("run", path, "--yes").code == 3
    away = {"aimlapi": {"base_url": "http://127.0.0.1:9", "retry": {"first_wait": 0.001, "max_wait": 0.01}}}
    project.manifest([{"id": "bad", **LOW, "prompt": "Bad [sandbox: refuse]"}], providers=away)
    assert project.run("retry", "--with", "provider=aimlapi", "--with", "prompt=Good", "--yes").code == 8
    project.manifest([{"id": "bad", **LOW, "prompt": "Bad [sandbox: refuse]"}])
    assert project.run("resume", "--yes").code == 0
    assert [(line["provider"], line["prompt"]) for line in witness.charges()] == [("aimlapi", "Good")]


def test_resume_needs_something_to_go_on_with(project):
    nothing = project.run("resume", "--yes")
    assert (nothing.code, nothing.out) == (10, "")
    path = project.manifest([{"id": "one", **LOW, "prompt": "One"}])
    assert project.run("run", path, "--yes").code == 0
    assert project.run("resume", "other", "--yes").code == 10
    path.unlink()
    gone = project.run("resume", "--yes")
    assert gone.code == 10
    assert "is missing" in gone.err


def on_a_terminal(project, *arguments):
    """Return what a terminal of 100 columns gets to see, with all that steers it."""
    ours, theirs = pty.openpty()
    env = project.environment() | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([*FRESH, *arguments], cwd=project.folder, env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the terminal is gone with its last program
            while chunk := os.read(ours, 65536):
                seen += chunk
        os.close(ours)
    assert process.returncode == 0, seen
    return project.axis.text(seen.decode())


def test_watch_follows_a_run_to_its_end(project, witness):
    jobs = [{"id": f"j{number}", **LOW, "prompt": f"Hare {number} [sandbox: slow=0.4]"} for number in range(4)]
    run = project.start("run", project.manifest(jobs), "--yes", "-j", "1")
    wait_for(lambda: witness.arrived >= 1, run)
    watching = project.start("watch", "--json", "--every", "0.1")
    plain = project.start("watch")
    shown = on_a_terminal(project, "watch", "--every", "0.1")
    assert "images/min" in shown
    assert "openai" in shown
    assert shown.splitlines()[-1] == "next      batchgen status"
    assert finish(run).code == 0
    looked = finish(watching)
    looks = [json.loads(line) for line in looked.out.splitlines()]
    assert looked.code == 0
    assert looks[0]["going"]
    assert looks[0]["jobs"]["total"] == 4
    assert not looks[-1]["going"]
    assert (looks[-1]["jobs"]["done"], looks[-1]["run"]["exit_code"]) == (4, 0)
    assert max(look["images_per_minute"] for look in looks) > 0
    ended = finish(plain)
    assert "jobs done" in ended.out.splitlines()[0]
    assert "with 0; 4 of 4 jobs done" in ended.out.splitlines()[-2]
    assert project.run("watch").code == 0
    assert project.run("watch", "--batch", "none").code == 10


@pytest.mark.parametrize("kind", ["generate", "edit-json", "edit-multipart"])
def test_show_gives_the_request_as_it_is_sent(project, witness, kind, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "it's red.png")
    job = {"id": "one", **LOW, "prompt": 'It\'s $HOME `x` \\ "q" ü'}
    if kind != "generate":
        job |= {"images": ["it's red.png"], "provider": "aigate" if kind == "edit-json" else "openai"}
    assert project.run("run", project.manifest([job]), "--yes").code == 0
    shown = project.run("show", "one", "--as-curl")
    assert shown.code == 0, shown.err
    assert CANARY not in shown.out
    keys = project.environment()
    sent = subprocess.run(["/bin/sh", "-c", shown.out], env=keys, cwd=tmp_path, capture_output=True, check=True)
    assert "error" not in json.loads(sent.stdout)
    first, second = witness.charges()
    same = ("provider", "model", "prompt", "kind", "usd")
    assert [first.get(name) for name in same] == [second.get(name) for name in same]


def test_show_gives_a_manifest_that_asks_for_the_same(project):
    prompt = "Braces {{ '{{' }}x}} and {{ '{%' }} and ü\n"
    job = {"id": "one", **LOW, "prompt": prompt, "tags": ["a", "b"], "extra": {"style": "x"}, "priority": 2}
    path = project.manifest([job], defaults={"background": "opaque"})
    assert project.run("run", path, "--yes").code in (0, 3)
    shown = project.run("show", "one", "--as-yaml")
    assert shown.code == 0, shown.err
    again = yaml.safe_load(shown.out)
    assert again["jobs"][0]["id"] == "one"
    project.manifest(again["jobs"])
    assert project.run("plan", path, "--json").json["jobs"]["changed"] == 0
