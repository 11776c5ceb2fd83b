"""Money at risk is settled by what the provider's records show: the charge log of the sandbox is these records here."""

from __future__ import annotations

from decimal import Decimal

import pytest

from .kit import Workspace, finish, wait_for

NANO = 10**9


def job(project: Workspace, name: str = "cat", fault: str = "drop x1", provider: str = "openai") -> dict[str, str]:
    """Return a job whose first answer is lost after it was charged; the sandbox counts faults by prompt."""
    prompt = f"A {name} of {project.folder.name} [sandbox: {fault}]"
    return {"id": name, "provider": provider, "quality": "low", "prompt": prompt}


@pytest.fixture
def risky(project):
    """A batch whose job is done, by a second call; the first was charged and never answered."""
    path = project.manifest([job(project)])
    assert project.run("run", path, "--yes").code == 0
    return path


def spend(project: Workspace) -> dict[str, object]:
    return project.run("status", "--json").json["spend"]


def first_attempt(project: Workspace, key: str = "cat") -> str:
    return project.jobs()[key]["attempts"][0]["id"]


def test_a_charge_is_booked_for_a_job_that_is_done(project, witness, risky):
    charges = [Decimal(line["usd"]) for line in witness.charges()]
    assert len(charges) == 2
    before = spend(project)
    assert Decimal(before["at_risk_usd"]) > 0
    assert "batchgen unknown list    lists the 1 request that may have been charged" in project.run("status").out

    [listed] = project.run("unknown", "list", "--json").json["at_risk"]
    assert (listed["id"], listed["state"], listed["attempt"]) == ("cat", "done", first_attempt(project))
    shown = project.run("unknown", "list")
    assert listed["attempt"][:12] in shown.out
    assert "batchgen unknown settle cat --charged 0.02" in shown.err

    done = project.run("unknown", "settle", "cat", "--charged", f"${charges[0]}", "--json")
    assert (done.code, done.json["state"], done.json["settled"][0]["usd"]) == (0, "done", str(charges[0]))
    after = spend(project)
    assert (Decimal(after["usd"]), after["at_risk_usd"]) == (sum(charges), "0")
    row = project.ledger()[listed["attempt"]]
    assert (row["basis"], row["charged"], row["at_risk_usd"], row["at_risk_credits"]) == ("reported", "yes", None, None)
    assert "settled by the user: charged" in project.run("show", "cat").out
    assert project.run("unknown", "list", "--json").json["at_risk"] == []
    assert "unknown list" not in project.run("status").out
    assert project.run("run", risky, "--yes").code == 0
    assert len(witness.charges()) == 2


def test_a_settled_charge_can_be_corrected_and_nothing_else_can(project, risky):
    attempt = first_attempt(project)
    assert project.run("unknown", "settle", "cat", "--charged", "2").code == 0
    again = project.run("unknown", "settle", "cat", "--charged", "0.02")
    assert again.code == 10
    assert "--attempt" in again.err
    corrected = project.run("unknown", "settle", "cat", "--charged", "0.02", "--attempt", attempt[:8].upper())
    assert "$0.02 (was $2.00)" in corrected.err
    assert project.ledger()[attempt]["usd"] == 20_000_000
    other = project.jobs()["cat"]["attempts"][1]["id"]
    assert project.run("unknown", "settle", "cat", "--not-charged", "--attempt", other).code == 10
    assert project.run("unknown", "settle", "cat", "--not-charged", "--attempt", attempt).code == 0
    assert [project.ledger()[attempt][name] for name in ("usd", "charged", "basis")] == [0, "no", "priced"]


def test_a_settled_charge_counts_for_the_budget(project, witness, risky):
    at_risk = project.ledger()[first_attempt(project)]["at_risk_usd"]
    path = project.manifest([job(project), job(project, "dog", "slow=0.01")], budget={"usd": 1})
    assert project.run("unknown", "settle", "cat", "--charged", "1").code == 0
    full = project.run("run", path, "--yes", "--json")
    assert (full.code, full.json["jobs"]["pending"]) == (7, 1)
    [budget] = full.json["budgets"]
    assert Decimal(budget["usd"]["used"]) > 1
    assert project.run("unknown", "settle", "cat", "--not-charged", "--attempt", first_attempt(project)).code == 0
    free = project.run("run", path, "--yes", "--json")
    assert free.code == 0
    assert Decimal(free.json["budgets"][0]["usd"]["used"]) * NANO < NANO - at_risk
    assert len(witness.charges()) == 3


