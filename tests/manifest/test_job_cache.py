"""The cache of planned jobs, which later passes over a manifest read."""

from __future__ import annotations

import tempfile
from itertools import zip_longest
from pathlib import Path

import pytest

from batchgen.manifest import Batch, job_cache, load

JOBS = 60

MANIFEST = """
name: big
defaults: {provider: openai, size: 1024x1024}
jobs:
- from: list.jsonl
  id: "{{ sku }}"
  prompt: "{{ what }}"
  n: 2
- from: list.jsonl
  prompt: "{{ what }} at night"
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = (f'{{"sku": "sku/{n:03}", "what": "Café nº {n}\\n \\ud83d\\ude00"}}\n' for n in range(JOBS))
    (tmp_path / "list.jsonl").write_text("".join(rows))
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path / "m.yaml"


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "_IN_MEMORY", 20)
    monkeypatch.setattr(job_cache, "_CHUNK", 7)


def require_equal(batch: Batch, other: Batch) -> None:
    assert len(batch.jobs) == len(other.jobs) == 3 * JOBS
    for job, expected in zip_longest(batch.jobs, other.jobs):
        assert job[:4] == expected[:4]
        assert job.task == expected.task
        assert job.recipe.tags == expected.recipe.tags
        assert (job.id_stamp is None) == (expected.id_stamp is None)
        if job.id_stamp is not None:
            assert (job.id_parts, job.keys_of("x")) == (expected.id_parts, expected.keys_of("x"))


def test_cache_in_a_file_has_the_same_jobs(manifest, monkeypatch):
    in_memory = load(manifest)
    small(monkeypatch)
    in_file = load(manifest)
    require_equal(in_file, in_memory)
    require_equal(in_file, in_memory)


def test_cache_serves_several_passes_at_once(manifest, monkeypatch):
    small(monkeypatch)
    jobs = load(manifest).jobs
    assert all(first == second for first, second in zip(jobs, jobs, strict=True))


def test_cache_does_not_read_the_list_again(manifest, monkeypatch):
    small(monkeypatch)
    batch = load(manifest)
    (manifest.parent / "list.jsonl").unlink()
    assert sum(1 for _ in batch.jobs) == 3 * JOBS


@pytest.mark.parametrize("reason", ["no space", "recipes"])
def test_cache_that_cannot_be_written_leaves_jobs_to_be_made_again(manifest, monkeypatch, reason):
    in_memory = load(manifest)
    small(monkeypatch)
    if reason == "recipes":
        monkeypatch.setattr(job_cache, "_MAX_RECIPES", 0)
    else:

        def refuse(**_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    batch = load(manifest)
    require_equal(batch, in_memory)
    require_equal(batch, in_memory)
