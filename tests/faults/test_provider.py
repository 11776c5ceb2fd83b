"""What providers answer, and what it means for money: P1 to P29."""

# ruff: noqa: N802 - a case is named as in its table

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from batchgen.app.run import RunOptions
from batchgen.app.shutdown import StopConditions
from batchgen.engine import lane
from tests.rawserver import Behaviour, Connection, answer, says
from tests.timing import patience

from . import kit
from .kit import NANO, Site, after, b64, by_path, by_prompt, document, drawing, fails, in_order, listing, shows

PICTURE = b64(drawing())
BARE = {"preset": "openrouter", "api_key_env": kit.KEY_ENV, "limits": {"concurrency": 1}}


@pytest.fixture
def site(tmp_path, monkeypatch):
    with kit.site(tmp_path, monkeypatch) as made:
        yield made


def slow_down(**headers: str) -> Behaviour:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return fails("429 Too Many Requests", headers=named, message="slow down", code="rate_limit_exceeded")


# --- throttling ---------------------------------------------------------------------------------------------------


def test_P1_retry_after_holds_every_worker_and_costs_no_try(site):
    throttled = slow_down(Retry_After="1")
    stage = site.serve(in_order(*[throttled] * 3, shows()))
    outcome = site.run_all(stage, *"abcdef", limits={"concurrency": 4}, top={"retry": {"attempts": 1}})
    assert (outcome.code, outcome.ended.status.counts.done) == (0, 6)
    times = [request.at for request in stage.posts]
    first = sum(moment < times[0] + 1 for moment in times)  # those that were in flight when the first was told to wait
    assert first <= 4
    assert len(times) == 6 + 3
    assert [job["tries"] for job in site.jobs().values()] == [1] * 6


HOUR = "Sat, 21 Nov 2026 10:00:00 GMT"
NONSENSE = [
    {"Retry_After": "Sat, 21 Nov 2026 09:00:00 GMT", "Date": HOUR},
    {"Retry_After": "Fri, 01 Jan 2099 00:00:00 GMT", "Date": HOUR},
    {"Retry_After": "Sat, 21 Nov 2026 10:00:01 GMT"},
    {"Retry_After": "Sat, 99 Foo 2026 10:00:01 GMT", "Date": HOUR},
    {"Retry_After": "-5"},
    {"Retry_After": "abc"},
    {"Retry_After": "1e9"},
    {"Retry_After": "1000000000"},
    {"Retry_After": "NaN"},
    {"Retry_After": ""},
]  # fmt: skip


def test_P2_a_wait_that_makes_no_sense_is_the_lanes_own(site):
    stage = site.serve(in_order(*(slow_down(**headers) for headers in NONSENSE), shows()))
    outcome = site.run_all(stage, "a")
    assert (outcome.code, len(stage.posts), site.job()["tries"]) == (0, len(NONSENSE) + 1, 1)
    assert outcome.seconds < patience(12)


def test_P2_a_date_is_read_in_any_zone(site):
    dates = ("Sat, 21 Nov 2026 10:00:01 GMT", "Sat, 21 Nov 2026 11:00:01 +0100")
    stage = site.serve(in_order(*(slow_down(Retry_After=date, Date=HOUR) for date in dates), shows()))
    assert site.run_all(stage, "a").code == 0
    first, second, third = (request.at for request in stage.posts)
    assert 1 <= second - first < patience(3)
    assert 1 <= third - second < patience(3)


def test_P2_a_long_wait_is_kept_and_the_run_may_end_before_it(site):
    stage = site.serve(slow_down(Retry_After="3600"))
    outcome = site.run_all(
        stage, "a", "b", terms=RunOptions(stop_conditions=StopConditions(max_time=timedelta(seconds=0.4)))
    )
    assert (outcome.code, len(stage.posts), outcome.ended.status.counts.pending) == (8, 1, 2)
    assert outcome.seconds < patience(5)


