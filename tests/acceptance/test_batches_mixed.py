"""One provider, two models: the calls to one are bought in batches, those to the other at once, in the same run."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from decimal import Decimal

import pytest

from .kit import CANARY, check_books, check_files, finish, wait_for
from .test_batches import LOW, events, held, states, submissions

__all__ = ["held"]

#: A model without batches, which has no price in the preset.
PLAIN = "gpt-image-2.6-flare"
TARIFF = {
    "usd_per_million_tokens": {"text_in": 5, "image_in": 8, "text_out": 10, "image_out": 30},
    "output_tokens": {"low": 196, "low 1024x1024": 196},
}
MODES = ("batch", "standard")


def mixed(project, *jobs, modes=MODES, providers=None, **settings):
    """Return a manifest for jobs of both models at one provider."""
    own = {"modes": list(modes), "batch": {"listing_grace": 0.5}, "models": {PLAIN: {"tariff": TARIFF}}, **settings}
    return project.manifest(list(jobs), providers={"openai": own, **(providers or {})})


def batched(key, **fields):
    return {"id": key, **LOW, "prompt": f"Cat {key}", **fields}


def plain(key, **fields):
    return {"id": key, **LOW, "model": PLAIN, "prompt": f"Dog {key}", **fields}


def bought(project):
    """Return the modes in which the images were bought, by job; None is the standard one."""
    jobs = project.jobs().items()
    return {key: each["mode"] for key, job in jobs for each in job["attempts"] if each["cause"] is None}


def check_bought_once(project, witness, prompts):
    charges = events(witness, "charge")
    assert Counter(line["prompt"] for line in charges) == dict.fromkeys(prompts, 1)
    check_books(project, charges)
    check_files(project)


def test_calls_to_a_model_without_batches_are_answered_while_others_are_in_a_batch(project, witness, held):
    path = mixed(project, *(batched(f"b{n}") for n in range(3)), *(plain(f"p{n}") for n in range(3)))
    run = project.start("run", path, "--yes")
    wait_for(lambda: len(events(witness, "charge")) == 3, run)
    assert {line["prompt"] for line in events(witness, "charge")} == {"Dog p0", "Dog p1", "Dog p2"}
    wait_for(lambda: [row["state"] for row in submissions(project)] == ["submitted"], run)
    held(release=True)
    done = finish(run)
    assert done.code == 0, done.err
    assert bought(project) == {**dict.fromkeys(["b0", "b1", "b2"], "batch"), **dict.fromkeys(["p0", "p1", "p2"])}
    check_bought_once(project, witness, [*(f"Cat b{n}" for n in range(3)), *(f"Dog p{n}" for n in range(3))])
    assert len(events(witness, "batch")) == 1


def test_jobs_of_the_batch_before_them_in_the_manifest_hold_up_nothing(project, witness, held):
    """More than a page of them is due when the run starts."""
    path = mixed(project, *(batched(f"b{n}") for n in range(150)), plain("last"), batch={"max_jobs": 10})
    run = project.start("run", path, "--yes")
    wait_for(lambda: events(witness, "charge"), run)
    assert [line["prompt"] for line in events(witness, "charge")] == ["Dog last"]
    held(hold=False, release=True)
    assert finish(run).code == 0
    assert set(states(project).values()) == {"done"}
    assert len(events(witness, "charge")) == 151


def test_no_wait_sends_what_is_not_bought_in_batches_and_leaves_the_rest(project, witness, held):
    path = mixed(project, batched("b"), plain("p"), batched("c", images=["@p"]), plain("q", images=["@b"]))
    left = project.run("run", path, "--yes", "--no-wait")
    assert states(project) == {"b": "running", "p": "done", "c": "running", "q": "pending"}
    assert left.code == 9, left.err
    assert len(submissions(project)) == 2
    assert project.run("collect", path).code == 9
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    collected = project.run("collect", path)
    assert states(project) == {"b": "done", "p": "done", "c": "done", "q": "pending"}, collected.err
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert bought(project) == {"b": "batch", "c": "batch", "p": None, "q": None}
    check_bought_once(project, witness, ["Cat b", "Dog p", "Cat c", "Dog q"])


def test_images_of_calls_sent_at_once_are_used_in_a_batch_of_the_same_run_and_the_other_way_round(project, witness):
    chain = [plain("p"), batched("b", images=["@p"]), plain("q", images=["@b"]), batched("c", images=["@q"])]
    done = project.run("run", mixed(project, *chain), "--yes")
    assert done.code == 0, done.err
    assert bought(project) == {"p": None, "b": "batch", "q": None, "c": "batch"}
    check_bought_once(project, witness, ["Dog p", "Cat b", "Dog q", "Cat c"])


def test_image_of_another_provider_is_used_in_a_batch(project, witness):
    path = mixed(project, {"id": "far", "provider": "aigate", "prompt": "Sky"}, batched("b", images=["@far"]))
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert bought(project) == {"far": None, "b": "batch"}


def test_jobs_whose_parents_come_one_by_one_share_their_batches(project, witness):
    parents = [plain(f"p{n}") for n in range(6)]
    children = [batched(f"b{n}", images=[f"@p{n}"]) for n in range(6)]
    path = mixed(project, *parents, *children, limits={"concurrency": 1, "spacing": 0.2})
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert len(events(witness, "batch")) <= 2
    assert len(events(witness, "charge")) == 12


@pytest.mark.parametrize(("model", "mode"), [("gpt-image-2", "batch"), (PLAIN, None)])
def test_failed_over_jobs_are_bought_as_their_model_is_here(project, witness, held, model, mode):
    studio = {"preset": "gateway", "base_url": "http://127.0.0.1:1", "api_key_env": "GATEWAY_API_KEY"}
    studio["models"] = {PLAIN: {"wire": PLAIN, "generate": {"path": "generate", "size": {"mode": "free"}}}}
    away = {"id": "away", "prompt": "Owl", "provider": ["studio", "openai"], "model": model}
    away |= {"quality": "low", "size": "1024x1024", "route": {"failover_after": 0}}
    path = mixed(project, batched("b"), plain("p"), away, providers={"studio": studio})
    run = project.start("run", path, "--yes", "--allow-unpriced")
    if mode is None:
        wait_for(lambda: len(events(witness, "charge")) == 2, run)
        assert {line["prompt"] for line in events(witness, "charge")} == {"Dog p", "Owl"}
    else:
        wait_for(lambda: len(events(witness, "charge")) == 1, run)
    held(hold=False, release=True)
    done = finish(run, seconds=90)
    assert done.code == 0, done.err
    assert bought(project)["away"] == mode
    check_bought_once(project, witness, ["Cat b", "Dog p", "Owl"])


def test_calls_take_turns_among_accounts_in_both_modes(project, witness):
    project.env |= {"FIRST_KEY": CANARY, "SECOND_KEY": f"{CANARY[:-4]}1111"}
    jobs = [*(batched(f"b{n}") for n in range(4)), *(plain(f"p{n}") for n in range(4))]
    keys = {"api_key_env": ["FIRST_KEY", "SECOND_KEY"], "limits": {"concurrency": 1}}
    path = mixed(project, *jobs, batch={"max_jobs": 1}, **keys)
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert Counter(row["account"] for row in submissions(project)) == {"FIRST_KEY": 2, "SECOND_KEY": 2}
    check_bought_once(project, witness, [*(f"Cat b{n}" for n in range(4)), *(f"Dog p{n}" for n in range(4))])


def test_budget_holds_for_both_modes_together(project, witness):
    path = mixed(project, *(batched(f"b{n}") for n in range(4)), *(plain(f"p{n}") for n in range(4)))
    budget = Decimal(project.run("plan", path, "--json").json["usd"]["high"]) / 2
    done = project.run("run", path, "--budget", f"{budget:.6f}")
    assert done.code == 7, done.err
    charges = events(witness, "charge")
    assert 2 <= len(charges) < 8
    assert sum(Decimal(line["usd"]) for line in charges) <= budget
    check_books(project, charges)


def test_plan_of_both_modes_has_the_price_of_the_run(project, witness):
    path = mixed(project, batched("b0"), batched("b1"), plain("p"))
    plan = project.run("plan", path)
    assert "time      within a day: 2 of 3 requests go in batches" in plan.out
    expected = Decimal(project.run("plan", path, "--json").json["usd"]["expected"])
    assert project.run("run", path, "--yes").code == 0
    spent = sum(Decimal(line["usd"]) for line in events(witness, "charge"))
    assert abs(spent - expected) < expected / 100


def test_interrupted_run_leaves_its_batch_and_loses_no_call(project, witness, held):
    path = mixed(project, batched("b"), *(plain(f"p{n}") for n in range(3)))
    run = project.start("run", path, "--yes")
    wait_for(lambda: len(events(witness, "charge")) == 3, run)
    wait_for(lambda: [row["remote_id"] for row in submissions(project)] != [None], run)
    run.send_signal(signal.SIGINT)
    assert finish(run).code == 130
    held(release=True)
    assert project.run("run", path, "--yes").code == 0
    check_bought_once(project, witness, ["Cat b", *(f"Dog p{n}" for n in range(3))])


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(4))
def test_kill_amid_both_loses_nothing_and_buys_nothing_twice(project, witness, seed):
    """Calls in flight at a kill may be unknown and bought again; they are counted as such."""
    chance = random.Random(seed)
    jobs = [*(batched(f"b{n}") for n in range(6)), *(plain(f"p{n}") for n in range(30))]
    path = mixed(project, *jobs, limits={"concurrency": 2}, batch={"max_jobs": 3, "listing_grace": 0.5})
    for _ in range(4):
        goal = len(events(witness, "charge")) + chance.randint(0, 6)
        run = project.start("run", path, "--yes")
        wait_for(lambda goal=goal, run=run: len(events(witness, "charge")) >= goal or run.poll() is not None)
        time.sleep(chance.choice((0, 0.01, 0.1)))
        run.kill()
        run.communicate()
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert set(states(project).values()) == {"done"}
    charges = events(witness, "charge")
    attempts = [each for job in project.jobs().values() for each in job["attempts"]]
    unknown = sum(each["cause"] == "unknown" for each in attempts)
    assert 36 <= len(charges) <= 36 + unknown
    cats = Counter(line["prompt"] for line in charges if line["prompt"].startswith("Cat"))
    assert cats == dict.fromkeys((f"Cat b{n}" for n in range(6)), 1)
    assert all(row["state"] in ("collected", "released") for row in submissions(project))
    check_files(project)
