"""Sidecars that a power cut took, or cut off: the next run writes them again, and overwrites nothing of the user's."""

from __future__ import annotations

import json

import pytest

JOBS = [
    {"id": "a", "prompt": "A red cube", "provider": "openai", "quality": "low", "size": "1024x1024"},
    {"id": "b", "prompt": "Two", "provider": "openai", "n": 2, "per_request": 2},
    {"id": "c", "prompt": "C", "provider": "aigate"},
]
#: A run that did not end; a machine that was started after the run had ended.
INTERRUPTED, RESTARTED = "ended_at = null, exit_code = null", "ended_at = 1"


@pytest.fixture
def done(project):
    manifest = project.manifest(JOBS)
    result = project.run("run", manifest, "--yes")
    assert result.code == 0, result.err
    return manifest


def sidecars(project) -> dict:
    return {path.name: path for path in project.files() if path.suffix == ".json"}


def mark(project, how: str) -> None:
    project.rows(f"update runs set {how}")


def from_the_ledger(data: bytes) -> dict:
    """Return a sidecar without what only the answer had: the revised prompt, and the parts of the tokens."""
    document = json.loads(data)
    usage = {name: document["usage"].get(name) for name in ("images", "input_tokens", "output_tokens")}
    return document | {"revised_prompt": None, "usage": usage}


CUTS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "without its data": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:300] + b"\0" * 200),
    "cut early": lambda path: path.write_bytes(path.read_bytes()[:9]),
}


@pytest.mark.parametrize(("cut", "how"), [*((cut, INTERRUPTED) for cut in CUTS), ("empty", RESTARTED)])
def test_sidecars_lost_in_a_power_cut_are_restored_by_the_next_run(project, witness, done, how, cut):
    before = {name: (path.read_bytes(), path.stat().st_mtime) for name, path in sidecars(project).items()}
    assert len(before) == 4
    for path in sidecars(project).values():
        CUTS[cut](path)
    mark(project, how)
    again = project.run("run", done, "--yes")
    assert again.code == 0, again.err
    assert "restored  4 sidecars that the last run could not complete" in again.err + again.out
    after = sidecars(project)
    assert after.keys() == before.keys()
    for name, (data, at) in before.items():
        assert from_the_ledger(after[name].read_bytes()) == from_the_ledger(data)
        assert abs(after[name].stat().st_mtime - at) < 60
    assert not list((project.folder / "output").rglob(".superseded"))
    assert len(witness.charges()) == 3
    assert "restored" not in project.run("run", done, "--yes").err


def test_restored_sidecars_rebuild_a_lost_database(project, witness, done):
    for path in sidecars(project).values():
        path.unlink()
    mark(project, INTERRUPTED)
    assert project.run("run", done, "--yes").code == 0
    costs = project.rows("select sum(usd) usd from ledger")
    project.lose_database()
    assert project.run("run", done, "--yes").code == 0
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    assert project.rows("select sum(usd) usd from ledger") == costs
    assert len(witness.charges()) == 3


def test_files_of_the_user_and_removed_images_stay_as_they_are(project, done):
    files = sidecars(project)
    files["a.png.json"].write_text('{"mine": true}')
    files["c.png.json"].write_text("notes\n")
    for name in ("b.png", "b-1.png", "b-2.png"):
        (files["a.png.json"].parent / name).unlink(missing_ok=True)
    removed = [path for name, path in files.items() if name.startswith("b")]
    for path in removed:
        path.unlink()
    mark(project, INTERRUPTED)
    again = project.run("run", done, "--yes")
    assert "restored" not in again.err + again.out
    assert files["a.png.json"].read_text() == '{"mine": true}'
    assert files["c.png.json"].read_text() == "notes\n"
    assert not any(path.exists() for path in removed)


def test_sidecars_that_the_user_removed_after_a_whole_run_stay_away(project, done):
    """Unless the machine was started a moment ago."""
    with open("/proc/uptime", encoding="ascii") as file:  # noqa: PTH123 - as users read it
        if float(file.read().split()[0]) < 3600:
            pytest.skip("the machine was started a moment ago")
    for path in sidecars(project).values():
        path.unlink()
    again = project.run("run", done, "--yes")
    assert "restored" not in again.err + again.out
    assert not sidecars(project)
