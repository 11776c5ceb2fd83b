"""The manifest of a command: a path, a folder, the name of a batch, standard input, or none at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .kit import FORKED, Popen, Workspace, patience

PLAN = "1 new"


def write(project: Workspace, path: str, name: str = "") -> Path:
    """Write a manifest of one job below the project's folder."""
    file = project.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f"name: {name}\n" if name else ""
    file.write_text(f"{head}jobs:\n  - {{id: cat, provider: openai, prompt: A cat}}\n")
    return file


def piped(project: Workspace, content: bytes, *words: str) -> tuple[int, str, str]:
    process = Popen([FORKED, *words], cwd=project.folder, env=project.environment(), stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    out, err = process.communicate(content, timeout=patience(45))
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("path", ["jobs/autumn.yaml", "autumn.yml", "jobs/autumn.json"])
def test_the_only_manifest_needs_no_argument(bare, path):
    file = write(bare, path, "shop")
    if path.endswith(".json"):
        file.write_text('{"name": "shop", "jobs": [{"id": "cat", "provider": "openai", "prompt": "A cat"}]}')
    (bare.folder / "batchgen.yaml").write_text("confirm_above: 1\n")
    (bare.folder / "compose.yaml").write_text("services: {web: {image: x}}\n")
    plan = bare.run("plan")
    assert (plan.code, plan.err) == (0, f"manifest  {path}, the only manifest here\n")
    assert PLAN in plan.out
    assert bare.run("plan", "-q").err == ""
    assert bare.run("plan", "--json").err == ""
    run = bare.run("run", "--sandbox", "--latency", "none")
    assert run.code == 0, run.err
    assert f"manifest  {path}, the only manifest here" in run.err


def test_several_manifests_are_listed_with_the_commands(bare):
    write(bare, "jobs/autumn.yaml")
    write(bare, "jobs/winter.yaml")
    for words in (["run", "--yes"], ["plan"], ["run", "jobs", "--yes"]):
        refused = bare.run(*words)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.splitlines()[1:] == [
            f"  batchgen {words[0]} jobs/autumn.yaml", f"  batchgen {words[0]} jobs/winter.yaml",
        ]  # fmt: skip
    refused = bare.run("run", "--sandbox")
    assert "  batchgen run jobs/winter.yaml --sandbox" in refused.err.splitlines()
    assert bare.run("run", "jobs/winter.yaml", "--sandbox", "--latency", "none").code == 0
    again = bare.run("run", "--sandbox")
    assert "manifest  jobs/winter.yaml, the one of the last run" in again.err
    assert "nothing to send" in again.err


def test_no_manifest_at_all(bare):
    refused = bare.run("run")
    assert refused.code == 2
    assert "batchgen init" in refused.err
    assert bare.run("resume").code == 10


def test_an_included_manifest_is_not_one_of_several(bare):
    write(bare, "jobs/part.yaml")
    (bare.folder / "jobs/all.yaml").write_text("include: [part.yaml]\n")
    assert bare.run("plan").err == "manifest  jobs/all.yaml, the only manifest here\n"


def test_a_guess_confirms_no_spending(project, witness):
    project.manifest([{"id": "a", "provider": "openai", "prompt": "P"}])
    refused = project.run("run")
    assert refused.code == 6
    assert "manifest  m.yaml, the only manifest here" in refused.err
    assert witness.arrivals() == []
    assert project.run("run", "--budget", "1").code == 0
    assert len(witness.charges()) == 1


def test_a_batch_is_a_manifest_by_its_name(bare):
    write(bare, "jobs/a.yaml", "autumn")
    write(bare, "jobs/b.yaml", '"winter"  # cold')
    for word, path in (("autumn", "jobs/a.yaml"), ("b", "jobs/b.yaml"), ("winter", "jobs/b.yaml")):
        plan = bare.run("plan", word)
        assert (plan.code, plan.err) == (0, f"manifest  {path}, of batch {word}\n")
    assert bare.run("validate", "autumn", "winter").out == "2 manifests, 2 jobs: no mistakes\n"
    assert bare.run("run", "autumn", "--sandbox", "--latency", "none").code == 0
    for command in ("run", "retry", "resume", "plan"):
        assert bare.run(command, "autumn", "--sandbox").code == 0
    unknown = bare.run("plan", "autunm")
    assert unknown.code == 10
    assert "did you mean 'autumn'?" in unknown.err


def test_a_copied_project_runs_its_own_manifest(bare, tmp_path):
    write(bare, "shop/jobs/a.yaml", "autumn")
    assert bare.run("-C", "shop", "run", "autumn", "--sandbox", "--latency", "none").code == 0
    shutil.copytree(bare.folder / "shop", bare.folder / "copy")
    copy = bare.run("plan", "autumn", "--sandbox", cwd=bare.folder / "copy")
    assert copy.err == "manifest  jobs/a.yaml, of batch autumn\n"
    assert "1 done" in copy.out


def test_validate_takes_folders_and_nothing(bare):
    write(bare, "jobs/a.yaml")
    write(bare, "more/b.yaml")
    write(bare, "more/c.yaml").write_text("jobs: [{prompt: x, provider: openai, siez: 3}]\n")
    assert bare.run("validate").out == "1 manifest, 1 job: no mistakes\n"
    wrong = bare.run("validate", "jobs", "more")
    assert wrong.code == 4
    assert "more/c.yaml:1:38" in wrong.err
    (bare.folder / "photos").mkdir()
    empty = bare.run("validate", "photos")
    assert empty.code == 4
    assert "photos: is a folder without manifests" in empty.err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("jobs/autumn.yml", "did you mean jobs/autumn.yaml?"), ("autumn.yaml", "did you mean jobs/autumn.yaml?"),
        ("jobs/autmn.yaml", "did you mean jobs/autumn.yaml?"), ("nothing/alike.yaml", "there are: jobs/autumn.yaml"),
    ],
)  # fmt: skip
def test_a_missing_manifest_suggests_the_nearest(bare, word, hint):
    write(bare, "jobs/autumn.yaml")
    refused = bare.run("plan", word)
    assert (refused.code, refused.out) == (4, "")
    assert refused.err.startswith(f"{word}: there is no such file ({hint})")


