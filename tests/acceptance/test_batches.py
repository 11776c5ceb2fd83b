"""Batches of a provider, end to end: submitted, collected, resumed, with the provider's log as the witness."""

from __future__ import annotations

import csv
import json
import signal
import urllib.request
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from PIL import Image

from batchgen.sandbox.log import read_log

from .kit import CANARY, check_books, check_files, finish, wait_for
from .test_notify import Hook

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}


def nightly(project, *prompts, modes=("batch",), jobs=(), **batch):
    """Return a manifest whose jobs are bought in batches; each prompt is a job."""
    made = [{"id": f"j{number}", **LOW, "prompt": f"Cat {number}{prompt}"} for number, prompt in enumerate(prompts)]
    settings = {"modes": list(modes), "batch": {"listing_grace": 0.5, **batch}}
    return project.manifest([*made, *jobs], providers={"openai": settings})


def events(witness, *kinds):
    """Return what the provider logged since; work on a batch belongs to no request."""
    return [line for line in read_log(witness.log)[witness._seen :] if line["event"] in kinds]


def steer(sandbox, **order):
    request = urllib.request.Request(f"{sandbox.url}/_sandbox/batches", json.dumps(order).encode())
    urllib.request.urlopen(request).close()


@pytest.fixture
def held(sandbox):
    """Batches stay where they are until they are released."""
    steer(sandbox, hold=True)
    yield lambda **order: steer(sandbox, **order)
    steer(sandbox, hold=False, release=True)


def states(project):
    return {key: job["state"] for key, job in project.jobs().items()}


def submissions(project):
    return project.rows("select * from submissions order by created_at")


def check(project, witness, *, batches=1):
    """Assert that nothing was bought twice, and that all of it is booked and delivered."""
    charges = events(witness, "charge")
    assert len(events(witness, "batch")) == batches
    check_books(project, charges)
    check_files(project)
    assert len({line["prompt"] for line in charges}) == len(charges)
    assert list((project.state / "submissions").glob("*")) == []


def test_run_buys_in_one_batch_at_half_the_price(project, witness):
    done = project.run("run", nightly(project, "", "", ""), "--yes")
    assert done.code == 0, done.err
    check(project, witness)
    assert set(states(project).values()) == {"done"}
    [row] = submissions(project)
    assert (row["state"], row["provider"], row["endpoint"], row["model"]) == (
        "collected",
        "openai",
        "generate",
        "gpt-image-2",
    )
    assert {attempt["mode"] for job in project.jobs().values() for attempt in job["attempts"]} == {"batch"}
    paid = sum(Decimal(line["usd"]) for line in events(witness, "charge"))
    assert Decimal(project.run("usage", "--json").json["totals"]["usd"]) == paid
    assert project.run("run", project.folder / "m.yaml", "--yes").code == 0
    check(project, witness)


def test_no_wait_leaves_a_batch_that_the_next_run_collects(project, witness, held):
    path = nightly(project, "", "")
    left = project.run("run", path, "--yes", "--no-wait")
    assert left.code == 9, left.err
    assert "0 of 2 jobs done, 2 at the provider" in left.err
    assert "nothing to send" not in left.err
    assert states(project) == {"j0": "running", "j1": "running"}
    [submission] = submissions(project)
    assert f"at the provider: batch {submission['remote_id']}, ends by" in project.run("show", "j0").out
    assert project.run("collect", path).code == 9
    assert project.run("status", "--json").json["at_provider"] == 2
    assert "2 jobs: 2 at the provider" in project.run("status").out
    assert project.run("show", "j0").out.startswith("j0: at the provider\n")
    assert "cost      nothing is booked; $0.0" in project.run("show", "j0").out
    assert "running" not in project.run("list").out
    assert project.run("list", "--status", "running", "--json").json == project.run("list", "--json").json
    document = project.run("show", "j0", "--json").json
    assert (document["state"], document["at_provider"], document["mode"]) == ("running", True, "batch")
    assert document["attempt_log"][0]["submission"] == submission["id"]
    page = project.run("report", "-o", "page", "--json").json["page"]
    assert "2 jobs are at the provider: the next run collects them" in (project.folder / page).read_text()
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    assert events(witness, "delete") == []
    collected = project.run("collect", path)
    assert collected.code == 0, collected.err
    check(project, witness)
    rows = list(csv.DictReader(project.run("export", "--format", "csv").out.splitlines()))
    assert [(row["state"], row["mode"]) for row in rows] == [("done", "batch")] * 2
    [by_mode] = project.run("usage", "--by", "mode", "--json").json["by"]
    assert (by_mode["mode"], by_mode["images"]) == ("batch", 2)
    assert [line["file"] for line in events(witness, "delete")] == [submission["input_file"]]


