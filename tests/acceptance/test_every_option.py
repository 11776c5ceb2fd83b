"""Every option of every command, at the command where it stands; and that none is without a test."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click
import httpx
import pytest
from PIL import Image

from batchgen.cli import batchgen
from batchgen.cli.params import EVERYWHERE
from batchgen.sandbox.log import read_log

from .kit import CANARY, PROVIDERS, Workspace, finish, wait_for
from .test_notify import Hook

LOW = {"provider": "openai", "model": "gpt-image-2", "quality": "low", "size": "1024x1024", "tags": ["t"]}
#: One job for every option to tell from the others.
JOBS = (
    LOW | {"id": "made", "prompt": "Made"},
    LOW | {"id": "made-too", "prompt": "Too", "tags": ["other"]},
    LOW | {"id": "there", "prompt": "There", "provider": "aimlapi"},
    LOW | {"id": "small", "prompt": "Small", "model": "gpt-image-2.5-flare"},
    LOW | {"id": "edited", "prompt": "Edited", "images": ["a.png"]},
    LOW | {"id": "refused", "prompt": "Refused [sandbox: refuse]"},
    LOW | {"id": "doubtful", "prompt": "Doubtful [sandbox: drop]"},
    LOW | {"id": "waits", "prompt": "Waits"},
)
KNOWN = ("--ids-from all.txt", "--tag t", "--provider openai", "--model gpt-image-2", "--kind generate")
COUNTED = ("--limit 1", "--sample 1", "--seed 3", "--shard 1/1")
#: For each command the options that select one job, and which.
FAILED = ("--id r*", *KNOWN, "--status failed", "--cause refused", *COUNTED)
DOUBTFUL = ("--id d*", *KNOWN, "--status unknown", "--cause unknown", *COUNTED)
PENDING = ("--id w*", *KNOWN, "--status pending", *COUNTED)
SELECTED = (
    ("list", *FAILED, "--batch shop", "refused"),
    ("export --format json", *FAILED, "--batch shop", "refused"),
    ("unknown list", *DOUBTFUL, "--batch shop", "doubtful"),
    ("unknown retry", *DOUBTFUL, "--batch shop", "doubtful"),
    ("unknown drop", *DOUBTFUL, "--batch shop", "doubtful"),
    ("cancel", *FAILED, "--batch shop", "refused"),
    ("marks list", *FAILED, "--batch shop", "refused"),
    ("marks clear", *FAILED, "--batch shop", "refused"),
    ("verify", "--id made", *KNOWN, "--status done", *COUNTED, "--batch shop", "made"),
    ("plan m.yaml", *PENDING, "waits"),
    ("run m.yaml", *PENDING, "waits"),
    ("resume shop", *PENDING, "waits"),
    ("retry shop", *FAILED, "refused"),
    ("redo shop", "--id m*", *KNOWN, "--status done", *COUNTED, "made"),
)
#: What selects no job, in place of the option that does.
OTHERS = ("--id x*", "--ids-from made.txt",
          "--tag other", "--provider aimlapi", "--model gpt-image-2.5-flare", "--kind edit", "--status done",
          "--cause invalid", "--shard 2/2")  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory, sandbox):
    """Return a project in which every job of JOBS has come to its end."""
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    project = Workspace(folder=tmp_path_factory.mktemp("shop"), url=sandbox.url, env=keys)
    Image.new("RGB", (64, 64)).save(project.folder / "a.png")
    (project.folder / "all.txt").write_text("".join(f"{job['id']}\n" for job in JOBS))
    (project.folder / "made.txt").write_text("made\n")
    path = project.manifest(list(JOBS[:-1]), on_unknown="hold")
    assert project.run("run", path, "--yes").code == 3
    project.manifest(list(JOBS), on_unknown="hold")
    assert project.run("run", path, "--yes", "--id", "made").code == 3
    return project


@pytest.fixture
def copied(shop, tmp_path):
    """Return a copy of it that may be changed."""
    shutil.copytree(shop.folder, tmp_path / "copy")
    return Workspace(folder=tmp_path / "copy", url=shop.url, env=shop.env)


def found(project, *options: str) -> set[str]:
    return {job["id"] for job in project.run("list", "--json", *shlex.split(" ".join(options))).json}


def states(project) -> dict[str, str]:
    return {key: job["state"] for key, job in project.jobs().items()}


def mark_all(project) -> None:
    """Give every job without a picture a note, and every picture a pick."""
    document = project.run("marks", "list", "--json").json
    for row in project.run("list", "--json").json:
        pictures = [(file["picture"], file["sha256"]) for file in row["files"]] or [(0, "")]
        document["marks"] += [
            {"id": row["id"], "picture": number, "sha256": sha256, "mark": "pick", "at": "2026-03-01T06:30:00Z"}
            for number, sha256 in pictures
        ]
    (project.folder / "marks.json").write_text(json.dumps(document))
    assert project.run("marks", "import", "marks.json").code == 0


@pytest.mark.parametrize("case", SELECTED, ids=lambda case: case[0])
def test_all_that_selects_selects_together(copied, witness, case):
    command, *options, wanted = case
    if command.startswith("marks"):
        mark_all(copied)
    before = states(copied)
    extra = ["--json"] + (["--dry-run"] if command.split()[0] in ("run", "resume", "retry", "redo") else [])
    done = copied.run(*shlex.split(" ".join([command, *options])), *extra)
    assert done.code in (0, 3), done.err
    if command in ("list", "export --format json"):
        assert [job["id"] for job in done.json] == [wanted]
    elif command == "unknown list":
        assert [job["id"] for job in done.json["unknown"]] == [wanted]
    elif command.startswith("marks"):
        assert [mark["id"] for mark in done.json["marks"]] == [wanted]
    elif command == "verify":
        assert (done.json["checked"], done.json["wrong"]) == (1, 0)
    elif "lanes" in done.json:
        assert [(lane["provider"], lane["requests"]) for lane in done.json["lanes"]] == [("openai", 1)]
    after = states(copied)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == ({wanted} if command in ("cancel", "unknown retry", "unknown drop") else set())
    assert witness.arrivals() == []


@pytest.mark.parametrize("other", OTHERS)
def test_each_option_that_selects_counts(shop, other):
    _, *options, wanted = SELECTED[0]
    options = [option for option in options if not option.startswith(("--limit", "--sample", "--seed"))]
    assert found(shop, *options) == {wanted}
    name = other.split()[0]
    assert found(shop, *(other if option.startswith(name) else option for option in options)) == set()
    assert found(shop, "--sample 2 --seed 1") != found(shop, "--sample 2 --seed 8")
    assert len(found(shop, "--limit 3")) == 3


def test_everything_may_be_cancelled_and_nothing_by_mistake(copied):
    assert copied.run("cancel").code == 2
    assert copied.run("cancel", "--all").code == 0
    assert {key for key, state in states(copied).items() if state == "cancelled"} == {"waits"}


@pytest.mark.parametrize("command", ["resume", "retry", "redo"])
def test_a_run_by_another_name_takes_the_same_options(copied, witness, command):
    hook = Hook()
    tomorrow = f"{datetime.now().astimezone() - timedelta(minutes=1):%H:%M}"
    options = (
        "--yes", "--no-input", "--budget", "1", "--allow-unpriced", "--keep-changed",
        "--concurrency", "1", "--rate", "openai=50/s", "--max-attempts", "1", "--out", "there",
        "--stop-at", tomorrow, "--max-time", "1h", "--max-failures", "90%",
        "--fail-on", "never", "--wait-lock", "1", "--progress", "json",
        "--on-finish", "cat > finished.json", "--notify", hook.url, "--metrics-file", "figures.prom",
        "--log-file", "run.log", "--log-format", "text",
    )  # fmt: skip
    which = {
        "resume": ("resume", "shop"),
        "retry": ("retry", "shop", "--with", "prompt=Fine", "--id", "refused"),
        "redo": ("redo", "shop", "--with", "prompt=Fine", "--id", "made"),
    }[command]
    try:
        done = copied.run(*which, *options)
    finally:
        hook.close()
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["type"] == "summary"
    assert [line["prompt"] for line in witness.charges()] == ["Waits" if command == "resume" else "Fine"]
    assert len(list((copied.folder / "there").glob("*.png"))) == 1
    assert json.loads((copied.folder / "finished.json").read_text())["exit_code"] == 0
    assert hook.events == ["finished"]
    assert "batchgen_" in (copied.folder / "figures.prom").read_text()
    assert not (copied.folder / "run.log").read_text().startswith("{")


REHEARSED = (
    "status", "watch --json", "usage", "list", "show only", "export", "verify", "unknown list", "db path", "db check",
    "db backup b.db", "db vacuum", "db upgrade", "db recover r.yaml", "pause openai", "unpause openai",
    "limit openai burst=3", "limit openai --reset", "clean", "doctor", "plan r.yaml", "resume -n", "retry -n",
    "redo -n --id only",
    "marks list", "marks clear", "unknown retry", "unknown drop", "cancel --all",
)  # fmt: skip


def test_what_is_rehearsed_is_seen_with_sandbox_alone(bare):
    Path(bare.folder, "r.yaml").write_text('jobs: [{id: only, provider: openai, prompt: "P"}]')
    assert bare.run("run", "r.yaml", "--sandbox", "--latency", "none").code == 0
    for command in REHEARSED:
        done = bare.run(*command.split(), "--sandbox")
        assert done.code == 0, (command, done.err)
    server = bare.start("serve", "--sandbox")
    assert server.stdout.readline().startswith(b"serve ")
    server.terminate()
    assert finish(server, 20).code == 0
    assert not (bare.state / "batchgen.db").exists()
    assert bare.run("status").code == 10
    picture = next((bare.folder / "sandbox-output").rglob("*.png"))
    assert "no file is missing" in bare.run("unknown", "adopt", "only", picture, "--sandbox").err
    saved = bare.run("marks", "list", "--json", "--sandbox").out
    (bare.folder / "marks.json").write_text(saved)
    assert bare.run("marks", "import", "marks.json", "--sandbox").code == 0


def test_the_sandbox_follows_its_instructions(bare, tmp_path):
    log = tmp_path / "own.jsonl"
    server = bare.start(
        "sandbox", "--port", 0, "--log", log, "--latency", "none", "--seed", 7, "--fault", "refuse=1",
        "--throttle", "aimlapi=1/m", "--idle-exit", 2,
    )  # fmt: skip
    url = server.stdout.readline().decode().strip()
    order = {"model": "openai/gpt-image-2", "prompt": "P", "size": "1024x1024", "quality": "low"}
    headers = {"Authorization": "Bearer any"}
    answers = [
        httpx.post(f"{url}/aimlapi/v1/images/generations", json=order, headers=headers, trust_env=False)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [400, 429]
    assert finish(server, 20).code == 0
    assert [line["fault"] for line in read_log(log) if line["event"] == "answer"] == ["refuse", "throttle"]


def test_options_of_serve(project):
    assert project.run("run", project.manifest([{"id": "a", "prompt": "A"}], defaults=LOW), "--yes").code == 0
    seen, browser = project.folder / "seen", project.folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    project.env["BROWSER"] = f"{browser} %s"
    words = [
        "--host",
        "127.0.0.1",
        "--port",
        0,
        "--allow-host",
        "page.example",
        "--open",
        "--read-only",
        "--batch",
        "shop",
    ]
    server = project.start("serve", *words)
    url = server.stdout.readline().decode().split()[1]
    page = httpx.get(url, headers={"Host": "page.example"}, trust_env=False)
    assert (page.status_code, '"actions":null' in page.text) == (200, True)
    assert httpx.get(url, headers={"Host": "other.example"}, trust_env=False).status_code == 403
    wait_for(lambda: seen.exists() and seen.read_text().endswith("\n"))
    assert url not in seen.read_text(), "other users of the machine can read command lines"
    assert f"url={url}" in Path(url2pathname(urlsplit(seen.read_text().strip()).path)).read_text()
    server.terminate()
    assert finish(server, 20).code == 0


# --- that none is without a test ------------------------------------------------


def test_every_option_is_used_by_a_test_of_its_command():
    texts = [*_texts()]
    lacking = [
        f"{' '.join(path)} {names[-1]}"
        for path, names in _options()
        if not any({*path} <= words and words & {*names} for words in texts)
    ]
    assert lacking == []


def _options():
    """Yield each option of each command: the command's words, the option's names."""

    def walk(path: tuple[str, ...], command: click.Command):
        for option in command.params:
            shared = option.name in (*EVERYWHERE, "folder", "as_json", "color")
            if isinstance(option, click.Option) and not option.hidden and not shared:
                yield path, [*option.opts, *option.secondary_opts]
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from walk((*path, name), inner)

    context = click.Context(batchgen)
    for name in batchgen.entries:
        command = batchgen.get_command(context, name)
        assert command is not None
        yield from walk((name,), command)


def _texts():
    """Yield the words of every text in each test, those of the constants that it names included."""
    for file in Path(__file__).parent.glob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        constants: dict[str, set[str]] = {}
        for node in body:
            if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
                constants[target.id] = _words(node, constants)
            elif isinstance(node, ast.FunctionDef):
                yield _words(node, constants)


def _words(node: ast.AST, constants: dict[str, set[str]]) -> set[str]:
    found = set[str]()
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            found |= {word.partition("=")[0] for word in one.value.split()}
        elif isinstance(one, ast.Name):
            found |= constants.get(one.id, set())
    return found
