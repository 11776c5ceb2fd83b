"""Remote tasks: submitted once, whatever happens to the run that polls them. The witness is the sandbox's log."""

from __future__ import annotations

import json
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from batchgen.sandbox.log import read_log
from tests.acceptance.kit import CANARY, SECRET, check_files, wait_for
from tests.torture.task_points import POINTS, die_at

from . import local_kit as kit

pytestmark = pytest.mark.timeout(400)
sandbox, witness, place = kit.sandbox_fixture, kit.witness_fixture, kit.place_fixture

#: Polls every fraction of a second.
QUICK = {"poll": {"state": "status", "first_wait": 0.1, "max_wait": 0.2, "patience": 60, "lost_after": 0.3}}
ENV = {"FAL_KEY": CANARY, "HIGGSFIELD_API_KEY": f"id:{CANARY}"}


def job(key: str = "a", sandbox: str = "task-slow=0.5", **fields: object) -> dict[str, object]:
    return kit.job(key, provider="fal", quality=None, sandbox=sandbox, **fields)


def manifest(place: kit.Place, *jobs: dict[str, object], patience: float = 60, **top: object) -> Path:
    wanted = [{name: value for name, value in each.items() if value is not None} for each in jobs or [job()]]
    task = {"poll": QUICK["poll"] | {"patience": patience}}
    fal = {"base_url": f"{place.url}/fal", "task": task, "limits": {"concurrency": 4}}
    return place.batch(*wanted, **{"providers": {"fal": fal}, "on_unknown": "hold"} | top)


def tasks(witness) -> Counter[str]:
    """Return how many remote tasks each prompt started."""
    return Counter(line["prompt"] for line in witness.lines() if line["event"] == "task")


def check_once(place: kit.Place, witness, jobs: int = 1) -> None:
    """One task a job, no result lost, every charge in the ledger, files whole, and the key nowhere."""
    assert list(tasks(witness).values()) == [1] * jobs
    assert {row["state"] for row in place.rows("select state from jobs")} == {"done"}
    assert len(place.images()) == jobs
    check_files(place)
    charges = [int(Decimal(line["usd"]) * 10**9) for line in witness.charges()]
    assert len(charges) == jobs
    assert sorted(row["usd"] for row in place.ledger().values()) == sorted(charges)
    assert place.rows("select id from attempts where state = 'open'") == []
    assert not list((place.state / "spool").glob("*.slot"))
    assert not list((place.folder / "output").rglob(".batchgen/attempts/*.json"))
    for path in [*place.state.rglob("*"), *place.files()]:
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def handles(place: kit.Place) -> list[str | None]:
    return [row["handle"] for row in place.rows("select handle from attempts")]


