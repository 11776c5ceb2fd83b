"""Redo and retry from the page, with the charge log of the sandbox as witness: what is bought, and what is not."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from batchgen.files import lock
from tests.acceptance.kit import check_books, finish, wait_for

# Each plan and each run is a program of its own, and a busy machine takes its time to start them.
pytestmark = [pytest.mark.timeout(150), pytest.mark.slow]
DEFAULTS = {"provider": "openai", "quality": "low"}


def planned(server, *ids, action="redo", **more):
    answer = server.send("POST", "plans", {"action": action, "ids": [*ids], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def start(server, plan):
    return server.send("POST", f"plans/{plan['plan']}/run", {})


def settled(batch, runs=2):
    """Wait until so many runs have ended, that which made the batch included."""
    wait_for(lambda: len(batch.rows("select 1 from runs where ended_at is not null")) == runs, seconds=40)


def test_redo_from_the_page_replaces_the_picture(batch, serve, witness):
    server = serve()
    before = server.rows()
    plan = planned(server, "cat-0", changes=["quality=medium"], note="too dark")
    assert (plan["jobs"], plan["images"], plan["obstacle"]) == (1, 1, "")
    assert Decimal(plan["usd"]["expected"]) <= Decimal(plan["budget"])
    assert witness.charges() == []  # a plan sends nothing
    with server.events() as events:
        run = start(server, plan)
        assert run.status_code == 202, run.text
        assert "--budget" in run.json()["command"]
        # It waits for no other run: that one may make the same pictures.
        assert " --wait-lock 0 " in run.json()["command"]
        ended, _ = events.next("run")
    assert (ended["exit_code"], ended["plan"]) == (3, plan["plan"])  # the refused job is still failed
    after = server.rows()
    assert after["cat-0"]["sha"] != before["cat-0"]["sha"]
    assert after["cat-1"] == before["cat-1"]
    [charge] = charges = witness.charges()
    assert Decimal(charge["usd"]) <= Decimal(plan["budget"])
    check_books(batch, charges)


def test_confirming_twice_starts_one_run(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0", "cat-1")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: start(server, plan), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["pid"] for answer in answers}) == 1
    settled(batch)
    assert start(server, plan).json()["pid"] == answers[0].json()["pid"]
    assert len(witness.charges()) == 2
    assert len(batch.rows("select 1 from runs")) == 2


def test_run_survives_the_server(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0", changes=["prompt=A slow cat [sandbox: slow=3]"])
    assert start(server, plan).status_code == 202
    server.stop(signal.SIGKILL)
    settled(batch)
    assert len(witness.charges()) == 1
    again = serve()
    assert again.url == server.url
    assert again.rows()["cat-0"]["prompt"].startswith("A slow cat")


def test_server_that_dies_before_the_confirmation_buys_nothing(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0")
    server.stop(signal.SIGKILL)
    again = serve()
    answer = start(again, plan)
    assert answer.status_code == 410
    assert "Look at the price again" in answer.json()["error"]
    assert witness.charges() == []


def test_nothing_is_started_during_another_run(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0")
    slow = batch.manifest([{"id": "slow", "prompt": "Slow [sandbox: slow=30]"}], "other.yaml", defaults=DEFAULTS)
    slow.write_text(slow.read_text().replace("name: shop", "name: other"))
    run = batch.start("run", slow, "--yes")
    wait_for(lambda: witness.arrived > 0, run)
    answer = start(server, plan)
    assert answer.status_code == 409
    assert f"A run is in progress (process {run.pid}: " in answer.json()["error"]
    run.kill()
    finish(run)
    assert witness.prompts() == ["Slow [sandbox: slow=30]"]


def test_dearer_plan_needs_another_confirmation(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0")
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}"} for number in range(3)]
    batch.manifest(jobs, defaults=DEFAULTS | {"quality": "high"})
    answer = start(server, plan)
    assert answer.status_code == 409
    changed = answer.json()["plan"]
    assert Decimal(changed["budget"]) > Decimal(plan["budget"])
    assert witness.charges() == []
    assert start(server, changed).status_code == 202
    settled(batch)
    assert len(witness.charges()) == 1


def test_retry_from_the_page_sends_failed_jobs(batch, serve, witness):
    server = serve()
    plan = planned(server, "bad", action="retry", changes=["prompt=A friendly dog"])
    assert plan["jobs"] == 1
    assert start(server, plan).status_code == 202
    wait_for(lambda: batch.jobs()["bad"]["state"] == "done")
    assert len(witness.charges()) == 1


def test_calls_without_a_price_are_left_to_the_command_line(project, serve, witness):
    jobs = [{"id": "a", "prompt": "A", "provider": "gateway", "model": "gpt-image-2"}]
    assert project.run("run", project.manifest(jobs), "--yes", "--allow-unpriced").code == 0
    server = serve()
    plan = planned(server, "a")
    assert (plan["budget"], plan["unpriced"]) == (None, 1)
    assert "price of some of these calls is not known" in plan["obstacle"]
    answer = start(server, plan)
    assert (answer.status_code, answer.json()["error"]) == (422, plan["obstacle"])
    assert len(witness.charges()) == 1


def test_orders_that_make_no_sense_are_refused(batch, serve, witness):
    server = serve()
    good = {"action": "redo", "ids": ["cat-0"]}
    for change in ({"action": "run"}, {"ids": []}, {"ids": "cat-0"}, {"ids": [1]}, {"more": 1}, {"note": "x" * 2000}):
        assert server.send("POST", "plans", good | change).status_code == 400, change
    for change in ({"ids": ["absent"]}, {"ids": ["a\nb"]}, {"changes": ["--yes"]}, {"changes": ["colour=blue"]}):
        answer = server.send("POST", "plans", good | change)
        assert (answer.status_code, bool(answer.json()["error"])) == (422, True), change
    # Words that look like options are values.
    assert planned(server, "cat-0", note="--budget 100")["jobs"] == 1
    assert server.send("POST", "plans/none/run", {}).status_code == 410
    assert witness.charges() == []


@pytest.mark.parametrize("variable", ["BATCHGEN_REDO_BUDGET", "BATCHGEN_BUDGET"])
def test_budget_of_the_environment_does_not_raise_the_price(project, serve, witness, variable):
    path = project.manifest([{"id": "a", "prompt": "A"}], defaults=DEFAULTS)
    assert project.run("run", path, "--yes").code == 0
    project.env[variable] = "100"
    server = serve()
    run = start(server, planned(server, "a")).json()
    assert run["command"].count("--budget") == 1
    settled(project)
    assert len(witness.charges()) == 2
    assert project.jobs()["a"]["state"] == "done"


def test_plan_of_replaced_pictures_needs_another_confirmation(batch, serve, witness):
    server, other = serve(), serve()
    plans = [(server, planned(server, "cat-0", "cat-1")), (server, planned(server, "cat-0"))]
    plans += [(other, planned(other, "cat-1"))]
    assert start(*plans[0]).status_code == 202
    settled(batch)
    wait_for(lambda: lock.holder(batch.state / "batchgen.db") is None)
    for page, plan in plans[1:]:
        answer = start(page, plan)
        assert (answer.status_code, answer.json().get("changed")) == (409, True), answer.text
    assert len(witness.charges()) == 2
    assert start(*plans[2]).status_code == 202  # the user has seen that it changed
    settled(batch, 3)
    assert len(witness.charges()) == 3


def test_run_that_ends_early_is_not_started_again(project, serve, witness):
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}"} for number in range(4)]
    assert project.run("run", project.manifest(jobs, defaults=DEFAULTS), "--yes").code == 0
    before = len(witness.charges())
    # One job at a time, the second one fails, and the run stops.
    project.env |= {"BATCHGEN_REDO_MAX_FAILURES": "0", "BATCHGEN_REDO_CONCURRENCY": "1"}
    jobs[1]["prompt"] += " [sandbox: refuse]"
    project.manifest(jobs, defaults=DEFAULTS)
    server = serve()
    plan = planned(server, *(job["id"] for job in jobs))
    first = start(server, plan)
    assert first.status_code == 202, first.text
    settled(project)
    bought = len(witness.charges())
    wait_for(lambda: "exit_code" in start(server, plan).json())
    again = start(server, plan).json()
    assert (again["pid"], again["exit_code"]) == (first.json()["pid"], 8)
    assert len(witness.charges()) == bought < before + 4


def test_page_orders_nothing_of_another_batch(batch, serve, witness):
    server = serve()
    plan = planned(server, "cat-0")
    jobs = [{"id": f"cat-{number}", "prompt": f"Another cat {number}"} for number in range(3)]
    other = batch.manifest(jobs, defaults=DEFAULTS)
    other.write_text(other.read_text().replace("name: shop", "name: other"))
    assert batch.run("run", other, "--yes").code == 0
    bought = len(witness.charges())
    for answer in (start(server, plan), server.send("POST", "plans", {"action": "redo", "ids": ["cat-0"]})):
        assert answer.status_code == 422
        assert "is the manifest of batch other now, and this page shows shop" in answer.json()["error"]
    assert len(witness.charges()) == bought


def test_module_in_the_folder_is_not_imported(batch, serve):
    (batch.folder / "secrets.py").write_text("raise SystemExit('this is not the module of Python')")
    (batch.folder / "batchgen.py").write_text("raise SystemExit('this is not batchgen')")
    assert planned(serve(), "cat-0")["jobs"] == 1
