"""Chains as users run them: jobs wait for the jobs whose images they use, and each is bought once."""

from __future__ import annotations

import json
import signal
import time

import pytest

from .kit import Witness, check_books, check_files, finish, wait_for


@pytest.fixture(scope="module")
def latency():
    return "0.1"


def job(key, **fields):
    return {"id": key, "provider": "openai", "quality": "low", "prompt": f"P {key}"} | fields


#: A picture, two that are made from it by two providers, one from both, and one that only waits.
FAMILY = [
    job("sheet", images=["@day", "@night"]),
    job("day", images=["@base"]),
    job("night", images=["@base"], provider="aimlapi"),
    job("base"),
    job("last", needs=["sheet"]),
]
ORDER = {"day": ["base"], "night": ["base"], "sheet": ["day", "night"], "last": ["sheet"]}


def states(project):
    return {key: row["state"] for key, row in project.jobs().items()}


def check_order(project):
    """Every job was sent after the jobs that it waits for had been delivered."""
    jobs = project.jobs()
    for key, parents in ORDER.items():
        for parent in parents:
            assert jobs[parent]["attempts"][-1]["ended_at"] <= jobs[key]["attempts"][-1]["started_at"], (parent, key)


def sources(project, key):
    """Return the source images in the sidecar of a job."""
    return json.loads((project.folder / f"output/shop/{key}.png.json").read_text())["asked"].get("images")


def test_jobs_are_sent_once_their_parents_are_done(project, witness):
    manifest = project.manifest(FAMILY)
    plan = project.run("plan", manifest, "--json").json
    assert (plan["requests"], plan["waiting"]) == (5, {"jobs": 0, "for": []})
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done.err
    assert set(states(project).values()) == {"done"}
    check_order(project)
    assert sorted(witness.prompts()) == sorted(f"P {each['id']}" for each in FAMILY)
    assert sources(project, "sheet") == ["@day", "@night"]
    check_files(project)
    check_books(project, witness.charges())
    again = project.run("run", manifest, "--yes")
    assert (again.code, len(witness.charges())) == (0, 5)
    assert "nothing to send" in again.out + again.err


def test_one_image_of_several_is_used(project):
    manifest = project.manifest(
        [
            job("pair", n=2, per_request=2),
            job("second", images=["@pair#2"]),
            job("single", images=["@row#2"]),
            job("row", n=2),
        ]
    )
    assert project.run("run", manifest, "--yes").code == 0
    assert sources(project, "second") == ["@pair#2"]
    assert sources(project, "single") == ["@row-2"]


def test_job_whose_parent_fails_waits_and_a_retry_makes_both(project, witness):
    manifest = project.manifest([job("base", prompt="P base [sandbox: refuse]"), *FAMILY[:3], FAMILY[4], job("other")])
    first = project.run("run", manifest, "--yes")
    assert first.code == 3
    assert states(project) == {"base": "failed", "other": "done"} | dict.fromkeys(ORDER, "pending")
    assert "waiting   4 jobs for base (failed): batchgen retry" in first.err
    assert "--id base --status failed" in first.err
    document = project.run("status", "--json").json["waiting"]
    assert (document["jobs"], document["stuck"], document["example"]["for"]) == (4, 4, "base")
    assert "waiting   for base, and no run sends it before base (failed) is done" in project.run("show", "day").out
    plan = project.run("plan", manifest, "--json").json
    assert (plan["requests"], plan["waiting"]) == (0, {"jobs": 4, "for": ["base"]})
    assert project.run("run", manifest, "--yes").code == 3  # nothing is left that a run could send
    assert project.run("doctor", manifest).code == 3
    charged = len(witness.charges())
    retried = project.run("retry", manifest, "--id", "base", "--with", "prompt=P base", "--yes")
    assert retried.code == 0, retried.err
    assert set(states(project).values()) == {"done"}
    check_order(project)
    assert len(witness.charges()) == charged + 5
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == charged + 5