def test_P3_throttling_without_a_word_is_waited_out_longer_each_time(site):
    stage = site.serve(in_order(*[slow_down()] * 4, shows()))
    outcome = site.run_all(stage, "a", top={"retry": {"attempts": 1, "first_wait": 0.1, "max_wait": 0.4}})
    assert (outcome.code, len(stage.posts)) == (0, 1 + 4)
    times = [request.at for request in stage.posts]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    print(gaps)
    for gap, wait in zip(gaps, (0.1, 0.2, 0.4, 0.4), strict=True):
        assert gap >= wait / 2  # up to half of a wait is left to chance
    assert site.job()["tries"] == 1


# --- the account and the key --------------------------------------------------------------------------------------

BROKE = {
    "quota": fails("429 Too Many Requests", message="You exceeded your current quota", code="insufficient_quota"),
    "paid": fails("402 Payment Required"),
    "limit": fails("400 Bad Request", message="Billing hard limit has been reached", code="billing_hard_limit_reached"),
    "credits": fails("403 Forbidden", message="You've run out of credits"),
}


def test_P4_a_provider_without_money_is_closed_and_the_others_go_on(site):
    stages = {name: site.serve(behaviour) for name, behaviour in BROKE.items()}
    good = site.serve(shows())
    jobs = [{"id": f"{name}{n}", "prompt": "p", "provider": name} for name in [*BROKE, "studio"] for n in range(3)]
    outcome = site.run_all(good, *jobs, also={name: kit.studio(stage) for name, stage in stages.items()})
    assert {name: len(stage.posts) for name, stage in stages.items()} == dict.fromkeys(BROKE, 1)
    assert {outcome.lane(name).closed for name in BROKE} == {lane.Closure.MONEY}
    assert (outcome.code, outcome.ended.status.counts.done, outcome.ended.status.counts.pending) == (7, 3, 12)
    assert {row["charged"] for row in site.ledger().values() if row["provider"] != "studio"} == {"no"}


def test_P5_revoked_key_stops_the_provider_after_one_more_call(site):
    told_key = f"Incorrect API key provided: {kit.CANARY}. You can find yours in the console."
    stage = site.serve(in_order(shows(), fails("401 Unauthorized", message=told_key, code="invalid_api_key")))
    outcome = site.run_all(stage, *"abcde")
    assert (outcome.code, len(stage.posts)) == (5, 3)
    assert (outcome.ended.status.counts.done, outcome.ended.status.counts.pending) == (1, 4)
    assert kit.SECRET not in str(outcome)
    assert "Incorrect API key" in (outcome.lane().message or "")


def test_P5_a_key_that_never_worked_is_asked_once(site):
    stage = site.serve(fails("401 Unauthorized", message="no", code="invalid_api_key"))
    outcome = site.run_all(stage, *"abcde")
    assert (outcome.code, len(stage.posts), outcome.ended.status.counts.pending) == (5, 1, 5)


def test_P5_a_single_401_after_an_image_is_asked_once_more(site):
    shut = fails("401 Unauthorized", message="no", code="invalid_api_key")
    stage = site.serve(in_order(shows(), shut, shows()))
    outcome = site.run_all(stage, *"abcde")
    assert (outcome.code, len(stage.posts), outcome.ended.status.counts.done) == (0, 6, 5)
    assert outcome.lane().closed is None


@pytest.mark.parametrize("width", [1, 4])
def test_P5_a_job_that_is_shut_out_alone_fails_alone(site, width):
    shut = fails("401 Unauthorized", message="no", code="invalid_api_key")
    stage = site.serve(by_prompt(shows(), c=shut))
    outcome = site.run_all(stage, *"abcdefgh", limits={"concurrency": width})
    assert (outcome.code, outcome.ended.status.counts.done) == (3, 7)
    assert site.states()["c"] == ("failed", "denied")
    assert site.bill("c") == [("no", 0, None)] * 2


