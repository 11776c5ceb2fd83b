"""References between jobs: resolved wherever the other job is, refused with their places, and part of fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from batchgen.errors import ManifestError
from batchgen.job import State
from batchgen.manifest.batch import PlannedJob
from batchgen.manifest.load import load


@pytest.fixture
def planned(tmp_path):
    def plan(*jobs: dict[str, Any], **top: Any) -> dict[str, PlannedJob]:
        batch = load(written(tmp_path, *jobs, **top))
        return {job.key: job for job in batch.jobs}

    return plan


def written(folder: Path, *jobs: dict[str, Any], **top: Any) -> Path:
    path = folder / "m.yaml"
    body = {"defaults": {"provider": "openai"}, **top, "jobs": list(jobs)}
    path.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return path


def job(key: str, **fields: Any) -> dict[str, Any]:
    return {"id": key, "prompt": f"P {key}"} | fields


def problems(folder: Path, *jobs: dict[str, Any], **top: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(ManifestError) as caught:
        load(written(folder, *jobs, **top))
    return [(problem.path, problem.code, problem.message) for problem in caught.value.problems]


def test_image_of_a_job_that_comes_later_is_a_source(planned):
    jobs = planned(job("night", images=["@house"]), job("house"))
    [source] = jobs["night"].recipe.task.images
    assert (source.job, source.number, source.version) == ("house", 1, jobs["house"].fingerprint)
    assert (source.path, source.sha256, source.name) == (None, None, "@house")
    assert jobs["night"].recipe.parents == ("house",)
    assert jobs["night"].as_json()["images"] == ["@house"]


def test_references_of_rows_are_templates_and_cells(planned, tmp_path):
    (tmp_path / "rows.csv").write_text("city,images\nOslo,@map-Oslo\nRome,@map-Rome;@map-Oslo\n")
    jobs = planned(
        job("poster-{{ city }}", **{"from": "rows.csv"}),
        job("map-{{ place }}", matrix={"place": ["Oslo", "Rome"]}),
        job("night-{{ place }}", images=["@map-{{ place }}"], matrix={"place": ["Oslo", "Rome"]}),
    )
    assert [source.job for source in jobs["poster-Rome"].recipe.task.images] == ["map-Rome", "map-Oslo"]
    assert [source.job for source in jobs["night-Oslo"].recipe.task.images] == ["map-Oslo"]


@pytest.mark.parametrize(
    ("text", "key", "number"),
    [
        ("@pair", "pair", 1),
        ("@pair#2", "pair", 2),
        ("@row", "row", 1),
        ("@row#3", "row-3", 1),
        ("@row-2", "row-2", 1),
        ("@mixed#2", "mixed", 2),
        ("@mixed#5", "mixed-4", 2),
        ("@odd#7", "odd#7", 1),
    ],
)
def test_number_of_an_image(planned, text, key, number):
    jobs = planned(
        job("user", images=[text]),
        job("pair", n=2, per_request=2),
        job("row", n=3),
        job("mixed", n=5, per_request=3),
        job("odd#7"),
    )
    [source] = jobs["user"].recipe.task.images
    assert (source.job, source.number) == (key, number)


def test_needs_are_no_sources_and_no_part_of_the_request(planned):
    alone = planned(job("last"), job("first"))["last"]
    after = planned(job("last", needs=["@first"]), job("first"))["last"]
    assert (after.recipe.needs, after.recipe.parents, after.recipe.task.images) == (("first",), ("first",), ())
    assert after.fingerprint == alone.fingerprint


def test_mask_of_a_job(planned, tmp_path):
    jobs = planned(job("user", images=["@house"], mask="@hole"), job("house"), job("hole", output_format="png"))
    assert jobs["user"].recipe.task.mask.job == "hole"
    assert jobs["user"].recipe.parents == ("house", "hole")


def test_changed_job_changes_those_that_use_its_image_and_theirs(planned):
    rest = [job("b", images=["@a"]), job("c", images=["@b"]), job("d", needs=["a"]), job("e")]
    before, after = planned(job("a"), *rest), planned(job("a", prompt="other"), *rest)
    assert {key for key in before if before[key].fingerprint != after[key].fingerprint} == {"a", "b", "c"}


def test_new_id_of_a_parent_changes_no_fingerprint(planned):
    before = planned(job("a", prompt="x"), job("b", images=["@a"]))["b"]
    after = planned(job("z", prompt="x"), job("b", images=["@z"]))["b"]
    assert before.fingerprint == after.fingerprint


def test_same_prompt_on_images_of_different_jobs_is_not_the_same_job(tmp_path):
    jobs = [job("x", prompt="Night", images=["@a"]), job("y", prompt="Night", images=["@b"]), job("a"), job("b")]
    batch = load(written(tmp_path, *jobs))
    assert batch.warnings == ()
    assert len({each.fingerprint for each in batch.jobs}) == 4


@pytest.mark.parametrize(
    ("jobs", "path", "message"),
    [
        (
            [job("a", images=["@huose"]), job("house")],
            "jobs[0].images",
            "@huose: there is no job 'huose' in this batch",
        ),
        ([job("a", needs=["gone"]), job("house")], "jobs[0].needs", "gone: there is no job 'gone' in this batch"),
        ([job("a", images=["@b"], mask="@c"), job("b")], "jobs[0].mask", "@c: there is no job 'c' in this batch"),
        ([job("a", images=["@b#2"]), job("b")], "jobs[0].images", "@b#2: job b makes fewer images"),
        ([job("a", images=["@a"])], "jobs[0].images", "the job needs itself"),
        (
            [job("a", images=["@b"]), job("b", needs=["c"]), job("c", images=["@a"]), job("d", images=["@a"])],
            "jobs[0].images",
            "jobs need each other: a needs b needs c needs a",
        ),
    ],
)
def test_mistakes(tmp_path, jobs, path, message):
    [(at, code, text)] = problems(tmp_path, *jobs)
    assert (at, text) == (path, message)
    assert code in ("unknown_job", "no_such_image", "cycle")


def test_mistake_in_a_row_is_placed_in_the_list(tmp_path):
    (tmp_path / "rows.csv").write_text("city,images\nOslo,@a\nRome,@b\n")
    with pytest.raises(ManifestError) as caught:
        load(written(tmp_path, job("{{ city }}", **{"from": "rows.csv"}), job("a")))
    [problem] = caught.value.problems
    assert (Path(problem.file).name, problem.line) == ("rows.csv", 3)


def test_jobs_that_are_wrong_hide_no_references_to_them(tmp_path):
    [(path, _, _)] = problems(tmp_path, job("a", images=["@b"]), job("b", size="1x1"))
    assert path == "jobs[1].size"


def test_provider_without_edits_cannot_use_images_of_jobs(tmp_path):
    [(path, _, message)] = problems(tmp_path, job("a", images=["@b"], provider="gptimageapi"), job("b"))
    assert (path, message) == ("jobs[0].images", "gptimageapi cannot edit with gpt-image-2")


def test_file_with_an_at_sign_is_named_by_its_folder(planned, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "@photo.png")
    [source] = planned(job("a", images=["./@photo.png"]))["a"].recipe.task.images
    assert (Path(source.path).name, source.job) == ("@photo.png", None)


def test_long_chain_is_ordered_and_blocked_without_recursion(tmp_path):
    size = 3_000
    jobs = [job(f"j{number}", images=[f"@j{number - 1}"]) for number in range(size, 0, -1)]
    chains = load(written(tmp_path, *jobs, job("j0"))).chains
    assert list(chains.parents) == [f"j{number}" for number in range(1, size + 1)]
    assert chains.users(["j0"]) == list(chains.parents)
    blocked = chains.blocked({"j0": State.FAILED})
    assert (len(blocked), set(blocked.values())) == (size, {"j0"})
    assert chains.blocked({"j0": State.DONE}) == {}


def test_batch_without_references_has_no_chains(tmp_path):
    assert load(written(tmp_path, job("a"), job("b"))).chains is None
