"""The dialect of remote tasks, played with the examples of the providers' own documents."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from batchgen import redaction
from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers.base import Call, DataUrl, Generation, Remember, Reply, Wait
from batchgen.providers.task import LOST_ANSWERS, RemoteTask
from batchgen.task import Kind, Source

from .test_dialects import PNG, answer, request

FAL_ID = "80e732af-660e-45cd-bd63-580e4f2a94cc"
FAL_URL = f"https://queue.fal.run/fal-ai/nano-banana-2/requests/{FAL_ID}"
FAL_SUBMITTED = {
    "status": "IN_QUEUE",
    "request_id": FAL_ID,
    "response_url": FAL_URL,
    "status_url": f"{FAL_URL}/status",
    "cancel_url": f"{FAL_URL}/cancel",
    "queue_position": 0,
}
FAL_RESULT = {"images": [{"url": "https://v3.fal.media/files/a.png", "content_type": "image/png"}], "description": ""}
PICTURE = Reply(status=200, body=PNG, headers={"content-type": "image/png"})


class Play:
    """A conversation with its steps, answered from a list."""

    def __init__(self, order: Any, *replies: Reply) -> None:
        self.steps: list[Any] = []
        self.fault: Fault | None = None
        self.usage: Any = None
        self.generation: Generation | None = None
        waiting = list(replies)
        conversation = RemoteTask().converse(order)
        try:
            step = next(conversation)
            while True:
                self.steps.append(step)
                if isinstance(step, Call) and not waiting:
                    return
                step = conversation.send(waiting.pop(0) if isinstance(step, Call) else None)
        except StopIteration as end:
            self.generation = end.value
        except ProviderError as error:
            self.fault, self.usage = error.fault, error.usage

    @property
    def calls(self) -> list[Call]:
        return [step for step in self.steps if isinstance(step, Call)]

    @property
    def handles(self) -> list[dict[str, Any]]:
        return [dict(step.handle) for step in self.steps if isinstance(step, Remember)]

    @property
    def waits(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Wait)]


def fal(override: dict[str, Any] | None = None, **fields: Any) -> Any:
    return request("fal", override, **{"model": "gemini-3.1-flash-image", "prompt": "a cat on the moon", **fields})


def state(word: str, status: int = 202, **more: Any) -> Reply:
    return answer({"status": word, **more}, status)


def test_task_is_submitted_remembered_polled_and_fetched() -> None:
    play = Play(
        fal(), answer(FAL_SUBMITTED), state("IN_QUEUE"), state("IN_PROGRESS"), state("COMPLETED", 200),
        answer(FAL_RESULT), PICTURE,
    )  # fmt: skip
    paid, *free = play.calls
    assert (paid.method, paid.url, paid.billed) == ("POST", "https://queue.fal.run/fal-ai/nano-banana-2", True)
    assert paid.json == {"prompt": "a cat on the moon"}
    assert paid.headers == {"x-fal-no-retry": "1"}
    assert [call.url for call in free] == [f"{FAL_URL}/status"] * 3 + [FAL_URL, "https://v3.fal.media/files/a.png"]
    assert not any(call.billed for call in free)
    assert [call.signed for call in free] == [True] * 4 + [False]
    assert isinstance(play.steps[1], Remember)
    assert play.handles == [
        {"id": FAL_ID, "status": f"{FAL_URL}/status", "result": FAL_URL, "cancel": f"{FAL_URL}/cancel"}
    ]
    assert play.waits == [2, 3, 4.5]
    assert play.generation is not None
    assert play.generation.pictures[0].data == PNG


def test_task_body_holds_what_the_job_sets() -> None:
    order = fal(
        kind=Kind.EDIT, n=2, size="1920x1080", resolution="2k", output_format="jpg", seed=7,
        images=(Source(path="/a.png", mime="image/png"), Source(url="https://x.example/b.png")),
        extra={"safety_tolerance": "2"},
    )  # fmt: skip
    call = Play(order).calls[0]
    assert call.url.endswith("/fal-ai/nano-banana-2/edit")
    assert call.json == {
        "prompt": "a cat on the moon",
        "image_urls": [DataUrl(source=order.task.images[0]), "https://x.example/b.png"],
        "num_images": 2,
        "aspect_ratio": "16:9",
        "resolution": "2K",
        "output_format": "jpeg",
        "seed": 7,
        "safety_tolerance": "2",
    }


def test_task_size_is_split() -> None:
    assert Play(fal(model="seedream-4.5", size="2048x1152")).calls[0].json == {
        "prompt": "a cat on the moon",
        "image_size": {"width": 2048, "height": 1152},
    }


def test_remembered_task_is_polled_and_not_submitted() -> None:
    handle = Play(fal(), answer(FAL_SUBMITTED)).handles[0]
    play = Play(replace(fal(), handle=handle), state("COMPLETED", 200), answer(FAL_RESULT), PICTURE)
    assert [call.billed for call in play.calls] == [False, False, False]
    assert play.handles == [handle]
    assert not play.waits
    assert play.generation is not None
    call = RemoteTask().cancellation(replace(fal(), handle=handle))
    assert call is not None
    assert (call.method, call.url, call.billed, call.signed) == ("PUT", f"{FAL_URL}/cancel", False, True)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"status": "IN_QUEUE"}', b'{"request_id": "x"}', b"<html>ok</html>"])
def test_accepted_submission_without_a_task_is_unknown_and_held(body: bytes) -> None:
    play = Play(fal(), Reply(status=200, body=body))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.UNKNOWN, Charged.MAYBE, True)
    assert not play.handles


def test_submission_that_was_cut_off_is_unknown_and_held() -> None:
    body = json.dumps(FAL_SUBMITTED).encode()[:-25]
    play = Play(fal(), Reply(status=200, body=body, broken="the connection closed"))
    assert play.fault is not None
    assert play.fault.final


def test_refused_submission_is_classified() -> None:
    play = Play(fal(), answer({"detail": "Cannot access application"}, 401))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged) == (Cause.DENIED, Charged.NO)


def test_content_policy_at_fal_may_be_charged_and_is_not_bought_again() -> None:
    detail = [{
        "loc": ["body", "prompt"], "msg": "The content was flagged by a content checker.",
        "type": "content_policy_violation", "url": "https://docs.fal.ai/errors#content_policy_violation",
    }]  # fmt: skip
    for body in ({"detail": detail}, detail):
        play = Play(fal(), answer(FAL_SUBMITTED), state("COMPLETED", 200), answer(body, 422))
        assert play.fault is not None
        assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.REFUSED, Charged.MAYBE, True)
        assert "flagged by a content checker" in play.fault.message
        assert FAL_ID in play.fault.message


def test_failed_task_names_the_reason_in_its_state() -> None:
    failed = state("COMPLETED", 200, error="Runner disconnected", error_type="runner_disconnected")
    play = Play(fal(), answer(FAL_SUBMITTED), failed)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.code) == (Cause.ERROR, "runner_disconnected")
    assert (play.fault.charged, play.fault.final) == (Charged.NO, False)
    assert "Runner disconnected" in play.fault.message


def test_unlisted_state_is_pending_and_shown() -> None:
    play = Play(fal(), answer(FAL_SUBMITTED), state("ON_HOLD"), state("ON_HOLD"), state("IN_PROGRESS"))
    assert [handle.get("state") for handle in play.handles] == [None, "ON_HOLD", None]
    assert play.fault is None
    assert len(play.calls) == 5


def test_refused_poll_never_ends_the_task() -> None:
    play = Play(fal(), answer(FAL_SUBMITTED), *[answer({"detail": "Unauthorized"}, 401)] * 5)
    assert play.fault is None
    assert play.handles[-1]["state"] == "HTTP 401"


def test_result_is_asked_for_until_the_key_is_accepted() -> None:
    refused = answer({"detail": "Forbidden"}, 403)
    play = Play(
        fal(), answer(FAL_SUBMITTED), state("COMPLETED", 200), refused, refused, answer(FAL_RESULT), PICTURE
    )  # fmt: skip
    assert [call.url for call in play.calls[2:5]] == [FAL_URL] * 3
    assert play.handles[-1]["state"] == "HTTP 403"
    assert play.generation is not None


def test_answer_without_a_state_is_pending_and_shown() -> None:
    play = Play(fal(), answer(FAL_SUBMITTED), Reply(status=200, body=b"<html>busy</html>"), state("IN_QUEUE"))
    assert [handle.get("state") for handle in play.handles] == [None, "no state in the answer", None]


def test_handle_holds_no_key() -> None:
    key = "sk-canary-in-an-address-0123456789"
    redaction.register([key])
    for name, kept in (("status_url", False), ("cancel_url", True)):
        play = Play(fal(), answer({**FAL_SUBMITTED, name: f"https://queue.fal.run/x?key={key}"}))
        assert bool(play.handles) is kept
        assert key not in str(play.handles)
        assert kept or (play.fault is not None and play.fault.final)


@pytest.mark.parametrize("odd", ["x" * 5000, "\ud800", "a\x00b", "http://[::1"])
def test_odd_texts_are_not_stored(odd: str) -> None:
    for name in ("request_id", "status_url"):
        play = Play(fal(), answer({**FAL_SUBMITTED, name: odd}))
        if name == "status_url" or not odd.startswith("http"):
            assert play.fault is not None
            assert play.fault.final
            assert not play.handles
    play = Play(fal(), answer({**FAL_SUBMITTED, "cancel_url": odd}))
    assert "cancel" not in play.handles[0]


def test_result_at_an_address_that_is_none_is_booked_and_final() -> None:
    result = {"images": [{"url": "http://[::1"}]}
    play = Play(fal(), answer(FAL_SUBMITTED), state("COMPLETED", 200), answer(result))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.SPOILED, Charged.YES, True)


def test_lost_task_is_unknown_and_held() -> None:
    gone = answer({"detail": "not found"}, 404)
    play = Play(fal(), answer(FAL_SUBMITTED), gone, state("IN_QUEUE"), *[gone] * 100)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.UNKNOWN, Charged.MAYBE, True)
    assert play.handles[-1]["state"] == "HTTP 404"
    assert 120 <= sum(play.waits[3:]) < 150  # a provider in trouble may know no task for a while
    again = Play(fal({"task": {"poll": {"lost_after": 0}}}), answer(FAL_SUBMITTED), *[gone] * 100)
    assert again.fault is not None
    assert len(again.calls) == 1 + LOST_ANSWERS


def test_result_that_cannot_be_fetched_is_booked_and_final() -> None:
    gone = Reply(status=404, body=b"")
    play = Play(fal(), answer(FAL_SUBMITTED), state("COMPLETED", 200), answer(FAL_RESULT), gone)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.SPOILED, Charged.YES, True)


def test_finished_task_without_an_image_is_final() -> None:
    play = Play(fal(), answer(FAL_SUBMITTED), state("COMPLETED", 200), answer({"images": [], "seed": 1}))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.EMPTY, Charged.YES, True)
