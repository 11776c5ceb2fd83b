"""When a run's end is news for a person, so that cron mails only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchgen.app.advice import next_steps
from batchgen.app.lane_result import LaneResult
from batchgen.app.project import CommandFlags
from batchgen.app.queries import BatchStatus, ShardStatus
from batchgen.app.run_result import RunResult
from batchgen.cli.render.result import closing
from batchgen.engine.lane import Closure
from batchgen.fault import Cause
from batchgen.store.ledger import Counts
from batchgen.store.records import Batch
from batchgen.store.runners import RunnerRecord

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def end(name: str, closed: Closure | None = None, *, left: int = 0, **facts: object) -> LaneResult:
    told = {"message": None, "cause": None} | facts
    return LaneResult(provider=name.partition("@")[0], name=name, closed=closed, left=left, **told)  # type: ignore[arg-type]


PENDING = BatchStatus(batch=None, counts=Counts(pending=5), usage=(), failures=())  # type: ignore[arg-type]


def ended(*, closed: Closure | None = None, failed_before: int = 0, **said: object) -> RunResult:
    batch = Batch(id=1, name="night", manifest="m.yaml", folder="output", created_at=NOW, updated_at=NOW)
    counts = Counts(pending=5 if closed else 0, done=3, failed=failed_before)
    lane = end("openai", closed, left=5 if closed else 0)
    body = {
        "run_id": "r", "command": "", "began": NOW, "seconds": 1.0, "images": 0, "signal": None, "drained": None,
        "sent": True, "failed": 0, "unknown": 0, "usd": 0, "budgets": (), "sandbox": False, "selected_by": "",
    }  # fmt: skip
    status = BatchStatus(batch=batch, counts=counts, usage=(), failures=())
    return RunResult(**({"status": status, "lanes": [lane]} | body | said))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "code", "news"),
    [
        pytest.param(ended(), 0, False, id="all-done"),
        pytest.param(ended(signal=2), 130, False, id="interrupted"),
        pytest.param(ended(signal=15), 143, False, id="terminated"),
        pytest.param(ended(signal=15, failed=1, failed_before=1), 143, True, id="terminated-with-failures"),
        pytest.param(ended(failed=2, failed_before=2), 3, True, id="failures"),
        pytest.param(ended(failed_before=2, previous_exit_code=3), 3, False, id="failed-before-and-told"),
        pytest.param(ended(failed_before=2, previous_exit_code=None), 3, True, id="failed-in-a-run-that-was-killed"),
        pytest.param(ended(closed=Closure.BUDGET, images=4), 7, True, id="budget"),
        pytest.param(ended(closed=Closure.BUDGET, previous_exit_code=7), 7, False, id="budget-again"),
        pytest.param(ended(closed=Closure.MONEY), 7, True, id="out-of-money"),
        pytest.param(ended(closed=Closure.DENIED, previous_exit_code=8), 5, True, id="key-revoked"),
        pytest.param(ended(closed=Closure.DENIED, previous_exit_code=5), 5, False, id="key-revoked-and-told"),
        pytest.param(ended(closed=Closure.DOWN, previous_exit_code=0), 8, False, id="one-outage"),
        pytest.param(ended(closed=Closure.DOWN, previous_exit_code=8), 8, True, id="an-outage-that-lasts"),
        pytest.param(ended(closed=Closure.DOUBT, previous_exit_code=0), 8, True, id="calls-without-answers"),
        pytest.param(ended(closed=Closure.NO_IMAGE, previous_exit_code=0), 8, True, id="paid-without-images"),
        pytest.param(
            ended(lanes=[end("openai", Closure.DOWN, left=5, final=True)], status=PENDING),
            8,
            True,
            id="a-certificate-that-does-not-verify",
        ),
        pytest.param(
            ended(lanes=[end("openai", denied={"m": "no"}, denied_left=2)], status=PENDING),
            5,
            True,
            id="a-model-denied",
        ),
    ],
)
def test_news(run, code, news):
    assert run.exit_code == code
    assert run.needs_attention is news


@pytest.mark.parametrize(
    ("lanes", "drained", "code"),
    [
        ((end("openai@A", Closure.MONEY, left=3), end("openai@B", left=3)), "--max-time", 8),
        ((end("openai@A", Closure.MONEY, left=3), end("openai@B", Closure.DENIED, left=3)), None, 7),
        ((end("openai", Closure.DENIED, left=3), end("aigate")), None, 5),
        ((end("openai", Closure.DENIED), end("aigate", left=3)), "--max-time", 8),
        ((end("openai", left=3),), None, 8),
        ((end("openai", denied={"m": "no"}), end("aigate", left=3)), "--max-time", 8),
        ((end("openai@A", denied={"m": "no"}, left=3, denied_left=3), end("openai@B", Closure.MONEY, left=3)), None, 7),
        ((end("openai", Closure.NO_IMAGE, left=1), end("aigate", Closure.DENIED, left=2)), None, 5),
    ],
    ids=["another key works", "no key works", "the only lane", "others did its work", "nobody takes them",
         "others did the model's work", "the other key cannot pay", "the gravest counts"],
)  # fmt: skip
def test_a_provider_is_closed_where_all_its_lanes_are(lanes, drained, code):
    standing = BatchStatus(batch=None, counts=Counts(pending=3), usage=(), failures=())  # type: ignore[arg-type]
    assert ended(lanes=lanes, drained=drained, status=standing).exit_code == code


@pytest.mark.parametrize(
    ("lane", "line"),
    [
        (end("openai", Closure.NO_IMAGE, left=36, cause=Cause.EMPTY,
             message="4 answers in a row, to 4 jobs, brought no image; the last: only text"),
         "stopped   openai: 4 answers in a row, to 4 jobs, brought no image; the last: only text (36 pending)"),
        (end("openai", Closure.NO_IMAGE, message="4 answers in a row"), "stopped   openai: 4 answers in a row"),
        (end("openai", Closure.DENIED, left=2, cause=Cause.REFUSED, message="3 in a row"),
         "stopped   openai: refused several different jobs in a row without processing them: 3 in a row (2 pending)"),
        (end("openai", Closure.DOWN, left=2, cause=Cause.THROTTLED, message="slow down"),
         "stopped   openai: answered every call with 429 for as long as retry.patience allows: slow down (2 pending)"),
        (end("openai", Closure.DOWN, left=2, cause=Cause.UNREACHED, final=True, message="certificate verify failed"),
         "stopped   openai: unreachable: certificate verify failed (2 pending)"),
        (end("openai@B", denied={"big": "no access"}, denied_left=7),
         "stopped   openai@B: model big is denied to this account: no access (7 pending)"),
        (end("openai", denied={"big": "no"}), "stopped   openai: model big is denied to this account: no"),
    ],
    ids=["no image", "no image, and others did it", "firewall", "busy", "certificate", "model", "model done elsewhere"],
)  # fmt: skip
def test_the_last_lines_say_what_stopped(lane, line):
    batch = Batch(id=1, name="night", manifest="m.yaml", folder="output", created_at=NOW, updated_at=NOW)
    status = BatchStatus(batch=batch, counts=Counts(pending=lane.left), usage=(), failures=())
    assert line in closing(ended(lanes=[lane], status=status))


def test_answer_without_an_image_is_advised_before_more_are_paid():
    run = ended(
        closed=Closure.NO_IMAGE, imageless_job="a cat", command_flags=CommandFlags(flags=" --sandbox", batch="night")
    )
    show, again = [line[10:] for line in closing(run) if "batchgen " in line and not line.startswith("files")]
    assert show.startswith("batchgen show --sandbox --batch night 'a cat'    shows an answer without an image")
    assert again.startswith("batchgen run m.yaml --sandbox ")


def test_jobs_of_several_denied_models_are_counted_once():
    lane = end("openai", denied={"big": "no", "old": "gone"}, denied_left=7)
    denied = [line for line in closing(ended(lanes=[lane])) if "is denied" in line]
    assert denied == [
        "stopped   openai: model big is denied to this account: no",
        "stopped   openai: model old is denied to this account: gone (7 pending in all)",
    ]


def runner(shard: str, *, silent: bool = False) -> RunnerRecord:
    times = dict.fromkeys(("started_at", "heartbeat_at", "lease_until"), NOW)
    return RunnerRecord(
        id=shard, batch_id=1, batch="night", shard=shard, host="web2", pid=7, silent=silent, age=1.0, **times
    )


@pytest.mark.parametrize(
    ("left", "runners", "steps"),
    [
        (
            2, (),
            [
                ("batchgen run m.yaml --shard 1/2", "resumes the 2 pending jobs of shard 1/2"),
                (None, "shard 1/2 is not done yet; the 3 remaining jobs belong to other shards"),
            ],
        ),
        (0, (), [(None, "shard 1/2 is done; the 5 remaining jobs belong to other shards")]),
        (
            0, (runner("2/2"),),
            [(None, "shard 1/2 is done; other runs are making the 5 remaining jobs (shard 2/2 on web2)")],
        ),
        (0, (runner("2/2", silent=True),), [(None, "shard 1/2 is done; the 5 remaining jobs belong to other shards")]),
        (5, (), [("batchgen run m.yaml --shard 1/2", "resumes the 5 pending jobs of shard 1/2")]),
    ],
)  # fmt: skip
def test_shard_proposes_its_own_jobs_only(left, runners, steps):
    batch = Batch(id=1, name="night", manifest="m.yaml", folder="output", created_at=NOW, updated_at=NOW)
    status = replace(PENDING, batch=batch, shard=ShardStatus(part="1/2", left=left), runners=runners)
    found = next_steps(status, CommandFlags(again=" --shard 1/2"))
    assert [(step.command, step.what) for step in found] == steps