@pytest.mark.parametrize("point", [name for name in POINTS if name != "sent"])
def test_task_of_a_killed_run_is_collected_and_never_submitted_again(place, witness, point):
    assert place.do("run", manifest(place), "--yes", hook=die_at, arguments=(point,), **ENV).code == -signal.SIGKILL
    done = place.do("run", manifest(place), "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


def test_submission_without_an_answer_is_unknown_and_held(place, witness):
    assert place.do("run", manifest(place), "--yes", hook=die_at, arguments=("sent",), **ENV).code == -signal.SIGKILL
    assert place.do("run", manifest(place), "--yes", **ENV).code == 3
    assert list(tasks(witness).values()) == [1]
    assert place.rows("select state from jobs") == [{"state": "unknown"}]
    [row] = place.ledger().values()
    assert (row["charged"], row["at_risk_usd"]) == ("maybe", 80_000_000)


def test_submission_without_an_answer_is_found_by_its_key(place, witness):
    higgsfield = {
        "base_url": f"{place.url}/higgsfield",
        "task": QUICK,
        "tariff": {"date": "2026-11-30", "usd_per_image": 0.1},
    }
    asked = {"id": "a", "provider": "higgsfield", "prompt": kit.job("a")["prompt"]}
    batch = place.batch(asked, providers={"higgsfield": higgsfield})
    assert place.do("run", batch, "--yes", hook=die_at, arguments=("sent",), **ENV).code == -signal.SIGKILL
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    assert list(tasks(witness).values()) == [1]
    assert len(witness.charges()) == 1


def test_run_whose_patience_is_over_leaves_the_task_and_the_next_one_collects_it(place, witness):
    batch = manifest(place, job(sandbox="task-slow=4"), patience=0.5)
    left = place.do("run", batch, "--yes", **ENV)
    assert left.code == 9, left.err
    assert "1 job is at the provider" in left.err
    assert "collects the 1 remaining job from the provider" in left.err
    status = place.do("status", "--json")
    assert status.json["at_provider"] == 1
    assert status.json["spend"]["at_risk_usd"] == "0"
    assert "1 job: 1 at the provider" in place.do("status").out
    planned = place.do("plan", batch, "--json").json
    assert (planned["jobs"]["at_provider"], planned["jobs"]["pending"], planned["requests"]) == (1, 0, 0)
    shown = place.do("show", "a").out
    assert "at the provider" in shown
    wait_for(lambda: len(witness.charges()) == 1)
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


def test_signal_ends_the_wait_and_the_task_stays_at_the_provider(place, witness):
    batch = manifest(place, job(sandbox="task-slow=30"))
    run = place.go("run", batch, "--yes", **ENV)
    wait_for(lambda: any(line["event"] == "answer" for line in witness.now()))
    wait_for(lambda: None not in handles(place))
    run.send_signal(signal.SIGINT)
    ended = run.wait()
    assert ended.code == 130, ended.err
    assert ended.seconds < 25
    assert list(tasks(witness).values()) == [1]
    assert place.rows("select state from attempts") == [{"state": "open"}]


def test_task_that_the_provider_does_not_know_any_more_is_unknown_and_never_bought_again(place, witness):
    batch = manifest(place, job(sandbox="task-lose"), on_unknown="retry")
    for _ in range(2):
        done = place.do("run", batch, "--yes", **ENV)
        assert done.code == 3, done.err
        assert list(tasks(witness).values()) == [1]
        assert "bought again" not in done.err
    assert place.rows("select state from jobs") == [{"state": "unknown"}]
    [row] = place.ledger().values()
    assert row["at_risk_usd"] == 80_000_000


@pytest.mark.parametrize("fault", ["poll-500 x2", "poll-429 x2", "poll-drop x2"])
def test_poll_that_fails_is_repeated(place, witness, fault):
    done = place.do("run", manifest(place, job(sandbox=fault)), "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


@pytest.mark.parametrize("point", [point for point in POINTS if point != "sent"])
def test_lost_job_database_adopts_the_task_of_the_slot(place, witness, point):
    batch = manifest(place)
    killed = place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV)
    assert killed.code == -signal.SIGKILL
    place.lose_database()
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


def test_lost_job_database_adopts_a_task_that_a_run_has_left_at_the_provider(place, witness):
    batch = manifest(place, job(sandbox="task-slow=1"), patience=0.3)
    assert place.do("run", batch, "--yes", **ENV).code == 9
    place.lose_database()
    done = place.do("run", manifest(place, job(sandbox="task-slow=1")), "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


def test_cancelled_job_is_cancelled_at_the_provider(place, witness):
    batch = manifest(place, job(sandbox="task-slow=60"), patience=0.3)
    assert place.do("run", batch, "--yes", **ENV).code == 9
    cancelled = place.do("cancel", "--id", "a")
    assert cancelled.code == 0, cancelled.err
    assert "1 cancelled job still at the provider" in cancelled.err
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    [handle] = handles(place)
    assert [line["task"] for line in read_log(witness.log) if line["event"] == "cancel"] == [json.loads(handle)["id"]]
    assert place.rows("select state from jobs") == [{"state": "cancelled"}]
    assert place.rows("select state from attempts") == [{"state": "missed"}]
    [row] = place.ledger().values()
    assert (row["charged"], len(witness.charges())) == ("no", 0)


def check_image_kept(place: kit.Place, witness, batch: Path) -> None:
    """A job that was cancelled is done if the provider charged an image, which is not bought again."""
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    charges = witness.charges()
    assert place.rows("select state from jobs") == [{"state": "done" if charges else "cancelled"}]
    assert len(place.images()) == len(charges) <= 1
    check_files(place)
    if charges:
        place.do("retry", batch, "--status", "cancelled", "--yes", **ENV)
        check_once(place, witness)


@pytest.mark.parametrize("point", [name for name in POINTS if name not in {"sent", "settled"}])
def test_image_that_a_killed_run_has_of_a_job_that_is_cancelled_then_is_kept(place, witness, point):
    batch = manifest(place)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -signal.SIGKILL
    assert place.do("cancel", "--id", "a").code == 0
    check_image_kept(place, witness, batch)


def test_job_that_is_cancelled_in_a_running_run_is_cancelled_at_the_provider_at_once(place, witness):
    batch = manifest(place, job("a", sandbox="task-slow=60"), job("b", sandbox="task-slow=5"), patience=100)
    running = place.go("run", batch, "--yes", **ENV)
    wait_for(lambda: len(tasks(witness)) == 2 and all(handles(place)), running)
    cancelled = place.do("cancel", "--id", "a")
    assert cancelled.code == 0, cancelled.err
    assert "1 cancelled job still at the provider: the run asks it to cancel them" in cancelled.err
    assert "in flight" not in cancelled.err
    done = running.wait(40)
    assert done.code == 0, done.err
    [handle] = place.rows("select handle from attempts join jobs on jobs.id = job_id where key = 'a'")
    asked = [line["task"] for line in read_log(witness.log) if line["event"] == "cancel"]
    assert asked.count(json.loads(handle["handle"])["id"]) == 1
    assert {row["key"]: row["state"] for row in place.rows("select key, state from jobs")} == {
        "a": "cancelled",
        "b": "done",
    }
    assert place.rows("select id from attempts where state = 'open'") == []
    assert len(witness.charges()) == 1
    assert sorted(row["charged"] for row in place.ledger().values()) == ["no", "yes"]


def test_jobs_are_submitted_while_earlier_tasks_are_polled(place, witness):
    slow = [job(f"slow-{n}", sandbox="task-slow=3") for n in range(2)]
    batch = manifest(place, *slow, patience=0.2)
    assert place.do("run", batch, "--yes", **ENV).code == 9
    batch = manifest(place, *slow, *(job(f"new-{n}", sandbox="task-slow=0.1") for n in range(4)))
    done = place.do("run", batch, "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness, 6)


def test_key_goes_to_no_other_host_than_the_providers_own(place, witness):
    """fal's answer names the addresses of its polls; that of another host gets no key, and the task stays there."""
    batch = manifest(place, job(sandbox="poll-elsewhere"))
    left = place.do("run", batch, "--yes", **ENV)
    assert left.code == 9, left.err
    assert "key_hosts" in left.err
    assert list(tasks(witness).values()) == [1]


def left_behind(place: kit.Place) -> None:
    batch = manifest(place, job(sandbox="task-slow=1"), patience=0.3)
    assert place.do("run", batch, "--yes", **ENV).code == 9


def check_held(place: kit.Place, witness, batch: Path, message: str, **env: str) -> None:
    """The next run leaves the task where it is, and states why; with the settings of before it is collected."""
    held = place.do("run", batch, "--yes", **env)
    shown = [line.split("  ")[0] for line in held.err.splitlines() if message in line]
    assert (held.code, shown) == (9, ["waiting", "next"]), held.err
    assert "the next run collects it" not in held.err
    status = place.do("status").out
    [step] = [line for line in status.splitlines() if message in line]
    assert step.startswith("next      held at the provider: ")
    assert "the next run does not send it again" in status
    assert place.rows("select state from jobs") == [{"state": "running"}]
    done = place.do("run", manifest(place, job(sandbox="task-slow=1")), "--yes", **ENV)
    assert done.code == 0, done.err
    check_once(place, witness)


def test_task_is_held_while_the_key_is_missing(place, witness):
    left_behind(place)
    message = "cannot be polled without its key (FAL_KEY)"
    check_held(place, witness, manifest(place, job(sandbox="task-slow=1")), message)


def test_task_is_held_while_its_provider_is_not_in_the_manifest(place, witness):
    left_behind(place)
    other = {**job(sandbox="task-slow=1"), "provider": "openai", "quality": "low"}
    check_held(place, witness, place.batch(other), "fal is no longer in the settings", **ENV)


def test_task_is_held_while_its_provider_has_several_keys(place, witness):
    left_behind(place)
    fal = {"base_url": f"{place.url}/fal", "task": QUICK, "api_key_env": ["FAL_KEY", "SECOND_KEY"]}
    wanted = {name: value for name, value in job(sandbox="task-slow=1").items() if value is not None}
    batch = place.batch(wanted, providers={"fal": fal}, on_unknown="hold")
    check_held(place, witness, batch, "the one key that fal had is no longer", **ENV, SECOND_KEY="second-key-12345")


def test_task_is_held_while_the_address_of_its_provider_is_another(place, witness):
    left_behind(place)
    fal = {"base_url": f"{place.url.replace('127.0.0.1', 'localhost')}/fal", "task": QUICK}
    wanted = {name: value for name, value in job(sandbox="task-slow=1").items() if value is not None}
    batch = place.batch(wanted, providers={"fal": fal}, on_unknown="hold")
    check_held(place, witness, batch, "list of other hosts for the key", **ENV)


def test_task_is_held_while_its_provider_has_another_dialect(place, witness):
    left_behind(place)
    fal = {"preset": "aigate", "base_url": f"{place.url}/aigate", "api_key_env": "FAL_KEY"}
    wanted = {name: value for name, value in job(sandbox="task-slow=1").items() if value is not None}
    batch = place.batch(wanted, providers={"fal": fal}, on_unknown="hold")
    check_held(place, witness, batch, "fal is set up in another way than when its tasks were started", **ENV)