def test_a_list_is_not_a_manifest(bare):
    (bare.folder / "products.csv").write_text("id,prompt\na,A cat\n")
    refused = bare.run("run", "products.csv")
    assert refused.code == 4
    assert "is a list, not a manifest" in refused.err
    assert "{from: products.csv}" in refused.err


def test_standard_input_is_a_manifest(bare):
    (bare.folder / "list.csv").write_text("id,prompt\na,A cat\nb,A dog\n")
    manifest = b"defaults: {provider: openai}\njobs: [{from: list.csv}]\n"
    code, out, err = piped(bare, manifest, "plan", "-")
    assert (code, err) == (0, "")
    assert out.startswith("stdin: 2 jobs: 2 new")
    code, _, err = piped(bare, manifest, "run", "-", "--sandbox", "--latency", "none")
    assert code == 0, err
    assert sorted(path.name for path in (bare.folder / "sandbox-output/stdin").glob("*.png")) == ["a.png", "b.png"]
    code, _, err = piped(bare, b"name: autumn\n" + manifest, "run", "-", "--sandbox", "--latency", "none")
    assert "autumn: 2 of 2 jobs done" in err
    resumed = bare.run("resume", "--sandbox")
    assert resumed.code == 10
    assert "pipe it in again: batchgen resume - --sandbox < FILE" in resumed.err
    code, _, err = piped(bare, manifest, "resume", "-", "--sandbox")
    assert code == 0
    assert "nothing to send" in err


def test_a_mistake_on_standard_input_has_its_place(bare):
    code, _, err = piped(bare, b"jobs:\n  - {prompt: x, provider: openai, siez: 1}\n", "validate", "-")
    assert code == 4
    assert err.startswith("stdin:2:35")


def test_schedule_takes_a_batch_and_writes_its_path(bare):
    write(bare, "shop/jobs/a.yaml", "autumn")
    for word in ("autumn", "jobs/a.yaml", "jobs"):
        line = bare.run("-C", "shop", "schedule", "cron", word, "--json", "--", "--yes")
        assert line.code == 0, line.err
        assert str(bare.folder / "shop/jobs/a.yaml") in line.json["command"]
    refused = bare.run("schedule", "cron", "-", "--", "--yes")
    assert refused.code == 2
    assert "not standard input" in refused.err


def test_a_manifest_with_a_mistake_in_its_first_key_is_found(bare):
    write(bare, "jobs/autumn.yaml").write_text("name: autumn\njob: [{prompt: x, provider: openai}]\n")
    for words in (["validate"], ["plan"], ["plan", "autumn"]):
        wrong = bare.run(*words)
        assert wrong.code == 4
        assert "jobs/autumn.yaml:2:1: job: unknown key 'job'" in wrong.err


def test_pipes_and_sidecars_are_not_manifests(bare):
    os.mkfifo(bare.folder / "pipe.yaml")
    (bare.folder / "cat.png.json").write_text('{"batch": "x", "id": "cat", "prompt": "jobs: 1"}')
    write(bare, "jobs/autumn.yaml")
    assert bare.run("plan").err == "manifest  jobs/autumn.yaml, the only manifest here\n"
    refused = bare.run("plan", "pipe.yaml")
    assert refused.code == 4
    assert "or - for standard input" in refused.err


def test_standard_input_has_the_size_limit_of_a_file(bare):
    code, _, err = piped(bare, b"#" * (64 * 1024 * 1024) + b"\njobs: []\n", "validate", "-")
    assert code == 4
    assert "is larger than 64 MB" in err