def test_P6_refused_model_closes_the_lane_for_that_model(site):
    refused = fails("403 Forbidden", message="Project does not have access to model big")
    stage = site.serve(by_prompt(shows(), big=refused))
    models = {"big": {"wire": "big"}}
    bigs = [{"id": f"big{number}", "prompt": "big", "model": "big"} for number in range(3)]
    outcome = site.run_all(stage, "a", *bigs, "c", models=models)
    assert (outcome.code, len(stage.posts), outcome.lane().closed) == (5, 3, None)
    assert {site.states()[key] for key in "ac"} == {("done", None)}
    assert {site.job(big["id"])["state"] for big in bigs} == {"pending"}
    assert site.bill("big0") == [("no", 0, None)]
    assert outcome.lane().denied == {"big": site.job("big0")["message"]}
    assert outcome.lane().denied_left == 3


# --- refusals and empty answers -----------------------------------------------------------------------------------


def chat(content: object, finish: str = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return json.dumps({"choices": [choice], **more}).encode()


def test_P7_a_refusal_is_never_sent_again(site):
    kind = "image_generation_user_error"
    policy = {"message": "rejected by the safety system", "type": kind, "code": "moderation_blocked"}
    images = {
        "code": fails("400 Bad Request", policy),
        "words": fails("400 Bad Request", message="This request violates our content policy"),
        "under 200": answer(json.dumps({"error": policy}).encode()),
    }
    talk = {
        "finish": answer(chat("", "content_filter")),
        "native": answer(chat(None).replace(b'"index"', b'"native_finish_reason": "IMAGE_SAFETY", "index"')),
        "feedback": answer(b'{"choices": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}'),
        "refusal": answer(chat(None).replace(b'"role"', b'"refusal": "I cannot draw that", "role"')),
    }
    stage, router = site.serve(by_prompt(**images)), site.serve(by_prompt(**talk))
    jobs = [{"id": name.replace(" ", "-"), "prompt": name} for name in images]
    jobs += [{"id": name, "prompt": name, "provider": "router"} for name in talk]
    outcome = site.run_all(stage, *jobs, also={"router": BARE | {"base_url": router.url}})
    assert set(site.states().values()) == {("failed", "refused")}
    assert (outcome.code, len(stage.posts), len(router.posts)) == (3, 3, 4)
    assert site.bill("code") == site.bill("words") == [("no", 0, None)]
    assert site.bill("under-200") == [("maybe", None, NANO)]  # this gateway does not say whether it bills these
    assert site.bill("finish") == [("no", 0, None)]  # this one says that it does not


NOTHING = {
    "no items": listing(),
    "null": b'{"created": 1, "data": null}',
    "missing": b'{"created": 1}',
    "empty item": listing({}),
    "nothing in it": listing(None),
}


def test_P8_answer_without_images_is_retried_three_times(site):
    stage = site.serve(by_prompt(**{name: answer(body) for name, body in NOTHING.items()}))
    jobs, also = kit.apart(stage, NOTHING)
    outcome = site.run_all(stage, *jobs, also=also)
    assert set(site.states().values()) == {("failed", "empty")}
    tries = {name: len(job["attempts"]) for name, job in site.jobs().items()}
    # an answer with no place for pictures is of a shape that is not known: it would come again
    assert tries == {name: 1 if name == "missing" else 3 for name in site.jobs()}
    assert (outcome.code, len(stage.posts)) == (3, sum(tries.values()))
    assert site.bill("missing") == [("maybe", None, NANO)]
    assert [charged for charged, *_ in site.bill("null")] == ["maybe"] * 3
    assert [usd for _, usd, _ in site.bill("null")] == [None] * 3  # nobody knows; its estimate stays at risk


def test_P8_a_provider_that_is_paid_and_sends_no_image_eats_no_batch(site):
    stage = site.serve(after(0.02, answer(listing())))
    outcome = site.run_all(stage, *(f"j{number:02}" for number in range(40)), limits={"concurrency": 4})
    assert (outcome.code, outcome.lane().closed) == (8, lane.Closure.NO_IMAGE)
    assert len(stage.posts) <= 2 + 4 + 1  # two, a full row at the third, and one to make sure
    message = outcome.lane().message or ""
    assert message.startswith(f"{len(stage.posts)} answers in a row, to {len(stage.posts)} jobs, brought no image; ")
    assert "the answer contains no image" in message
    assert outcome.ended.status.counts.pending == 40
    again = site.run_all(stage, *(f"j{number:02}" for number in range(40)), limits={"concurrency": 4})
    assert (again.code, again.lane().closed) == (8, lane.Closure.NO_IMAGE)


def test_P8_three_odd_jobs_among_good_ones_close_nothing(site):
    bad = dict.fromkeys(("c", "d", "e"), answer(listing()))
    stage = site.serve(by_prompt(shows(), **bad))
    outcome = site.run_all(stage, *"abcdefgh", top={"retry": {"attempts": 4, "first_wait": 0.3, "max_wait": 0.3}})
    assert (outcome.code, outcome.lane().closed, outcome.ended.status.counts.done) == (3, None, 5)
    assert len(stage.posts) == 5 + 3 * len(bad)


def test_P9_neither_url_nor_bytes_is_no_image_and_both_are_one(site):
    other = site.serve(answer(drawing(shade=99)))
    both = {"b64_json": PICTURE, "url": f"{other.url}/result"}
    stage = site.serve(by_prompt(neither=answer(listing({"url": None, "b64_json": None})), both=answer(listing(both))))
    outcome = site.run_all(stage, "neither", "both")
    assert site.states() == {"neither": ("failed", "empty"), "both": ("done", None)}
    assert (outcome.code, other.raw.connections) == (3, 0)
    assert [path.read_bytes() for path in site.images()] == [drawing()]


# --- images that are none, or others than were asked for ----------------------------------------------------------


def test_P10_base64_is_read_strictly_and_the_image_decides(site):
    loud = b64(drawing(size=(64, 64), shade=201))
    safe = loud.replace("+", "-").replace("/", "_")
    folded = "\n".join(loud[at : at + 76] for at in range(0, len(loud), 76))
    good = {"url alphabet": safe, "bare": safe.rstrip("="), "folded": folded}
    bad = {
        "cut": PICTURE[:-3],
        "cut at four": PICTURE[: len(PICTURE) // 8 * 4],
        "garbage": PICTURE[:40] + "*#" + PICTURE[42:],
        "padding inside": PICTURE[:40] + "==" + PICTURE[42:],
    }
    stage = site.serve(by_prompt(**{name: answer(listing({"b64_json": text})) for name, text in (good | bad).items()}))
    jobs, also = kit.apart(stage, good | bad)
    outcome = site.run_all(stage, *jobs, also=also)
    states = site.states()
    assert {states[name.replace(" ", "-")] for name in good} == {("done", None)}
    assert {states[name.replace(" ", "-")] for name in bad} == {("failed", "spoiled")}
    assert (outcome.code, len(stage.posts), len(site.images())) == (3, len(good) + 2 * len(bad), len(good))
    assert site.bill("cut") == [("yes", NANO, None)] * 2


def test_P11_in_a_data_url_the_bytes_decide(site):
    page = b64(b"<html><script>alert(1)</script></html>")
    items = {
        "odd": {"b64_json": f"data:image/PNG;charset=x;base64,{PICTURE}"},
        "link": {"url": f"data:application/octet-stream;base64,{PICTURE}"},
        "page": {"b64_json": f"data:text/html;base64,{page}"},
        "liar": {"url": f"data:image/png;base64,{page}"},
        "plain": {"url": "data:text/html,<script>alert(1)</script>"},
    }
    stage = site.serve(by_prompt(**{name: answer(listing(item)) for name, item in items.items()}))
    jobs, also = kit.apart(stage, items)
    outcome = site.run_all(stage, *jobs, also=also)
    assert {key for key, (state, _) in site.states().items() if state == "done"} == {"odd", "link"}
    assert {cause for _, cause in site.states().values()} == {None, "spoiled"}
    assert (outcome.code, sorted(path.name for path in site.images())) == (3, ["link.png", "odd.png"])


def test_P12_the_extension_follows_the_bytes(site):
    forms = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
    stage = site.serve(by_prompt(**{name: shows(drawing(form)) for name, form in forms.items()}))
    assert site.run_all(stage, *forms).code == 0
    assert {path.name for path in site.images()} == {f"{name}.{name}" for name in forms}
    mimes = {Path(row["path"]).name: row["mime"] for row in site.rows("select path, mime from artifacts")}
    assert mimes == {"png.png": "image/png", "jpg.jpg": "image/jpeg", "webp.webp": "image/webp"}


def asked(connection_body: bytes) -> int:
    return int(json.loads(connection_body).get("n", 1))


MANY = {"models": {"gpt-image-2": {"generate": {"n_max": 10}}}}


def test_P13_partial_delivery_is_kept_and_the_rest_requested(site):
    stage = site.serve(in_order(shows(*[drawing(shade=shade) for shade in (1, 2, 3)]), shows(drawing(shade=4))))
    outcome = site.run_all(stage, {"id": "a", "prompt": "a", "n": 4, "per_request": 4}, **MANY)
    assert (outcome.code, [asked(request.body) for request in stage.posts]) == (0, [4, 1])
    assert (site.job()["state"], len(site.images())) == ("done", 4)
    assert site.bill() == [("yes", 3 * NANO, None), ("yes", NANO, None)]


def test_P13_more_images_than_asked_for_are_kept(site):
    stage = site.serve(shows(*[drawing(shade=shade) for shade in range(5)]))
    outcome = site.run_all(stage, {"id": "a", "prompt": "a", "n": 4, "per_request": 4}, **MANY)
    assert (outcome.code, len(stage.posts), len(site.images())) == (0, 1, 5)
    assert len({path.read_bytes() for path in site.images()}) == 5
    assert site.bill() == [("yes", 5 * NANO, None)]


def test_P13_a_bad_image_among_good_ones_loses_none_of_them(site):
    mixed = listing({"b64_json": b64(drawing(shade=1))}, {"b64_json": "AAAA"}, {"b64_json": b64(drawing(shade=2))})
    stage = site.serve(in_order(answer(mixed), shows(drawing(shade=3))))
    outcome = site.run_all(stage, {"id": "a", "prompt": "a", "n": 3, "per_request": 3}, **MANY)
    assert (outcome.code, [asked(request.body) for request in stage.posts]) == (0, [3, 1])
    assert len({path.read_bytes() for path in site.images()}) == 3


def assert_kept_and_described(site: Site, picture: bytes, width: int, height: int) -> None:
    stage = site.serve(shows(picture))
    outcome = site.run_all(stage, {"id": "a", "prompt": "a", "size": "1024x1024"})
    assert (outcome.code, len(stage.posts)) == (0, 1)
    assert site.rows("select width, height from artifacts") == [{"width": width, "height": height}]
    (sidecar,) = (json.loads(path.read_bytes()) for path in site.files() if path.suffix == ".json")
    assert sidecar["asked"]["size"] == "1024x1024"
    assert (sidecar["file"]["width"], sidecar["file"]["height"]) == (width, height)


def test_P14_an_image_of_another_size_is_kept_and_described_as_it_is(site):
    assert_kept_and_described(site, drawing(size=(48, 32)), 48, 32)


def test_P15_a_placeholder_is_kept_and_described_as_it_is(site):
    assert_kept_and_described(site, drawing(size=(1, 1)), 1, 1)


# --- what it cost -------------------------------------------------------------------------------------------------

USAGES = {
    "missing": (None, "estimated"),
    "null": (b"null", "estimated"),
    "text": (b'{"input_tokens": "12", "output_tokens": "1767"}', "priced"),
    "whole": (b'{"input_tokens": 12.0, "output_tokens": 1767.0}', "priced"),
    "negative": (b'{"input_tokens": -12, "output_tokens": -5}', "estimated"),
    "half": (b'{"input_tokens": 1.5, "output_tokens": 2.5}', "estimated"),
    "absurd": (b'{"input_tokens": 1, "output_tokens": 1' + b"0" * 30 + b"}", "estimated"),
    "list": (b"[1, 2]", "estimated"),
    "truth": (b'{"input_tokens": true, "output_tokens": {}}', "estimated"),
    "dollars": (b'{"cost": 0.0536705}', "reported"),
    "said": (b'{"cost": "0.0536705"}', "reported"),
    "gift": (b'{"cost": -1}', "estimated"),
    "dear": (b'{"cost": 1e30}', "estimated"),
    "words": (b'{"cost": "free"}', "estimated"),
}  # fmt: skip


def test_P16_usage_is_believed_only_where_it_can_be_true(site):
    def body(usage: bytes | None) -> bytes:
        return document() if usage is None else document()[:-1] + b', "usage": ' + usage + b"}"

    stage = site.serve(by_prompt(**{name: answer(body(usage)) for name, (usage, _) in USAGES.items()}))
    settings = {"preset": "openai", "base_url": stage.url, "api_key_env": kit.KEY_ENV}
    outcome = site.carry_out(site.write(list(USAGES), {"openai": settings}))
    assert (outcome.code, len(stage.posts)) == (0, len(USAGES))
    ledger = site.ledger()
    rows = {key: ledger[job["attempts"][0]["id"]] for key, job in site.jobs().items()}
    assert {key: row["basis"] for key, row in rows.items()} == {key: basis for key, (_, basis) in USAGES.items()}
    for row in rows.values():
        assert isinstance(row["usd"], int)
        assert 0 < row["usd"] < 1_000_000_000
        assert row["charged"] == "yes"
    assert {rows[key]["usd"] for key in ("dollars", "said")} == {53_670_500}
    assert {rows[key]["usd"] for key in ("text", "whole")} == {12 * 5_000 + 1767 * 30_000}


def test_P16_nan_in_usage_is_no_price_and_the_image_is_delivered(site):
    stage = site.serve(answer(document()[:-1] + b', "usage": {"cost": NaN}}'))
    assert site.run_all(stage, "a").code == 0
    assert (site.states(), len(stage.posts)) == ({"a": ("done", None)}, 1)
    assert site.bill() == [("yes", NANO, None)]  # by the list, not by the NaN


def test_P17_without_a_price_nothing_goes_out_under_a_budget(site):
    stage = site.serve(shows())
    outcome = site.run_all(stage, "a", tariff=None, top={"budget": {"usd": 10}})
    assert (outcome.code, outcome.lane().closed, stage.raw.connections) == (7, lane.Closure.BUDGET, 0)
    outcome = site.run_all(stage, "a", tariff=None, top={"budget": {"usd": 10, "allow_unpriced": True}})
    assert (outcome.code, len(stage.posts)) == (0, 1)
    assert site.bill() == [("yes", None, None)]  # unknown, not 0
    assert {row["basis"] for row in site.ledger().values()} == {"unknown"}


def test_P18_an_error_under_200_is_an_error(site):
    def error(**fields: object) -> Behaviour:
        return answer(json.dumps({"error": fields}).encode())

    broke = site.serve(error(message="Insufficient credits", code=402))
    shut = site.serve(error(message="Invalid API key", code="invalid_api_key"))
    stage = site.serve(
        by_prompt(
            refused=error(message="no", code="content_policy_violation"),
            wrong=error(message="Invalid value: size", code="invalid_value"),
            slow=in_order(error(message="slow down", code="rate_limit_exceeded"), shows()),
            broken=in_order(error(message="oops", code="server_error"), shows()),
        )
    )
    jobs = ["refused", "wrong", "slow", "broken"]
    jobs += [{"id": name, "prompt": "p", "provider": name} for name in ("broke", "shut")]
    outcome = site.run_all(stage, *jobs, also={"broke": kit.studio(broke), "shut": kit.studio(shut)})
    states = site.states()
    assert {key: states[key] for key in ("refused", "wrong", "slow", "broken")} == {
        "refused": ("failed", "refused"),
        "wrong": ("failed", "invalid"),
        "slow": ("done", None),
        "broken": ("done", None),
    }
    assert (outcome.lane("broke").closed, outcome.lane("shut").closed) == (lane.Closure.MONEY, lane.Closure.DENIED)
    assert (outcome.code, len(stage.posts), len(broke.posts), len(shut.posts)) == (7, 6, 1, 1)
    assert site.causes("slow") == ["throttled", None]
    assert site.causes("broken") == ["error", None]


def test_P19_an_error_that_may_have_been_charged_stays_in_the_ledger(site):
    stage = site.serve(in_order(fails("500 Oops", code="server_error"), shows()))
    outcome = site.run_all(stage, "a")
    assert (outcome.code, len(stage.posts), site.causes()) == (0, 2, ["error", None])
    assert site.bill() == [("maybe", None, NANO), ("yes", NANO, None)]
    (line,) = outcome.ended.status.usage
    assert (line.at_risk, line.at_risk_usd) == (1, NANO)


@pytest.mark.parametrize("policy", ["retry", "hold"])
def test_P20_who_takes_calls_and_drops_them_is_left_alone_soon(site, policy):
    jobs = [f"j{n}" for n in range(12)]
    stage = site.serve(after(0.02, says()))
    outcome = site.run_all(stage, *jobs, on_unknown=policy, limits={"concurrency": 4})
    assert (outcome.code, outcome.lane().closed) == (8, lane.Closure.DOUBT)
    assert len(stage.posts) <= 4 + 2  # a full row, then one at a time until it is enough
    tries = [len(job["attempts"]) for job in site.jobs().values()]
    assert max(tries) <= (2 if policy == "retry" else 1)
    ledger = site.ledger().values()
    assert {(row["charged"], row["at_risk_usd"]) for row in ledger} == {("maybe", NANO)}
    assert outcome.ended.status.counts.pending + outcome.ended.status.counts.unknown == 12


# --- results behind a URL -----------------------------------------------------------------------------------------


def behind_url(site: Site, *results: Behaviour) -> kit.Stage:
    """A provider whose answers are links to itself; the first fetch meets the first of *results*, and so on."""
    links: list[str] = []

    async def link(connection: Connection) -> None:
        await answer(listing({"url": links[0]}))(connection)

    stage = site.serve(by_path(link, result=in_order(*results)))
    links.append(f"{stage.url}/result")
    return stage


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
def test_P24_a_result_that_has_expired_is_booked_and_reported(site, status):
    stage = behind_url(site, answer(b"expired", status))
    outcome = site.run_all(stage, "a")
    assert (outcome.code, site.states()) == (3, {"a": ("failed", "spoiled")})
    assert len(stage.posts) == 2  # one new purchase, and it stands in the ledger
    assert len(stage.gets) == 2 if status.startswith("410") else len(stage.gets) > 4  # only what is gone is gone
    assert site.bill() == [("yes", NANO, None)] * 2
    assert status[:3] in site.job()["message"]
    assert len(site.kept()) == 2  # the answer, with its URL


@pytest.mark.parametrize("body", [b"<html>log in</html>", b""], ids=["HTML", "0 bytes"])
def test_P25_a_result_that_is_no_image_is_spoiled(site, body):
    stage = behind_url(site, answer(body))
    outcome = site.run_all(stage, "a")
    assert (outcome.code, site.states(), site.images()) == (3, {"a": ("failed", "spoiled")}, [])
    assert site.bill() == [("yes", NANO, None)] * 2


def test_P25_a_result_is_fetched_once_and_its_hash_is_of_what_came(site):
    stage = behind_url(site, shows_raw(drawing(shade=1)), shows_raw(drawing(shade=2)))
    assert site.run_all(stage, "a").code == 0
    assert len(stage.gets) == 1
    (image,) = site.images()
    assert site.rows("select sha256 from artifacts") == [{"sha256": hashlib.sha256(image.read_bytes()).hexdigest()}]
    assert image.read_bytes() == drawing(shade=1)


def shows_raw(data: bytes) -> Behaviour:
    return answer(data, headers={"Content-Type": "image/png"})


def test_P25_a_result_that_breaks_off_is_fetched_again_for_nothing(site):
    whole = drawing()
    broken = says(f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + whole[:40])
    stage = behind_url(site, broken, shows_raw(whole))
    assert site.run_all(stage, "a").code == 0
    assert (len(stage.posts), len(stage.gets)) == (1, 2)


# --- and the rest -------------------------------------------------------------------------------------------------


def test_P26_a_model_that_is_gone_is_named(site):
    gone = fails("404 Not Found", message="The model `gpt-image-2` has been deprecated", code="model_not_found")
    stage = site.serve(gone)
    outcome = site.run_all(stage, "a", "b")
    assert (outcome.code, len(stage.posts), outcome.lane().closed) == (
        5,
        1,
        None,
    )  # other models of the account may go on
    assert outcome.lane().denied == {"gpt-image-2": "The model `gpt-image-2` has been deprecated"}
    assert outcome.lane().denied_left == 2
    assert {state for state, _ in site.states().values()} == {"pending"}


def test_P27_a_providers_clock_does_not_matter(site):
    stage = site.serve(
        in_order(
            slow_down(Retry_After="Fri, 01 Jan 1999 00:00:01 GMT", Date="Fri, 01 Jan 1999 00:00:00 GMT"),
            slow_down(Retry_After="0", Date="Fri, 01 Jan 2099 00:00:00 GMT"),
            answer(document(), headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        )
    )
    outcome = site.run_all(stage, "a")
    first, second, third = (request.at for request in stage.posts)
    assert outcome.code == 0
    assert 1 <= second - first < patience(3)
    assert third - second < patience(1)


def test_P28_an_attempt_is_one_request(site):
    rough = {"a": fails("500 Oops"), "b": slow_down(), "c": says(), "d": answer(b"{"), "e": fails("502 Bad Gateway")}
    stage = site.serve(by_prompt(**{name: in_order(behaviour, shows()) for name, behaviour in rough.items()}))
    assert site.run_all(stage, *rough).code == 0
    attempts = site.rows("select id from attempts")
    assert len(stage.posts) == stage.raw.connections == len(attempts) == 2 * len(rough)
    assert all(len(job["attempts"]) == 2 for job in site.jobs().values())


def test_P29_a_key_of_idempotency_stands_for_one_body(site):
    seen: dict[str, bytes] = {}
    conflicts = []

    async def once(connection: Connection) -> None:
        request = await connection.request()
        key = request.headers["idempotency-key"]
        if seen.setdefault(key, request.body) != request.body:
            conflicts.append(key)
        await (says() if len(stage.posts) == 1 else shows())(kit._Heard(connection, request))

    stage = site.serve(once)
    header = {"idempotency_header": "Idempotency-Key"}
    assert site.run_all(stage, {"id": "a", "prompt": "one"}, **header).code == 0
    assert (len(stage.posts), len(seen), len(site.job()["attempts"])) == (2, 1, 1)  # asked twice, bought once
    assert site.run_all(stage, {"id": "a", "prompt": "two"}, **header).code == 0
    assert (len(stage.posts), len(seen), conflicts) == (3, 2, [])


@pytest.mark.parametrize("status", ["422 Unprocessable"])
def test_P29_a_conflict_of_keys_is_our_mistake_and_not_repeated(site, status):
    stage = site.serve(fails(status, message="Idempotency key reused with a different body"))
    outcome = site.run_all(stage, "a", idempotency_header="Idempotency-Key")
    assert (outcome.code, len(stage.posts), site.states()) == (3, 1, {"a": ("failed", "invalid")})


ELSEWHERE: dict[str, str] = {}
NOT_HERE = {
    "P21": "no provider of the presets answers with an id to be polled; a 202 counts as unknown (test_faults.py)",
    "P22": "no provider of the presets is asynchronous, so there is no poll that could fail to end",
    "P23": "no provider of the presets is asynchronous, so none can fail after accepting",
}
