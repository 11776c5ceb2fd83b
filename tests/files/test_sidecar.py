"""The JSON beside an image: all that is needed to rebuild a row, nothing that should not travel."""

from __future__ import annotations

import json
from functools import reduce

import pytest

from batchgen.files.sidecar import describe
from batchgen.job import Attempt
from batchgen.task import NOTHING, UNPRICED, Artifact, Basis, Charge, Kind, Picture, Source, Task, Usage

FILE = Artifact(
    ordinal=1, path="/srv/out/cat-2.png", sha256="a" * 64, size_bytes=77, width=3, height=4, mime="image/png"
)


def attempt(**task: object) -> Attempt:
    asked: dict = {"kind": Kind.GENERATE, "prompt": "a cat", "provider": "aigate", "model": "gpt-image-2", **task}
    return Attempt(
        id="f" * 32,
        job_id=9,
        claim=2,
        batch="autumn",
        key="cat",
        task=Task(**asked),
        fingerprint="1:abc",
        folder="/srv/out",
        output="cat",
    )


def told(order: Attempt, cost: Charge = UNPRICED, usage: Usage | None = None, revised: str | None = None) -> dict:
    picture = Picture(data=b"", revised_prompt=revised)
    return json.loads(describe(order, FILE, picture, usage or Usage(images=1), cost))


def test_it_says_what_was_asked_what_came_and_what_it_cost():
    cost = Charge(usd=53_670_500, credits=107_341_000, basis=Basis.REPORTED)
    found = told(attempt(size="1024x1024"), cost, Usage(images=1, input_tokens=5), "a small cat")
    assert (found["batch"], found["id"], found["attempt"], found["fingerprint"]) == ("autumn", "cat", "f" * 32, "1:abc")
    assert found["asked"]["prompt"] == "a cat"
    assert found["asked"]["size"] == "1024x1024"
    assert found["revised_prompt"] == "a small cat"
    assert found["file"] == {
        "ordinal": 1, "sha256": "a" * 64, "bytes": 77, "width": 3, "height": 4, "mime": "image/png"
    }  # fmt: skip
    assert found["usage"] == {"images": 1, "input_tokens": 5}
    assert found["cost"] == {"usd": "0.0536705", "credits": "107341", "basis": "reported"}


def test_what_the_user_did_not_say_is_not_there():
    assert set(told(attempt())["asked"]) == {"kind", "prompt", "provider", "model", "n"}


def test_a_zero_that_the_user_said_is_there():
    asked = told(attempt(seed=0, output_compression=0, extra={"strength": 0}))["asked"]
    assert (asked["seed"], asked["output_compression"], asked["extra"]) == (0, 0, {"strength": 0})


def test_an_unknown_cost_is_null_and_nothing_is_zero():
    assert told(attempt(), UNPRICED)["cost"] == {"usd": None, "credits": None, "basis": "unknown"}
    assert told(attempt(), NOTHING)["cost"]["usd"] == "0"


def test_sources_are_named_without_their_folders():
    order = attempt(
        kind=Kind.EDIT,
        images=(Source(path="/home/ann/secret project/table.jpg"), Source(url="https://x.test/a.png")),
        mask=Source(path="/home/ann/m.png"),
    )
    asked = told(order)["asked"]
    assert asked["images"] == ["table.jpg", "https://x.test/a.png"]
    assert asked["mask"] == "m.png"
    assert "/home/ann" not in json.dumps(told(order))
    assert "/srv/out" not in json.dumps(told(order))


def test_any_text_becomes_valid_utf8():
    order = attempt(prompt='Zoë "quotes"\n\u2028 \ud800 ネコ')
    raw = describe(order, FILE, Picture(data=b"", revised_prompt="\udfff"), Usage(), UNPRICED)
    found = json.loads(raw.decode("utf-8"))
    assert found["asked"]["prompt"] == 'Zoë "quotes"\n\u2028 ? ネコ'
    assert found["revised_prompt"] == "?"
    assert raw.endswith(b"}\n")
    assert "ネコ".encode() in raw


def test_the_shares_of_the_images_of_a_call_add_up_to_its_cost():
    cost = Charge(usd=100, credits=7, basis=Basis.REPORTED)
    shares = [cost.share(3, number) for number in range(3)]
    assert [(share.usd, share.credits) for share in shares] == [(34, 3), (33, 2), (33, 2)]
    found = [
        json.loads(describe(attempt(), FILE, Picture(data=b""), Usage(images=3), cost, share=share))["cost_share"]
        for share in shares
    ]
    assert found[0] == {"usd": "0.000000034", "credits": "0.003"}
    assert told(attempt(), cost)["cost_share"] == {"usd": "0.0000001", "credits": "0.007"}
    assert told(attempt(), UNPRICED)["cost_share"] == {"usd": None, "credits": None}


ODD = {
    "every character": {"prompt": "".join(map(chr, range(0x3000))) + "\U0001f9c0\u2028\ufeff"},
    "half a pair": {"prompt": "a\ud800b"},
    "floats": {"extra": {"a": 0.1, "b": 1.0, "c": -2.5e-3, "d": [1e3, 123456789.125]}},
    "exponents": {"extra": {"a": 1e-7, "b": [1e22, {"c": -3e300}]}},
    "no numbers": {"extra": {"a": float("nan"), "b": float("inf")}},
    "a huge number": {"extra": {"a": 2**70, "b": -(2**63)}},
    "the largest that orjson takes": {"seed": 2**64 - 1},
    "keys that are no texts": {"extra": {"a": {1: "x", None: 2, False: 3}}},
    "empty": {"extra": {"a": [], "b": {}, "c": ""}},
    "nested": {"extra": {"a": [[1, [2, ()]], {"b": (None, True)}]}},
    "deep": {"extra": {"a": reduce(lambda inner, _: [inner], range(300), 1)}},
}


@pytest.mark.parametrize("task", ODD.values(), ids=ODD)
def test_the_bytes_are_those_of_json(task):
    order = attempt(**task)
    written = describe(order, FILE, Picture(data=b"", revised_prompt="Zoë \ud800"), Usage(images=1, usd=5), UNPRICED)
    without = describe(order, FILE, Picture(data=b""), Usage(images=1, usd=5), UNPRICED)
    for data in (written, without):
        document = json.loads(data)
        extra = {"extra": order.task.extra} if order.task.extra else {}
        document["asked"] |= extra | {"prompt": order.task.prompt}
        if document["revised_prompt"]:
            document["revised_prompt"] = "Zoë \ud800"
        assert data == json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"
