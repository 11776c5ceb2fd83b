"""The demonstration batch, from an empty folder to the last nano-USD."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest

from tests.forkserver import FRESH

from .kit import IMAGES, PROVIDERS, ROOT, Witness, Workspace, claimed, is_withdrawn, opened, sums

QUERY = "select cause, message from attempts"
JOBS = {"total", "pending", "running", "done", "failed", "unknown", "cancelled"}
LINE = {"provider", "model", "attempts", "images", "input_tokens", "output_tokens", "credits", "usd", "usd_by_source"}
OWN_CODE = re.compile(r"exit code\D{0,40}\b3\b")
SOURCES = {"reported", "priced", "estimated", "unknown"}


def test_the_demonstration(bare, tmp_path):
    bare.program = FRESH
    state = bare.state / "sandbox"
    log = state / "charges.jsonl"
    witness = Witness(log)
    first = bare.run("demo", "--latency", "none")
    assert first.code == 0
    assert first.out == ""
    assert OWN_CODE.search(first.err)
    assert "batchgen status --sandbox" in first.err
    pictures = [path for path in (bare.folder / "sandbox-output").rglob("*") if path.suffix in IMAGES]
    assert {path.parent.name for path in pictures} == set(PROVIDERS)
    assert len({path.read_bytes() for path in pictures}) == len(pictures) == 30
    assert all(min(opened(path)) > 100 for path in pictures)
    assert {path.suffix for path in pictures} == IMAGES
    agree(bare, witness)

    arrived = witness.arrived
    again = bare.run("demo")
    assert again.code == 0
    assert "nothing to send" in again.err
    assert OWN_CODE.search(again.err)
    other = tmp_path / "other"
    other.mkdir()
    elsewhere = bare.run("-C", bare.folder, "run", "--sandbox", ROOT / "jobs" / "demo.yaml", cwd=other)
    assert (elsewhere.code, elsewhere.out) == (3, "")
    assert list(other.iterdir()) == []
    assert witness.arrived == arrived


def agree(project: Workspace, witness: Witness) -> None:
    """Compare what status and usage say with the charge log, and with their shapes in the design."""
    charges = witness.charges()
    status = project.run("status", "--sandbox", "--json").json
    assert set(status) >= {"schema_version", "batch", "jobs", "images", "attempts", "spend", "failures"}
    assert (status["schema_version"], status["batch"]) == (1, "demo")
    assert set(status["jobs"]) == JOBS
    assert status["jobs"] == dict.fromkeys(JOBS, 0) | {"total": 30, "done": 27, "failed": 3}
    assert sorted(map(repr, status["failures"])) == [
        repr({"cause": cause, "count": 1}) for cause in ("empty", "invalid", "refused")
    ]
    assert status["images"] == sum(line["images"] for line in charges) == 30
    with closing(sqlite3.connect(project.state / "sandbox" / "batchgen.db")) as connection:
        attempts = [dict(zip(("cause", "message"), row, strict=True)) for row in connection.execute(QUERY)]
    assert status["attempts"] == len(attempts) == len(witness.arrivals()) + sum(map(is_withdrawn, attempts))
    spend = status["spend"]
    assert Decimal(spend["usd"]) == sum(sums(charges, "usd").values())
    assert {name: Decimal(text) for name, text in spend["credits"].items()} == sums(charges, "credits")
    assert spend["at_risk_usd"] == "0"

    usage = project.run("usage", "--sandbox", "--json").json
    assert usage["schema_version"] == 1
    assert claimed(usage, "usd") == sums(charges, "usd")
    assert claimed(usage, "credits") == sums(charges, "credits")
    assert {line["provider"] for line in usage["by"]} == set(PROVIDERS)
    for line in usage["by"]:
        assert set(line) >= LINE
        assert set(line["usd_by_source"]) == SOURCES
        assert all(isinstance(line[name], int) for name in ("attempts", "images"))
        for text in (line["usd"], line["credits"], *line["usd_by_source"].values()):
            assert text is None or f"{Decimal(text):f}" == text
    totals = usage["totals"]
    assert (totals["attempts"], totals["images"]) == (status["attempts"], 30)
    assert (totals["usd"], totals["credits"]) == (spend["usd"], spend["credits"])
    by_source = [Decimal(text) for text in totals["usd_by_source"].values() if text]
    assert sum(by_source) == Decimal(totals["usd"])
    [credits_only] = [line for line in usage["by"] if line["provider"] == "gptimageapi"]
    assert credits_only["usd"] is None  # an unknown price is unknown, never 0


@pytest.mark.slow
def test_a_changed_demonstration_sends_what_changed(bare, tmp_path):
    """Copied to another folder, edited, added to, tuned: only the edit and the addition are sent."""
    jobs = tmp_path / "jobs"
    shutil.copytree(ROOT / "jobs", jobs)
    manifest = jobs / "demo.yaml"
    witness = Witness(bare.state / "sandbox" / "charges.jsonl")

    def run(jobs_of_it: int) -> list[str]:
        before = witness.prompts()
        done = bare.run("run", "--sandbox", "--latency", "none", manifest)
        assert done.code == 3
        assert f"of {jobs_of_it} " in done.err
        sent = witness.prompts()
        for prompt in before:
            sent.remove(prompt)
        return sent

    def change(old: str, new: str) -> None:
        text = manifest.read_text()
        assert text.count(old) == 1
        manifest.write_text(text.replace(old, new))

    bare.run("run", "--sandbox", "--latency", "none", ROOT / "jobs" / "demo.yaml")
    assert run(30) == []
    change("Studio photo of a matte black smart speaker on glass", "Studio photo of a red smart speaker on glass")
    assert run(30) == ["Studio photo of a red smart speaker on glass"]
    change("\njobs:\n", '\njobs:\n  - {id: added, provider: openai, quality: low, prompt: "One more"}\n')
    assert run(31) == ["One more"]
    change("openai: {limits: {concurrency: 6}}", "openai: {limits: {concurrency: 2, requests_per_minute: 60}}")
    change("attempts: 4, first_wait: 0.2, max_wait: 5", "attempts: 7, first_wait: 0.1, max_wait: 9")
    change("tags: [demo] ", "tags: [demo, more] ")
    change("dir: ../output/{{ name }} ", "dir: ../elsewhere/{{ name }} ")
    assert run(31) == []
    status = bare.run("status", "--sandbox", "--json").json
    assert status["jobs"] == dict.fromkeys(JOBS, 0) | {"total": 31, "done": 28, "failed": 3}
    assert Decimal(status["spend"]["usd"]) == sum(sums(witness.charges(), "usd").values())
