"""Presets of remote tasks, each with the answers of its provider's own documents."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from batchgen.errors import SettingsError
from batchgen.fault import Cause, Charged
from batchgen.providers.base import DataUrl, Reply
from batchgen.providers.presets import preset_names, profile
from batchgen.providers.pricing import charge, estimate
from batchgen.providers.profile import Profile
from batchgen.providers.slot_profile import dump
from batchgen.providers.validation import check
from batchgen.task import Kind, Source

from .test_dialects import PNG, answer, request
from .test_tasks import PICTURE, Play

ADDRESS = {"base_url": "https://gw.example.com"}  # some presets have none
TASK_PRESETS = [name for name in preset_names() if profile(name, ADDRESS).dialect == "task"]
WEB = Source(url="https://shop.example/table.jpg")
FILE = Source(path="/photos/table.png", mime="image/png", size_bytes=1000)

BFL = {"id": "d5ba37dc", "polling_url": "https://api.eu2.bfl.ai/v1/get_result?id=d5ba37dc", "cost": 3.0,
       "input_mp": 0.0, "output_mp": 1.0}  # fmt: skip
BFL_READY = {"id": "d5ba37dc", "status": "Ready", "result": {"sample": "https://delivery-eu.bfl.ai/a.png", "seed": 42}}
REPLICATE = {
    "id": "xyz123", "status": "starting", "output": None, "error": None, "input": {"prompt": "p"},
    "urls": {"get": "https://api.replicate.com/v1/predictions/xyz123",
             "cancel": "https://api.replicate.com/v1/predictions/xyz123/cancel"},
}  # fmt: skip
REPLICATE_DONE = {**REPLICATE, "status": "succeeded", "output": "https://replicate.delivery/xezq/a.png"}
KIE = {"code": 200, "msg": "success", "data": {"taskId": "task_12345678"}}
KIE_POLL = "https://api.kie.ai/api/v1/jobs/recordInfo?taskId=task_12345678"


def kie(state: str, **more: Any) -> Reply:
    data = {"taskId": "task_12345678", "state": state, "resultJson": "", "failCode": "", "failMsg": "", **more}
    return answer({"code": 200, "message": "success", "data": data})


HIGGSFIELD_URL = "https://platform.higgsfield.ai/requests/d7e6c0f3"
HIGGSFIELD = {"status": "queued", "request_id": "d7e6c0f3", "status_url": f"{HIGGSFIELD_URL}/status",
              "cancel_url": f"{HIGGSFIELD_URL}/cancel"}  # fmt: skip
WAVESPEED = {"code": 200, "message": "success", "data": {
    "id": "pred_abc123", "status": "created", "outputs": [],
    "urls": {"get": "https://api.wavespeed.ai/api/v3/predictions/pred_abc123"}}}  # fmt: skip


def wavespeed(status: str, *outputs: str, error: str = "") -> Reply:
    data = {"id": "pred_abc123", "status": status, "outputs": list(outputs), "error": error}
    return answer({"code": 200, "message": "success", "data": data})


DASHSCOPE = {"output": {"task_status": "PENDING", "task_id": "0385dc79"}, "request_id": "4909100c"}


def dashscope(status: str, **more: Any) -> Reply:
    return answer({"request_id": "85eaba38", "output": {"task_id": "0385dc79", "task_status": status, **more}})


#: Provider, its submission answer, the polls, URL of the polls, URL of the image.
SUCCESSES: dict[str, tuple[Any, list[Reply], str, str]] = {
    "bfl": (BFL, [answer({"id": "d5ba37dc", "status": "Pending", "result": None}), answer(BFL_READY)],
            BFL["polling_url"], "https://delivery-eu.bfl.ai/a.png"),
    "replicate": (REPLICATE, [answer({**REPLICATE, "status": "processing"}), answer(REPLICATE_DONE)],
                  "https://api.replicate.com/v1/predictions/xyz123", "https://replicate.delivery/xezq/a.png"),
    "kie": (KIE, [kie("queuing"), kie("success", resultJson='{"resultUrls":["https://tempfile.example/a.png"]}')],
            KIE_POLL, "https://tempfile.example/a.png"),
    "higgsfield": (HIGGSFIELD, [answer({**HIGGSFIELD, "status": "in_progress"}),
                                answer({**HIGGSFIELD, "status": "completed",
                                        "images": [{"url": "https://cdn.example/a.png"}]})],
                   f"{HIGGSFIELD_URL}/status", "https://cdn.example/a.png"),
    "wavespeed": (WAVESPEED, [wavespeed("processing"), wavespeed("completed", "https://cdn.wavespeed.ai/a.png")],
                  "https://api.wavespeed.ai/api/v3/predictions/pred_abc123/result", "https://cdn.wavespeed.ai/a.png"),
    "dashscope": (DASHSCOPE, [dashscope("RUNNING"),
                              dashscope("SUCCEEDED", results=[{"url": "https://dashscope-result.aliyuncs.com/a.png"}])],
                  "https://dashscope-intl.aliyuncs.com/api/v1/tasks/0385dc79",
                  "https://dashscope-result.aliyuncs.com/a.png"),
}  # fmt: skip

#: Provider, its submission answer, the last poll: cause, charged, a word of the message.
FAILURES: dict[str, tuple[str, Any, Reply, Cause, Charged, str]] = {
    "bfl moderated": ("bfl", BFL, answer({"id": "d5ba37dc", "status": "Content Moderated", "result": None}),
                      Cause.REFUSED, Charged.NO, "refused"),
    "bfl failed": ("bfl", BFL, answer({"id": "d5ba37dc", "status": "Error", "result": None}),
                   Cause.ERROR, Charged.MAYBE, "states no reason"),
    "replicate failed": ("replicate", REPLICATE,
                         answer({**REPLICATE, "status": "failed", "error": "CUDA out of memory"}),
                         Cause.ERROR, Charged.MAYBE, "CUDA out of memory"),
    "replicate refused": ("replicate", REPLICATE,
                          answer({**REPLICATE, "status": "failed", "error": "The input was flagged (E005)"}),
                          Cause.REFUSED, Charged.MAYBE, "flagged"),
    "replicate aborted": ("replicate", REPLICATE, answer({**REPLICATE, "status": "aborted"}),
                          Cause.ERROR, Charged.MAYBE, "cancelled by the provider"),
    "kie failed": ("kie", KIE, kie("fail", failCode="500", failMsg="Internal Error"), Cause.ERROR, Charged.MAYBE,
                   "Internal Error"),
    "higgsfield failed": ("higgsfield", HIGGSFIELD, answer({**HIGGSFIELD, "status": "failed", "error": "oops"}),
                          Cause.ERROR, Charged.NO, "oops"),
    "higgsfield nsfw": ("higgsfield", HIGGSFIELD, answer({**HIGGSFIELD, "status": "nsfw"}),
                        Cause.REFUSED, Charged.NO, "refused"),
    "wavespeed failed": ("wavespeed", WAVESPEED, wavespeed("failed", error="Model timed out"),
                         Cause.ERROR, Charged.MAYBE, "Model timed out"),
    "dashscope refused": ("dashscope", DASHSCOPE,
                          dashscope("FAILED", code="DataInspectionFailed",
                                    message="Output data may contain inappropriate content."),
                          Cause.REFUSED, Charged.NO, "inappropriate"),
    "dashscope invalid": ("dashscope", DASHSCOPE,
                          dashscope("FAILED", code="InvalidParameter", message="The size is not match xxxxxx"),
                          Cause.INVALID, Charged.NO, "size is not match"),
}  # fmt: skip


def order(name: str, **fields: Any) -> Any:
    return request(name, **{"model": profile(name).default_model, "prompt": "a red apple", **fields})


@pytest.mark.parametrize("name", SUCCESSES)
def test_task_is_followed_to_its_image(name: str) -> None:
    submitted, polls, address, image = SUCCESSES[name]
    play = Play(order(name), answer(submitted), *polls, PICTURE)
    paid, *free = play.calls
    assert paid.billed
    assert [call.url for call in free] == [address, address, image]
    assert play.generation is not None
    assert play.generation.pictures[0].data == PNG
    assert profile(name).may_fetch(image)


@pytest.mark.parametrize("case", FAILURES)
def test_task_that_fails_is_classified(case: str) -> None:
    name, submitted, poll, cause, charged, words = FAILURES[case]
    play = Play(order(name), answer(submitted), poll)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged) == (cause, charged)
    assert words in play.fault.message
    assert play.fault.final is (charged is not Charged.NO)


@pytest.mark.parametrize(
    ("name", "lost"), [("bfl", {"status": "Task not found"}), ("dashscope", {"output": {"task_status": "UNKNOWN"}})]
)
def test_task_that_expired_is_unknown_and_held(name: str, lost: Any) -> None:
    play = Play(order(name), answer(SUCCESSES[name][0]), *[answer(lost)] * 50)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged, play.fault.final) == (Cause.UNKNOWN, Charged.MAYBE, True)


BODIES = {
    "bfl": (order("bfl", kind=Kind.EDIT, images=(FILE, WEB), size="1536x1024", seed=3),
            "https://api.bfl.ai/v1/flux-2-pro",
            {"prompt": "a red apple", "input_image": DataUrl(source=FILE, bare=True), "input_image_2": WEB.url,
             "width": 1536, "height": 1024, "seed": 3}),
    "replicate": (order("replicate", kind=Kind.EDIT, images=(FILE,), size="3:2", extra={"safety_filter_level": "x"}),
                  "https://api.replicate.com/v1/models/google/nano-banana-2/predictions",
                  {"input": {"prompt": "a red apple", "image_input": [DataUrl(source=FILE)], "aspect_ratio": "3:2",
                             "safety_filter_level": "x"}}),
    "kie": (order("kie", kind=Kind.EDIT, images=(WEB,), model="seedream-4.5"),
            "https://api.kie.ai/api/v1/jobs/createTask",
            {"model": "seedream/4.5-edit", "input": {"prompt": "a red apple", "image_urls": [WEB.url],
                                                     "aspect_ratio": "1:1", "quality": "basic"}}),
    "higgsfield": (order("higgsfield", size="1920x1080"), "https://api.higgsfield.ai/higgsfield-ai/soul/v2/standard",
                   {"prompt": "a red apple", "aspect_ratio": "16:9"}),
    "wavespeed": (order("wavespeed", model="seedream-4.5", size="2048x2048"),
                  "https://api.wavespeed.ai/api/v3/bytedance/seedream-v4.5",
                  {"prompt": "a red apple", "size": "2048*2048"}),
    "dashscope": (order("dashscope", size="1280x1280", extra={"watermark": False}),
                  "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/text2image/image-synthesis",
                  {"model": "wan2.5-t2i-preview", "input": {"prompt": "a red apple"},
                   "parameters": {"size": "1280*1280", "n": 1, "watermark": False}}),
    "dashscope edit": (order("dashscope", kind=Kind.EDIT, images=(FILE,)),
                       "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/image2image/image-synthesis",
                       {"model": "wan2.5-i2i-preview", "parameters": {"n": 1},
                        "input": {"prompt": "a red apple", "images": [DataUrl(source=FILE)]}}),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_submission_is_as_documented(case: str) -> None:
    wanted, url, body = BODIES[case]
    assert not check(wanted.task, wanted.profile)
    call = Play(wanted).calls[0]
    assert (call.url, call.json) == (url, body)


def test_headers_of_submissions() -> None:
    assert Play(order("dashscope")).calls[0].headers == {"X-DashScope-Async": "enable"}
    assert Play(order("higgsfield")).calls[0].headers == {"Idempotency-Key": "a" * 32}
    assert profile("bfl").auth.headers("k") == {"x-key": "k"}
    assert profile("fal").auth.headers("k") == {"Authorization": "Key k"}


def test_submission_refused_with_http_200_is_no_task() -> None:
    play = Play(order("kie"), answer({"code": 402, "msg": "The current credits are insufficient", "data": None}))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged) == (Cause.MONEY, Charged.NO)


def test_kie_states_errors_with_http_200() -> None:
    gone = answer({"code": 404, "msg": "Task not found", "data": None})
    busy = answer({"code": 500, "msg": "Server Error", "data": None})
    play = Play(order("kie"), answer(KIE), busy, kie("queuing"), *[gone] * 50)
    assert [handle.get("state") for handle in play.handles] == [None, "HTTP 500", None, "HTTP 404"]
    assert play.fault is not None
    assert (play.fault.cause, play.fault.final) == (Cause.UNKNOWN, True)


@pytest.mark.parametrize(
    ("name", "body", "status", "cause"),
    [
        ("fal", {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."}, 403, Cause.MONEY),
        ("fal", {"detail": "Cannot access application"}, 401, Cause.DENIED),
        ("dashscope", {"code": "Arrearage", "message": "Access denied, account in arrears"}, 400, Cause.MONEY),
        ("dashscope", {"code": "DataInspectionFailed", "message": "Input may be inappropriate"}, 400, Cause.REFUSED),
        ("dashscope", {"code": "InvalidParameter", "message": "size is invalid"}, 400, Cause.INVALID),
        ("bfl", {"detail": "Insufficient credits"}, 402, Cause.MONEY),
        ("replicate", {"title": "Unauthenticated", "detail": "No token", "status": 401}, 401, Cause.DENIED),
    ],
)
def test_refused_submission_is_classified(name: str, body: Any, status: int, cause: Cause) -> None:
    play = Play(order(name), answer(body, status))
    assert play.fault is not None
    assert (play.fault.cause, play.fault.charged) == (cause, Charged.NO)


def test_prompt_in_an_error_is_not_evidence() -> None:
    wanted = order("replicate", prompt="a safety helmet, nsfw humour aside")
    failed = answer({**REPLICATE, "status": "failed", "error": "Could not draw 'a safety helmet, nsfw humour aside'"})
    play = Play(wanted, answer(REPLICATE), failed)
    assert play.fault is not None
    assert play.fault.cause is Cause.ERROR


def test_kie_states_in_words_that_there_is_no_task() -> None:
    gone = answer({"code": 422, "msg": "recordInfo is null", "data": None})
    play = Play(order("kie"), answer(KIE), *[gone] * 50)
    assert play.fault is not None
    assert (play.fault.cause, play.fault.final) == (Cause.UNKNOWN, True)


def test_cost_of_the_submission_survives_in_the_handle() -> None:
    play = Play(order("bfl"), answer(BFL), answer(BFL_READY), PICTURE)
    assert play.handles[0]["cost"] == "3.0"
    assert play.generation is not None
    assert play.generation.usage.credits == 3000
    cost = charge(play.generation.usage, order("bfl").task, profile("bfl").find()[1])
    assert (cost.usd, cost.credits) == (30_000_000, 3000)


def test_local_file_is_refused_where_only_urls_are_taken() -> None:
    local, web = (order("higgsfield", kind=Kind.EDIT, model="qwen-image-3", images=(source,)) for source in (FILE, WEB))
    assert [misfit.field for misfit in check(local.task, local.profile)] == ["images"]
    assert not check(web.task, web.profile)


@pytest.mark.parametrize("name", TASK_PRESETS)
def test_rules_survive_in_a_slot(name: str) -> None:
    spoken = profile(name)
    title, model = spoken.find()
    restored = Profile.model_validate(dump(spoken, model, title))
    assert restored.task == spoken.task
    assert restored.models[title] == model


def test_price_by_the_megapixel() -> None:
    cases = [(None, 0, (30, 30, 75)), ("1024x1024", 0, (30, 30, 30)), ("2048x1024", 0, (45, 45, 45)),
             ("1024x1024", 2, (60, 60, 150))]  # fmt: skip
    for size, sources, (low, expected, high) in cases:
        wanted = order("bfl", size=size, images=(FILE,) * sources)
        figures = estimate(wanted.task, wanted.model)
        assert [figures.low.usd, figures.expected.usd, figures.high.usd] == [
            part * 1_000_000 for part in (low, expected, high)
        ]


def test_own_price_replaces_the_price_by_area() -> None:
    model = profile("bfl", {"tariff": {"usd_per_image": 0.02}}).find()[1]
    assert estimate(order("bfl", size="2048x2048").task, model).high.usd == 20_000_000


FLUX_DEV = {
    "wire": "fal-ai/flux/dev",
    "generate": {
        "template": {"prompt": "{prompt}", "image_size": {"width": "{width}", "height": "{height}"}},
        "size": {"mode": "free", "allowed": []},
    },
}


def test_model_of_the_user_has_a_body_of_its_own() -> None:
    wanted = request("fal", {"models": {"flux-dev": FLUX_DEV}}, model="flux-dev", prompt="a red apple", size="1024x768")
    call = Play(wanted).calls[0]
    assert call.url == "https://queue.fal.run/fal-ai/flux/dev"
    assert call.json == {"prompt": "a red apple", "image_size": {"width": 1024, "height": 768}}


OWN = {
    "dialect": "task",
    "base_url": "https://api.studio.example",
    "paths": {"run": "/v1/tasks"},
    "task": {
        "submit": {"body": {"model": "{model}", "prompt": "{prompt}"}},
        "handle": {"id": "id", "status": "/v1/tasks/{id}"},
        "poll": {"state": "state"},
        "states": {"done": ["DONE"]},
        "result": {"images": "image"},
    },
    "models": {"brush": {"generate": {"path": "run"}}},
}


def test_provider_of_the_user_needs_no_preset() -> None:
    spoken = profile("studio", OWN)
    assert (spoken.default_model, list(spoken.models)) == ("brush", ["brush"])
    assert spoken.api_key_env == ("STUDIO_API_KEY",)
    data_url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    play = Play(
        request("studio", OWN, model="brush", prompt="a red apple"),
        answer({"id": "a/b"}), answer({"state": "done", "image": data_url}),
    )  # fmt: skip
    assert play.calls[0].json == {"model": "brush", "prompt": "a red apple"}
    assert play.calls[1].url == "https://api.studio.example/v1/tasks/a%2Fb"
    assert play.generation is not None
    assert play.generation.pictures[0].data == PNG


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"task": None}, "needs the setting task"),
        ({"task": {**OWN["task"], "submit": {}}}, "has no body"),
        ({"models": None}, "models is missing"),
    ],
)
def test_provider_without_a_needed_part_is_refused(part: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        profile("studio", {**OWN, **part})
