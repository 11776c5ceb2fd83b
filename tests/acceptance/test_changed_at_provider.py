"""Jobs that the user changes while they are at their provider: the old image is booked, the new one bought at once."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import pytest

from .kit import CANARY, check_books, finish, wait_for
from .test_batch_troubles import relay
from .test_batches import events, held, nightly, states, submissions

__all__ = ["held"]


def changed(path, before="Cat 0", after="Lion"):
    """Change the prompt of one job in the manifest."""
    path.write_text(path.read_text().replace(before, after))
    return path


def prompts(witness):
    return Counter(line["prompt"] for line in events(witness, "charge"))


def attempts(project):
    """Return the attempts by now; none before there is a job database."""
    with suppress(sqlite3.Error):
        return project.rows("select * from attempts")
    return []


def check_current(project, key, prompt):
    """Assert that the current image of a job is that of *prompt*."""
    lines = map(json.loads, project.run("export", "--format", "jsonl").out.splitlines())
    [found] = [line for line in lines if line["id"] == key]
    assert (found["prompt"], found["state"], len(found["files"])) == (prompt, "done", 1)
    sidecar = project.folder / f"{found['files'][0]['path']}.json"
    assert prompt in sidecar.read_text()


def test_job_that_changed_in_a_batch_is_collected_and_bought_again_by_the_same_run(project, witness, held):
    path = nightly(project, "", "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    changed(path)
    plan = project.run("plan", path, "--json").json
    assert (plan["jobs"]["changed"], plan["jobs"]["at_provider"], plan["requests"]) == (1, 1, 1)
    assert plan["changed_at_provider"] == {"jobs": 1, "usd": plan["usd"]}
    text = "1 job changed while at the provider: its old image is collected first, then it is bought again for $"
    assert text in project.run("plan", path).out
    held(hold=False, release=True)
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert text in done.err
    assert prompts(witness) == {"Cat 0": 1, "Cat 1": 1, "Lion": 1}
    check_books(project, events(witness, "charge"))
    check_current(project, "j0", "Lion")
    assert [each["cause"] for each in project.jobs()["j0"]["attempts"]] == [None, None]
    assert len(list((project.folder / "output").rglob(".superseded/**/*.png"))) == 1
    assert project.run("run", path, "--yes").code == 0
    assert len(events(witness, "charge")) == 3


def test_no_wait_counts_a_changed_job_as_at_the_provider(project, witness, held):
    path = nightly(project, "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    left = project.run("run", changed(path), "--yes", "--no-wait")
    assert left.code == 9, left.err
    assert len(events(witness, "batch")) == 1
    assert project.run("status", "--json").json["at_provider"] == 1
    held(release=True)
    wait_for(lambda: events(witness, "batch-row"))
    held(hold=True)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    assert len(events(witness, "batch")) == 2
    assert states(project) == {"j0": "running"}
    held(release=True, hold=False)
    assert project.run("run", path, "--yes").code == 0
    check_current(project, "j0", "Lion")


def test_collect_takes_the_old_image_and_the_next_run_buys_the_new_one(project, witness, held):
    path = nightly(project, "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    held(hold=False, release=True)
    wait_for(lambda: events(witness, "batch-row"))
    assert project.run("collect", changed(path)).code == 0
    assert project.run("plan", path, "--json").json["jobs"]["changed"] == 1
    assert project.run("run", path, "--yes").code == 0
    assert prompts(witness) == {"Cat 0": 1, "Lion": 1}
    check_current(project, "j0", "Lion")


def test_changed_jobs_are_kept_with_keep_changed(project, witness, held):
    path = nightly(project, "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    changed(path)
    plan = project.run("plan", path, "--keep-changed", "--json").json
    assert (plan["jobs"]["at_provider"], plan["jobs"]["changed"], plan["requests"]) == (1, 0, 0)
    held(hold=False, release=True)
    done = project.run("run", path, "--keep-changed", "--yes")
    assert done.code == 0, done.err
    assert prompts(witness) == {"Cat 0": 1}


def test_request_that_was_not_carried_out_is_sent_as_it_is_now(project, witness, held):
    """The batch expires: its jobs are pending again, and only the new prompt is bought."""
    path = nightly(project, "", " [sandbox: batch-pause=0]")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    [row] = submissions(project)
    changed(path).write_text(path.read_text().replace(" [sandbox: batch-pause=0]", ""))
    assert project.run("cancel", "--submission", row["remote_id"]).code == 0
    held(hold=False)
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert prompts(witness) == {"Lion": 1, "Cat 1": 1}
    check_books(project, events(witness, "charge"))


def test_batch_that_was_never_created_is_not_created_with_the_old_request(project, witness):
    with relay(project.url, lost=1) as url:
        project.url = url
        path = nightly(project, "", listing_grace=0.1)
        project.run("run", path, "--yes", "--no-wait")
        assert events(witness, "batch") == []
        done = project.run("run", changed(path), "--yes")
    assert done.code == 0, done.err
    assert prompts(witness) == {"Lion": 1}


def test_budget_counts_the_old_image_and_refuses_the_new_one(project, witness, held):
    path = nightly(project, "")
    price = Decimal(project.run("plan", path, "--json").json["usd"]["high"])
    budget = f"name: shop\nbudget: {{usd: {price * Decimal('1.2'):.6f}}}"
    path.write_text(path.read_text().replace("name: shop", budget))
    assert project.run("run", path, "--no-wait").code == 9
    held(hold=False, release=True)
    done = project.run("run", changed(path))
    assert done.code == 7, done.err
    assert prompts(witness) == {"Cat 0": 1}
    assert states(project) == {"j0": "pending"}
    check_books(project, events(witness, "charge"))


@pytest.mark.slow
def test_kill_between_collection_and_purchase_buys_each_request_once(project, witness, held):
    path = nightly(project, *[""] * 6)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    for number in range(6):
        changed(path, f"Cat {number}", f"Lion {number}")
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 6)
    run = project.start("run", path, "--yes")
    wait_for(lambda: len(list((project.folder / "output").rglob("*.png"))) >= 3, run)
    run.kill()
    run.communicate()
    held(hold=False, release=True)
    done = finish(project.start("run", path, "--yes"))
    assert done.code == 0, done.err
    assert prompts(witness) == {f"{animal} {number}": 1 for animal in ("Cat", "Lion") for number in range(6)}
    check_books(project, events(witness, "charge"))


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_job_that_changed_during_its_remote_task_is_collected_and_bought_again(project, witness, signal_):
    project.env["FAL_KEY"] = CANARY
    own = {
        "base_url": f"{project.url}/fal",
        "task": {"poll": {"first_wait": 0.05, "max_wait": 0.2}},
        "tariff": {"usd_per_image": 0.5},
    }
    jobs = [{"id": "j0", "prompt": "Cat 0 [sandbox: task-slow=4]", "provider": "fal"}]
    path = project.manifest(jobs, providers={"fal": own})
    run = project.start("run", path, "--yes")
    wait_for(lambda: project.state.exists() and any(each["handle"] for each in attempts(project)), run)
    run.send_signal(signal_)
    finish(run)
    changed(path, "Cat 0 [sandbox: task-slow=4]")
    plan = project.run("plan", path, "--json").json
    assert (plan["requests"], plan["changed_at_provider"]["jobs"], plan["usd"]["expected"]) == (1, 1, "0.5")
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert [line["prompt"][:5] for line in witness.charges()] == ["Cat 0", "Lion"]
    assert [each["cause"] for each in project.jobs()["j0"]["attempts"]] == [None, None]
    assert Decimal(project.run("usage", "--json").json["totals"]["usd"]) == 1
    check_current(project, "j0", "Lion")