def test_file_of_requests_that_cannot_be_deleted_is_no_error(project, sandbox, witness, held):
    path = nightly(project, "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 1)
    address = f"{sandbox.url}/openai/v1/files/{submissions(project)[0]['input_file']}"
    login = {"Authorization": f"Bearer {CANARY}"}
    urllib.request.urlopen(urllib.request.Request(address, headers=login, method="DELETE")).close()
    collected = project.run("collect", path)
    assert (collected.code, "delete" in collected.err) == (0, False), collected.err
    check(project, witness)
    assert len(events(witness, "delete")) == 1


def test_interrupted_run_leaves_its_batch_at_the_provider(project, witness, held):
    path = nightly(project, "", "")
    run = project.start("run", path, "--yes")
    wait_for(lambda: events(witness, "batch"), run)
    wait_for(lambda: [row["remote_id"] for row in submissions(project)] != [None], run)
    run.send_signal(signal.SIGINT)
    assert finish(run).code == 130
    held(release=True)
    assert project.run("run", path, "--yes").code == 0
    check(project, witness)


def test_batch_whose_creation_has_no_answer_is_adopted_and_not_created_again(project, witness):
    done = project.run("run", nightly(project, " [sandbox: batch-drop]", ""), "--yes")
    assert done.code == 0, done.err
    check(project, witness)


def test_expired_part_of_a_batch_is_free_and_bought_in_the_next_one(project, witness):
    done = project.run("run", nightly(project, " [sandbox: batch-expire=1]", "", ""), "--yes")
    assert done.code == 0, done.err
    # The request with the directive may be among those of a later batch, which then expires as well.
    made = len(events(witness, "batch"))
    assert 2 <= made <= 3
    assert len(events(witness, "charge")) == 3
    check(project, witness, batches=made)
    ends = Counter(attempt["cause"] for job in project.jobs().values() for attempt in job["attempts"])
    assert ends == {None: 3, "unreached": made}
    assert {job["tries"] for job in project.jobs().values()} == {1}


def test_request_that_fails_validation_fails_alone(project, witness):
    done = project.run("run", nightly(project, "", " [sandbox: batch-invalid]", ""), "--yes")
    assert done.code == 3, done.err
    assert states(project) == {"j0": "done", "j1": "failed", "j2": "done"}
    assert project.jobs()["j1"]["cause"] == "invalid"
    assert len(events(witness, "charge")) == 2


def test_refused_request_fails_and_the_others_are_delivered(project, witness):
    done = project.run("run", nightly(project, "", " [sandbox: refuse]", ""), "--yes")
    assert done.code == 3, done.err
    assert states(project) == {"j0": "done", "j1": "failed", "j2": "done"}
    assert project.jobs()["j1"]["cause"] == "refused"


def test_rows_in_another_order_and_downloads_that_fail_lose_nothing(project, witness):
    path = nightly(project, " [sandbox: batch-shuffle]", " [sandbox: batch-503=1]", " [sandbox: batch-cut=1]", "")
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    check(project, witness)


def test_requests_are_cut_into_files_by_the_settings(project, witness):
    done = project.run("run", nightly(project, "", "", "", "", "", max_jobs=2), "--yes")
    assert done.code == 0, done.err
    check(project, witness, batches=3)


def test_budget_holds_at_the_price_of_batches(project, witness):
    path = nightly(project, "", "", "", "")
    highest = Decimal(project.run("plan", path, "--json").json["usd"]["high"]) / 4
    done = project.run("run", path, "--budget", f"{highest * Decimal('1.1'):.6f}")
    assert done.code == 7, done.err
    assert 1 <= len(events(witness, "charge")) <= 4
    budget = highest * Decimal("1.1")
    assert sum(Decimal(line["usd"]) for line in events(witness, "charge")) <= budget
    check_books(project, events(witness, "charge"))


def test_image_of_a_cancelled_job_of_a_batch_is_kept_and_not_bought_again(project, witness, held):
    path = nightly(project, "", "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    asked = project.run("cancel", "--id", "j0")
    assert "it may carry them out, which is paid for; an image that arrives completes its job" in asked.err
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    collected = project.run("run", path, "--yes")
    assert collected.code == 0, collected.err
    assert states(project) == {"j0": "done", "j1": "done"}
    assert "output/shop/j0.png" in project.run("show", "j0").out
    assert project.run("verify").code == 0
    assert "j0.png" in project.run("export", "--format", "csv").out
    project.run("retry", path, "--status", "cancelled", "--id", "j0", "--yes")
    check(project, witness)


def test_images_of_cancelled_jobs_that_were_made_again_or_are_several_are_kept(project, witness, held):
    pair = {"id": "pair", **LOW, "prompt": "Pair", "n": 2, "per_request": 2}
    path = nightly(project, "", jobs=[pair])
    held(hold=False)
    assert project.run("run", path, "--yes").code == 0
    first = project.jobs()
    held(hold=True)
    assert project.run("redo", path, "--id", "*", "--yes", "--no-wait").code == 9
    assert project.run("cancel", "--all").code == 0
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 4)
    assert project.run("run", path, "--yes").code == 0
    after = project.jobs()
    assert states(project) == {"j0": "done", "pair": "done"}
    assert all(after[key]["attempts"][:1] == first[key]["attempts"] for key in first)
    charges = events(witness, "charge")
    assert set(Counter(line["prompt"] for line in charges).values()) == {2}
    check_books(project, charges)
    check_files(project)
    assert len(events(witness, "batch")) == 2


def test_cancelled_job_that_a_batch_did_not_carry_out_stays_cancelled(project, witness, held):
    path = nightly(project, "", " [sandbox: batch-pause=1]")
    held(hold=False)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    wait_for(lambda: events(witness, "batch-row"))
    assert project.run("cancel", "--all").code == 0
    [shown] = project.run("status", "--json").json["submissions"]
    assert project.run("cancel", "--submission", shown["id"]).code == 0
    wait_for(lambda: project.run("collect", path).code != 9)
    assert Counter(states(project).values()) == {"done": 1, "cancelled": 1}
    assert project.run("run", path, "--yes").code == 0
    assert len(events(witness, "charge")) == len(events(witness, "batch")) == 1


def test_options_of_collect_and_no_wait(project, witness, held):
    path = nightly(project, "", modes=("batch",))
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    assert project.run("resume", path, "--yes", "--no-wait").code == 9
    hook = Hook()
    try:
        words = ("--on-finish", "cat > end.json", "--notify", hook.url, "--metrics-file", "m.prom")
        left = project.run("collect", path, *words, "--log-file", "own.log", "--log-format", "text", "--quiet")
    finally:
        hook.close()
    assert (left.code, left.out) == (9, "")
    assert json.loads((project.folder / "end.json").read_text())["at_provider"] == 1
    assert [json.loads(body)["summary"]["exit_code"] for _, body in hook.seen] == [9]
    assert (project.folder / "m.prom").exists()
    assert "ended" in (project.folder / "own.log").read_text()
    held(release=True)
    wait_for(lambda: events(witness, "batch-row"))
    assert project.run("collect", path, "--json").json["jobs"]["done"] == 1
    held(hold=True)
    assert project.run("redo", path, "--id", "j0", "--yes", "--no-wait").code == 9
    held(release=True)
    assert project.run("retry", path, "--cause", "error", "--yes", "--no-wait").code in (0, 9)
    assert project.run("run", path, "--yes").code == 0
    assert len(events(witness, "batch")) == 2


def test_collect_in_the_sandbox_of_a_run(project):
    path = nightly(project, "")
    assert project.run("run", path, "--sandbox", "--latency", "none").code == 0
    assert project.run("collect", path, "--sandbox").code == 0


def test_batch_in_the_sandbox_of_a_run_is_cancelled_there(project):
    path = nightly(project, "", " [sandbox: batch-pause=1]")
    assert project.run("run", path, "--sandbox", "--latency", "none", "--no-wait").code == 9
    [shown] = project.run("status", "--sandbox", "--json").json["submissions"]
    # The manifest's own address is that of another server: it must get neither the request nor a key.
    done = project.run("cancel", "--submission", shown["remote_id"], "--sandbox", OPENAI_API_KEY="")
    assert done.code == 0, done.err
    wait_for(lambda: project.run("collect", path, "--sandbox").code != 9)
    # Which of them comes first in the file is chance.
    listed = project.run("list", "--sandbox", "--json").json
    assert Counter(job["state"] for job in listed) == {"done": 1, "pending": 1}


def test_batch_that_is_cancelled_at_its_provider_frees_what_was_not_carried_out(project, witness, held):
    path = nightly(project, "", " [sandbox: batch-pause=1]", "")
    held(hold=False)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    wait_for(lambda: events(witness, "batch-row"))
    [shown] = project.run("status", "--json").json["submissions"]
    assert (shown["state"], shown["jobs"], shown["provider"]) == ("submitted", 3, "openai")
    assert shown["remote_id"] in project.run("status").out
    assert project.run("cancel", "--submission", "none").code == 10
    assert project.run("cancel", "--submission", shown["remote_id"], "--id", "j0").code == 2
    asked = project.run("cancel", "--submission", shown["remote_id"][:12])
    assert asked.code == 0, asked.err
    assert "the others are pending again: the next run buys them" in asked.err
    assert "batchgen collect m.yaml    collects what is done, and buys nothing" in asked.err
    assert "batchgen cancel --status running    so that no job in flight is bought again" in asked.err
    status = project.run("status").out
    assert "cancellation requested: what is carried out by then is collected" in status
    assert "batchgen collect m.yaml    collects what is done, and buys nothing" in status
    waiting = next(key for key, state in states(project).items() if state == "running")
    assert "its cancellation was requested" in project.run("show", waiting).out
    assert len(events(witness, "batch-cancel")) == 1
    wait_for(lambda: "exit code 0: nothing is at the provider; 2 pending" in project.run("collect", path).err)
    assert Counter(states(project).values()) == {"done": 1, "pending": 2}
    assert len(events(witness, "charge")) == 1
    check(project, witness)
    assert project.run("cancel", "--submission", shown["id"]).code == 10


def test_row_that_is_in_no_file_is_unknown_and_held(project, witness):
    path = nightly(project, "", " [sandbox: row-lost]")
    done = project.run("run", path, "--yes")
    assert done.code == 3, done.err
    assert states(project) == {"j0": "done", "j1": "unknown"}
    charges = events(witness, "charge")
    assert len(charges) == 2
    check_books(project, charges)
    assert project.run("run", path, "--yes").code == 3
    assert len(events(witness, "batch")) == 1


def test_row_that_comes_twice_is_delivered_and_booked_once(project, witness):
    done = project.run("run", nightly(project, " [sandbox: row-twice]", ""), "--yes")
    assert done.code == 0, done.err
    check(project, witness)


def test_batch_that_its_provider_forgets_is_unknown_only_minutes_later(project, witness, held):
    path = nightly(project, " [sandbox: batch-forget]", "", listing_grace=1)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    assert project.run("collect", path).code == 9
    assert "does not know" in project.run("status").out
    done = project.run("run", path, "--yes")
    assert "lost " in done.err
    assert done.code == 3, done.err
    assert set(states(project).values()) == {"unknown"}
    check_books(project, events(witness, "charge"))
    assert len(events(witness, "batch")) == 1


def test_edits_upload_their_source_once_and_are_delivered(project, witness):
    Image.new("RGB", (512, 512), "teal").save(project.folder / "a.png")
    edits = [{"id": f"e{number}", **LOW, "images": ["a.png"], "prompt": f"Edit {number}"} for number in range(3)]
    done = project.run("run", nightly(project, jobs=edits), "--yes")
    assert done.code == 0, done.err
    check(project, witness)
    assert Counter(line["purpose"] for line in events(witness, "file")) == {"batch": 1, "vision": 1}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_at_its_time_a_batch_is_cancelled_and_the_rest_is_sent_at_once(project, witness):
    soon = datetime.now().astimezone() + timedelta(seconds=85)
    modes = [{"batch": f"until {soon:%H:%M}"}, "standard"]
    path = nightly(project, "", " [sandbox: batch-pause=1]", "", modes=modes)
    done = project.run("run", path, "--yes", seconds=150)
    assert done.code == 0, done.err
    assert set(states(project).values()) == {"done"}
    charges = events(witness, "charge")
    assert len({line["prompt"] for line in charges}) == len(charges) == 3
    check_books(project, charges)
    found = Counter(a["mode"] for job in project.jobs().values() for a in job["attempts"] if a["cause"] is None)
    assert found == {"batch": 1, None: 2}
    assert len(events(witness, "batch-cancel")) >= 1


def test_plan_of_batches_is_done_within_a_day_at_half_the_price(project):
    path = nightly(project, "", "")
    planned = project.run("plan", path)
    assert "time      within a day: the requests go in batches" in planned.out
    half = Decimal(project.run("plan", path, "--json").json["usd"]["expected"])
    standard = project.manifest(
        [{"id": "a", **LOW, "prompt": "Cat 0"}, {"id": "b", **LOW, "prompt": "Cat 1"}], "s.yaml"
    )
    assert Decimal(project.run("plan", standard, "--json").json["usd"]["expected"]) == 2 * half


@pytest.mark.parametrize("change", ["key", "base_url", "provider"])
def test_batch_whose_key_or_address_is_gone_stays_at_its_provider(project, witness, held, change):
    project.env |= {"FIRST_KEY": CANARY, "SECOND_KEY": f"{CANARY[:-4]}1111"}
    path = nightly(project, "", "", listing_grace=0.1)
    text = path.read_text().replace("    modes:", "    api_key_env: [FIRST_KEY, SECOND_KEY]\n    modes:")
    path.write_text(text)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    other = {
        "key": text.replace("FIRST_KEY, ", ""),
        "base_url": text.replace("/openai\n", "/openai/\n").replace("127.0.0.1", "localhost"),
        "provider": text.replace("provider: openai", "provider: aigate").replace(
            "openai:", "elsewhere:\n    preset: openai"
        ),
    }[change]
    path.write_text(other)
    for _ in range(2):
        left = project.run("collect", path)
        assert left.code == 9, left.err
        assert "waiting " in left.err
        assert set(states(project).values()) == {"running"}
    path.write_text(text)
    assert project.run("collect", path).code == 0
    check(project, witness)