@pytest.mark.not_on(s3="the image of the parent is a file of the output folder")
def test_reproduction_of_a_job_has_the_image_of_its_parent(project):
    children = [job("day", images=["@base"]), job("night", images=["@bad"])]
    manifest = project.manifest([job("base"), job("bad", prompt="P [sandbox: refuse]"), *children])
    assert project.run("run", manifest, "--yes").code == 3
    missing = project.run("show", "night", "--as-curl")
    assert (missing.code, "job night uses the image of bad, which has none yet" in missing.err) == (2, True)
    image = project.folder / "output/shop/base.png"
    assert str(image) in project.run("show", "day", "--as-curl").out
    (project.folder / "alone.yaml").write_text(project.run("show", "day", "--as-yaml").out)
    assert project.run("validate", "alone.yaml").code == 0
    assert str(image) in (project.folder / "alone.yaml").read_text()


def test_job_whose_parent_was_cancelled_waits(project, witness):
    manifest = project.manifest([job("base"), job("day", images=["@base"])])
    assert project.run("run", manifest, "--yes", "--id", "day").code == 0  # its parent was not selected
    assert states(project) == {"base": "pending", "day": "pending"}
    assert project.run("cancel", "--id", "base").code == 0
    done = project.run("run", manifest, "--yes")
    assert done.code == 3
    assert "ran to the end; some jobs wait for jobs that were cancelled" in done.err
    assert witness.charges() == []


def test_changed_parent_redoes_the_jobs_that_use_its_image(project, witness):
    jobs = [job("base"), job("day", images=["@base"]), job("dawn", images=["@day"]), job("after", needs=["base"])]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    manifest = project.manifest([job("base", prompt="P base, in snow"), *jobs[1:]])
    plan = project.run("plan", manifest)
    assert "3 changed" in plan.out
    assert "job base has changed, whose image it is" in plan.out
    later = Witness(witness.log)
    assert project.run("run", manifest, "--yes").code == 0
    assert later.prompts() == ["P base, in snow", "P dawn", "P day"]
    jobs_now = project.jobs()
    assert jobs_now["base"]["attempts"][-1]["ended_at"] <= jobs_now["day"]["attempts"][-1]["started_at"]


def test_new_id_of_a_parent_redoes_nothing(project, witness):
    assert project.run("run", project.manifest([job("base"), job("day", images=["@base"])]), "--yes").code == 0
    manifest = project.manifest([job("house", prompt="P base"), job("day", images=["@house"])])
    assert "1 new, 1 done" in project.run("plan", manifest).out
    assert project.run("run", manifest, "--yes").code == 0
    assert sorted(witness.prompts()) == ["P base", "P base", "P day"]


def test_redo_of_a_parent_redoes_the_jobs_that_use_its_image(project, witness):
    manifest = project.manifest(FAMILY)
    assert project.run("run", manifest, "--yes").code == 0
    later = Witness(witness.log)
    plan = project.run("redo", manifest, "--id", "day", "--dry-run")
    assert "note      1 uses their images: made again, too" in plan.out
    assert "requeued  2 jobs that had ended" in plan.out
    assert project.run("redo", manifest, "--id", "day", "--yes").code == 0
    assert later.prompts() == ["P day", "P sheet"]
    assert set(states(project).values()) == {"done"}
    check_files(project)


@pytest.mark.parametrize("key", ["day", "last"])
def test_redo_of_a_job_that_waits_names_the_job_that_failed(project, witness, key):
    manifest = project.manifest(
        [*(each for each in FAMILY if each["id"] != "base"), job("base", prompt="[sandbox: refuse] P")]
    )
    assert project.run("run", manifest, "--yes").code == 3
    redone = project.run("redo", manifest, "--id", key, "--yes")
    assert redone.code == 3
    command = "batchgen retry m.yaml --id base --status failed"
    assert f"note      1 waits for base, which failed: {command} makes all of them" in redone.err
    assert f"nothing to send for --id {key}" in redone.err
    assert "run makes them" not in redone.err
    assert len(witness.arrivals()) == 1
    (project.folder / "m.yaml").write_text(
        (project.folder / "m.yaml").read_text().replace("[sandbox: refuse] P", "P base")
    )
    assert project.run(*command.split()[1:], "--yes").code == 0
    assert set(states(project).values()) == {"done"}


