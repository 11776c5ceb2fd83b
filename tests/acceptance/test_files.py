"""What lies on disk after a run: private state, whole images, telling sidecars - and no key anywhere."""

from __future__ import annotations

import hashlib
import json
import stat
from decimal import Decimal

from .kit import CANARY, PROVIDERS, SECRET, check_files, opened


def test_images_and_what_lies_beside_them(project, witness):
    jobs = [
        {"id": "png", "provider": "openai", "prompt": "As PNG"},
        {"id": "jpeg", "provider": "openai", "output_format": "jpeg", "prompt": "As JPEG"},
        {"id": "webp", "provider": "aimlapi", "output_format": "webp", "quality": "low", "prompt": "As WebP"},
        {"id": "odd", "provider": "aigate", "quality": "low", "prompt": "Odd [sandbox: wrongsize]"},
        {"id": "Größe-雪", "provider": "gptimageapi", "prompt": "Übergröße, «quoted» 雪"},
    ]
    output = {"dir": "output/{{ name }}", "file": "{{ provider }}/{{ id }}", "sidecar": True}
    assert project.run("run", project.manifest(jobs, output=output), "--yes").code == 0
    check_files(project)
    folder = project.folder / "output" / "shop"
    names = {str(path.relative_to(folder)) for path in project.images()}
    assert names == {
        "openai/png.png",
        "openai/jpeg.jpg",
        "aimlapi/webp.webp",
        "aigate/odd.png",
        "gptimageapi/Größe-雪.png",
    }
    asked = {job["id"]: job for job in jobs}
    charges = {line["prompt"]: line for line in witness.charges()}
    for path in project.images():
        beside = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
        job = asked[beside["id"]]
        assert (beside["schema_version"], beside["batch"]) == (1, "shop")
        assert beside["asked"]["prompt"] == job["prompt"]
        assert beside["asked"]["provider"] == job["provider"] == path.parent.name
        assert beside["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert beside["file"]["bytes"] == path.stat().st_size
        assert (beside["file"]["width"], beside["file"]["height"]) == opened(path)
        charge = charges[job["prompt"]]
        for unit in ("usd", "credits"):
            amount = beside["cost"][unit]
            assert (amount is None and not charge[unit]) or Decimal(amount) == Decimal(charge[unit])


def test_the_state_is_private(project):
    jobs = [
        {"id": "a", "provider": "openai", "prompt": "A"},
        {"id": "b", "provider": "openai", "prompt": "B [sandbox: truncated]"},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 3
    for path in (project.state, *project.state.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_without_sidecars_there_are_none(project):
    jobs = [{"id": "a", "provider": "openai", "prompt": "A"}]
    assert project.run("run", project.manifest(jobs, output={"sidecar": False}), "--yes").code == 0
    assert [path.name for path in (project.folder / "output").rglob("*") if path.is_file()] == ["a.png"]


def test_a_file_that_is_already_there_is_not_lost(project):
    """Somebody's file under the very name is moved aside at most, and the image that was paid for is there."""
    mine = project.folder / "output" / "shop" / "a.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"somebody's own picture")
    done = project.run("run", project.manifest([{"id": "a", "provider": "openai", "prompt": "A"}]), "--yes")
    everything = [path.read_bytes() for path in mine.parent.rglob("*") if path.is_file()]
    assert b"somebody's own picture" in everything
    assert done.code == 0
    [row] = project.rows("select path from artifacts")
    assert opened(project.folder / row["path"])


def test_no_key_is_anywhere(project, sandbox, tmp_path):
    faults = [
        "",
        "[sandbox: refuse]",
        "[sandbox: invalid]",
        "[sandbox: truncated]",
        "[sandbox: drop]",
        "[sandbox: empty]",
        "[sandbox: error500]",
        "[sandbox: denied]",
    ]
    jobs = [
        {"id": f"{name}-{number}", "provider": name, "prompt": f"{name} {number} {fault}".strip()}
        for name in PROVIDERS
        for number, fault in enumerate(faults)
    ]
    manifest = project.manifest(jobs)
    results = [project.run("run", manifest, "--yes", "-v"), project.run("run", manifest, "--yes", "--json", "--debug")]
    # A denial counts as the job's own where others of its lane worked meanwhile: then nothing of it is left to send.
    more = [
        {"id": f"{name}-more-{n}", "provider": name, "prompt": "P"} for name in ("openai", "aigate") for n in range(4)
    ]
    manifest = project.manifest(jobs + more)
    results += [
        project.run("run", manifest, "--yes", "-v", OPENAI_API_KEY=f"bad-{CANARY}", AIGATE_API_KEY=f"bad-{CANARY}")
    ]
    results += [project.run("run", manifest, "--yes", OPENAI_API_KEY=f"{CANARY}\nX")]
    results += [
        project.run(*words)
        for words in (
            ["show", "openai-0", "--json"],
            ["providers", "list", "--json"],
            ["list", "runs", "--json"],
            ["export"],
        )
    ]
    assert {done.code for done in results[:2]} <= {3, 5}
    assert [done.code for done in results[2:4]] == [5, 5]
    for done in results:
        assert SECRET not in done.out + done.err
    needle = SECRET.encode()
    searched = [path for folder in (tmp_path, sandbox.log.parent) for path in folder.rglob("*") if path.is_file()]
    assert needle not in project.axis.dump()
    assert b"openai-0" in project.axis.dump()
    assert {"summary.json", "sandbox.out", "charges.jsonl"} <= {path.name for path in searched}
    assert [path for path in searched if needle in path.read_bytes()] == []
