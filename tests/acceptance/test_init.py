"""``init`` and ``schema``: a project that runs at once, and never at the cost of what is there."""

from __future__ import annotations

import json
import stat

import pytest
import yaml
from jsonschema import Draft7Validator

from .kit import IMAGES

JOBS = {"generate": 9, "edit": 9, "catalog": 9}
SETTINGS = {"batchgen.yaml", ".gitignore", ".batchgen/schema.json"}


def tree(folder):
    """Return every file below *folder* with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("example", JOBS)
def test_an_example_runs_at_once_on_the_sandbox(bare, example):
    begun = bare.run("init", "--example", example)
    assert begun.code == 0, begun.err
    manifest = f"jobs/{example}.yaml"
    wrote = {line.split()[1] for line in begun.err.splitlines() if line.startswith("wrote ")}
    assert wrote == set(tree(bare.folder))
    assert wrote >= SETTINGS | {manifest}
    assert begun.out == ""
    assert ".env" in (bare.folder / ".gitignore").read_text().split()
    commands = [line for line in begun.err.splitlines() if "batchgen " in line]
    assert [command.split("batchgen ")[1].split("    ")[0].strip() for command in commands] == [
        f"validate {manifest}", f"plan {manifest}", f"run {manifest} --sandbox",
    ]  # fmt: skip

    assert bare.run("validate", "--strict", manifest).code == 0
    plan = bare.run("plan", manifest, "--json")
    assert plan.json["jobs"]["new"] == JOBS[example]
    done = bare.run("run", manifest, "--sandbox", "--yes")
    assert done.code == 0, done.err
    assert bare.run("status", "--sandbox", "--json").json["jobs"]["done"] == JOBS[example]
    made = [path for path in (bare.folder / "jobs/sandbox-output").rglob("*") if path.suffix in IMAGES]
    assert len(made) == JOBS[example]


def test_an_editor_finds_the_schema_and_the_manifest_is_valid_by_it(bare):
    printed = bare.run("schema").json
    for example in JOBS:
        bare.run("init", example, "--example", example)
        manifest = bare.folder / example / "jobs" / f"{example}.yaml"
        text = manifest.read_text()
        head = "# yaml-language-server: $schema="
        assert text.startswith(head)
        schema = json.loads((manifest.parent / text.splitlines()[0].removeprefix(head)).read_text())
        Draft7Validator.check_schema(schema)
        assert list(Draft7Validator(schema).iter_errors(yaml.safe_load(text))) == []
        assert schema == printed


def test_what_is_there_is_left_alone(bare):
    mine = {"jobs/generate.yaml": b"version: 1\n", ".gitignore": b"*.log\n", "jobs/other.yaml": b"x\n"}
    (bare.folder / "jobs").mkdir()
    for name, data in mine.items():
        (bare.folder / name).write_bytes(data)
    begun = bare.run("init")
    assert begun.code == 0
    left = {line.split()[1] for line in begun.err.splitlines() if line.startswith("left ")}
    assert left == {"jobs/generate.yaml", ".gitignore"}
    assert {name: tree(bare.folder)[name] for name in mine} == mine

    before = tree(bare.folder)
    again = bare.run("init", "--json")
    assert again.code == 0
    assert again.json["written"] == []
    assert set(again.json["left"]) == SETTINGS | {"jobs/generate.yaml"}
    assert tree(bare.folder) == before


def test_force_writes_over_the_example_and_nothing_else(bare):
    bare.run("init", "--example", "catalog")
    fresh = tree(bare.folder)
    for name in fresh:
        (bare.folder / name).write_text("mine\n")
    (bare.folder / "jobs/lists/more.csv").write_text("mine\n")
    forced = bare.run("init", "--example", "catalog", "--force", "--json")
    assert forced.code == 0
    assert set(forced.json["written"]) == set(fresh)
    assert tree(bare.folder) == fresh | {"jobs/lists/more.csv": b"mine\n"}


def test_it_makes_the_folder_and_says_how_to_go_there(bare):
    begun = bare.run("init", "new shop/site", "--example", "edit")
    assert begun.code == 0
    assert "next      cd 'new shop/site'" in begun.err
    assert (bare.folder / "new shop/site/jobs/photos/mugs/blue.jpg").is_file()
    state = (bare.folder / "new shop/site/.batchgen").stat()
    assert stat.S_IMODE(state.st_mode) == 0o700
    assert bare.run("-C", "new shop/site", "validate", "jobs/edit.yaml").code == 0


def test_a_link_is_not_written_through(bare):
    precious = bare.folder / "precious.yaml"
    precious.write_text("mine\n")
    (bare.folder / "jobs").mkdir()
    (bare.folder / "jobs/generate.yaml").symlink_to(precious)
    forced = bare.run("init", "--force", "--json")
    assert forced.json["left"] == ["jobs/generate.yaml"]
    assert precious.read_text() == "mine\n"


def test_it_says_plainly_where_it_cannot_write(bare):
    (bare.folder / "jobs").write_text("a file\n")
    refused = bare.run("init")
    assert refused.code == 1
    assert f"cannot write {bare.folder / 'jobs'}: File exists" in refused.err
    assert bare.run("init", "--example", "video").code == 2
    assert bare.run("init", "jobs").code == 2


def test_the_schema_is_data_on_stdout(bare):
    done = bare.run("schema", "-q")
    assert done.code == 0
    assert done.err == ""
    assert done.json["title"] == "batchgen manifest"
    assert tree(bare.folder) == {}