def test_redo_that_was_stopped_between_parent_and_child_buys_the_child_only(project, witness):
    manifest = project.manifest([job("base"), job("day", images=["@base"])])
    assert project.run("run", manifest, "--yes").code == 0
    stopped = Witness(witness.log)
    assert (
        project.run("redo", manifest, "--id", "base", "--yes", "--budget", "0.02").code == 7
    )  # too little for an edit
    assert (stopped.prompts(), states(project)) == (["P base"], {"base": "done", "day": "pending"})
    later = Witness(witness.log)
    again = project.run("redo", manifest, "--id", "base", "--yes")
    assert (again.code, later.prompts()) == (0, ["P day"])
    assert "1 of an earlier redo that did not finish: only these are sent now" in again.err


@pytest.mark.parametrize("moment", [0.0, 0.05])
def test_killed_in_a_chain_the_same_command_completes(project, witness, moment):
    manifest = project.manifest(FAMILY)
    process = project.start("run", manifest, "--yes")
    try:
        wait_for(lambda: witness.arrived >= 2, process)
        time.sleep(moment)
    finally:
        process.kill()
    finish(process)
    assert process.returncode == -signal.SIGKILL
    assert project.run("run", manifest, "--yes").code == 0
    assert set(states(project).values()) == {"done"}
    check_order(project)
    # Not by ``charges``: a request that was cut off while it was sent has no answer.
    charges = [line for line in witness.now() if line["event"] == "charge"]
    check_books(project, charges)
    again = sum(len(row["attempts"]) - 1 for row in project.jobs().values())
    assert len(charges) - len(FAMILY) <= again <= 2


def test_lost_job_database_is_rebuilt_and_nothing_is_bought_again(project, witness):
    manifest = project.manifest(FAMILY)
    assert project.run("run", manifest, "--yes").code == 0
    project.lose_database()
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 5
    assert set(states(project).values()) == {"done"}
    assert project.run("redo", manifest, "--id", "base", "--dry-run").out.count("made again, too") == 1


def test_image_that_is_gone_when_it_is_needed_fails_the_job_unsent(project, witness):
    base, day = job("base"), job("day", images=["@base"])
    assert project.run("run", project.manifest([base]), "--yes").code == 0
    [file] = project.images()
    file.unlink()
    done = project.run("run", project.manifest([base, day]), "--yes")
    assert (done.code, len(witness.charges())) == (3, 1)
    [attempt] = project.jobs()["day"]["attempts"]
    assert (attempt["cause"], attempt["state"]) == ("invalid", "missed")
    assert "base" in attempt["message"]


def test_image_that_the_provider_does_not_accept_fails_the_job_unsent(project, witness):
    models = {"models": {"gpt-image-2": {"edit": {"image_bytes_max": 100}}}}
    manifest = project.manifest([job("base"), job("day", images=["@base"])], providers={"openai": models})
    assert project.run("run", manifest, "--yes").code == 3
    [attempt] = project.jobs()["day"]["attempts"]
    assert attempt["cause"] == "invalid"
    assert "@base has 0." in attempt["message"]
    assert len(witness.charges()) == 1


def test_mistakes_are_reported_at_their_places_before_anything_is_sent(project, witness):
    manifest = project.manifest(
        [job("a", images=["@b"]), job("b", needs=["a"]), job("c", images=["@bsae"]), job("base")]
    )
    done = project.run("run", manifest, "--yes")
    assert done.code == 4
    assert "jobs[2].images: @bsae: there is no job 'bsae' in this batch (did you mean 'base'?)" in done.err
    assert witness.charges() == []
