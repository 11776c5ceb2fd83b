"""What is shown of a run: which columns, and what plain progress says of lanes that wait."""

from __future__ import annotations

from types import SimpleNamespace

from batchgen.cli.render.live import _stuck
from batchgen.engine.lane import Closure, Lane
from batchgen.engine.limits.gate import Gate
from batchgen.engine.retry import Policy
from batchgen.fault import Cause, Fault


def lane() -> Lane:
    return Lane(provider="openai", policy=Policy(), account_gate=Gate(clock=lambda: 0.0))


def told(one: Lane) -> list[str]:
    return list(_stuck(SimpleNamespace(runner=SimpleNamespace(lanes=[one]))))  # type: ignore[arg-type]


def test_plain_progress_says_what_the_last_column_of_the_table_does():
    works = lane()
    works.waits = "pace"
    assert told(works) == []
    throttled = lane()
    throttled.fault = Fault(cause=Cause.THROTTLED, message="slow down")
    throttled.account_gate.pause(40)
    assert told(throttled) == ["openai throttled, resumes in 40 s"]
    held = lane()
    held.paused = True
    assert told(held) == ["openai waits for you: it is paused"]
    closed = lane()
    closed.close(Closure.MONEY, Fault(cause=Cause.MONEY, message="no credit"))
    assert told(closed) == ["openai closed: no credit"]