def test_an_unknown_job_stays_unknown_until_it_is_decided(project, witness):
    path = project.manifest([job(project, fault="drop")])
    assert project.run("run", path, "--yes").code == 3
    first, second = (attempt["id"] for attempt in project.jobs()["cat"]["attempts"])
    several = project.run("unknown", "settle", "cat", "--charged", "0.01")
    assert several.code == 2
    assert first[:12] in several.err
    assert second[:12] in several.err
    done = project.run("unknown", "settle", "cat", "--charged", "0.01", "--all")
    assert done.code == 0
    assert "batchgen unknown retry --id cat" in done.err
    assert project.jobs()["cat"]["state"] == "unknown"
    assert [row["usd"] for row in project.ledger().values()] == [10_000_000, 10_000_000]
    assert spend(project)["at_risk_usd"] == "0"
    assert project.run("unknown", "drop", "--id", "cat", "--not-charged").code == 0
    assert [row["usd"] for row in project.ledger().values()] == [10_000_000, 10_000_000]  # settled, not unknown
    assert len(witness.charges()) == 2


def test_credits_and_dollars_follow_from_each_other(project):
    path = project.manifest([job(project, provider="aimlapi")])
    assert project.run("run", path, "--yes").code == 0
    attempt = first_attempt(project)
    [row] = project.rows("select * from attempts where id = ?", attempt)
    assert row["estimate_credits"]
    half = row["estimate_credits"] // 2
    done = project.run("unknown", "settle", "cat", "--credits", half / 1000)
    assert done.code == 0, done.err
    booked = project.ledger()[attempt]
    assert (booked["credits"], booked["charged"], booked["at_risk_credits"]) == (half, "yes", None)
    assert booked["usd"] == pytest.approx(row["estimate_usd"] * half / row["estimate_credits"], abs=1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--charged", "0.02", "--not-charged"], 2),
        (["--charged", "two"], 2),
        (["--charged", "-1"], 2),
        (["--not-charged", "--all", "--attempt", "ab"], 2),
        (["--not-charged", "--attempt", "zz"], 10),
    ],
)
def test_nothing_is_booked_by_mistake(project, risky, words, code):
    before = project.ledger()
    refused = project.run("unknown", "settle", "cat", *words)
    assert refused.code == code, refused.err
    assert project.ledger() == before
    assert project.run("unknown", "settle", "cow", "--not-charged").code == 10


def test_a_provider_without_a_price_in_dollars_is_settled_in_credits(project):
    path = project.manifest([job(project, provider="gptimageapi")])
    assert project.run("run", path, "--yes").code == 0
    assert project.run("unknown", "settle", "cat", "--credits", "7.5").code == 0
    booked = project.ledger()[first_attempt(project)]
    assert [booked[name] for name in ("usd", "credits", "basis", "charged")] == [None, 7_500, "unknown", "yes"]
    assert project.run("unknown", "list", "--json").json["at_risk"] == []
    assert spend(project)["at_risk_usd"] == "0"


def test_a_run_in_progress_keeps_its_ledger(project, risky):
    slow = project.manifest([job(project), job(project, "snail", "slow=3")])
    process = project.start("run", slow, "--yes")
    wait_for(lambda: any(row["state"] == "running" for row in project.jobs().values()), process)
    assert project.run("unknown", "settle", "cat", "--not-charged").code == 11
    assert finish(process).code == 0
    assert project.run("unknown", "settle", "cat", "--not-charged").code == 0


def test_the_batch_and_the_sandbox_are_as_named(project, risky):
    assert project.run("unknown", "settle", "cat", "--not-charged", "--batch", "spring").code == 10
    assert project.run("unknown", "settle", "cat", "--not-charged", "--sandbox").code == 10
    assert project.run("unknown", "settle", "cat", "--not-charged", "--batch", "shop").code == 0
