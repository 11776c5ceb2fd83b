"""What an answer cost: by the order of trust, exact to the nano-USD."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.mode import Mode
from batchgen.providers.model import Model, Tariff
from batchgen.providers.presets import PRESET_NAMES, profile
from batchgen.providers.pricing import Estimate, charge, estimate, highest, reported_charge
from batchgen.task import Basis, Charge, Kind, Source, Task, Usage

GEMINI = "gemini-3.1-flash-image"


def model(provider: str, name: str | None = None, **override: Any) -> Model:
    if provider == "gateway":
        override["base_url"] = "https://gw.example.com"
    return profile(provider, override).find(name)[1]


def task(**fields: Any) -> Task:
    return Task(**{"kind": Kind.GENERATE, "prompt": "a cat", "provider": "p", "model": "gpt-image-2", **fields})


def usd(cost: Charge) -> tuple[int | None, Basis]:
    return cost.usd, cost.basis


def test_reported_usd_comes_first() -> None:
    usage = Usage(images=1, usd=53_670_500, credits=107_341_000, input_tokens=1, output_tokens=1)
    assert charge(usage, task(), model("aimlapi")) == Charge(usd=53_670_500, credits=107_341_000, basis=Basis.REPORTED)


def test_reported_credits_times_the_rate() -> None:
    usage = Usage(images=1, credits=107_341_000)
    assert charge(usage, task(), model("aimlapi")) == Charge(usd=53_670_500, credits=107_341_000, basis=Basis.PRICED)
    usage = Usage(images=1, credits=190_450_000)
    assert charge(usage, task(), model("aimlapi")).usd == 95_225_000


@pytest.mark.parametrize(
    ("quality", "n", "credits_used"),
    [("low", 1, 2_000), ("medium", 1, 6_000), ("high", 1, 12_000), (None, 1, 6_000), ("auto", 2, 12_000)],
)
def test_gptimageapi_counts_credits_by_tier(quality: str | None, n: int, credits_used: int) -> None:
    order = task(quality=quality)
    assert charge(Usage(images=n), order, model("gptimageapi")) == Charge(
        usd=None, credits=credits_used, basis=Basis.UNKNOWN
    )
    priced = charge(Usage(images=n), order, model("gptimageapi", tariff={"usd_per_credit": 0.01}))
    assert priced == Charge(usd=credits_used * 10_000, credits=credits_used, basis=Basis.PRICED)


def test_tokens_with_a_split() -> None:
    usage = Usage(
        images=1,
        input_tokens=50,
        output_tokens=1767,
        input_text_tokens=10,
        input_image_tokens=40,
        output_image_tokens=1767,
    )
    # 10 x 5e-6 + 40 x 8e-6 + 1767 x 30e-6 = 0.05338
    assert usd(charge(usage, task(), model("openai"))) == (53_380_000, Basis.PRICED)


def test_tokens_without_a_split() -> None:
    usage = Usage(images=1, input_tokens=712, output_tokens=1372)
    assert charge(usage, task(), model("aigate")).usd == 712 * 5_000 + 1372 * 30_000
    edit = task(kind=Kind.EDIT, images=(Source(url="https://x.example/a.png"),))
    assert charge(usage, edit, model("aigate")).usd == 712 * 5_000 + 1372 * 30_000


def test_half_a_split_counts_the_rest_as_the_other_kind() -> None:
    usage = Usage(images=1, input_tokens=10, output_tokens=1130, output_image_tokens=1120)
    assert charge(usage, task(), model("openrouter")).usd == 10 * 500 + 1120 * 60_000 + 10 * 3_000


@pytest.mark.parametrize("usage", [Usage(images=1), Usage(images=1, input_tokens=0, output_tokens=0)])
def test_zero_tokens_are_nothing_said(usage: Usage) -> None:
    assert usd(charge(usage, task(), model("aigate", GEMINI))) == (67_200_000, Basis.PRICED)
    guess = charge(usage, task(quality="medium"), model("openai"))
    assert guess.basis is Basis.ESTIMATED
    assert guess.usd == pytest.approx(53_010_000, rel=0.01)


def test_price_per_image() -> None:
    pro = model("aigate", "gemini-3-pro-image")
    assert charge(Usage(images=2), task(), pro).usd == 268_000_000
    assert charge(Usage(images=1), task(resolution="4k"), pro).usd == 240_000_000
    flat = model("gateway", tariff={"usd_per_image": 0.053})
    assert usd(charge(Usage(images=3), task(), flat)) == (159_000_000, Basis.PRICED)
    tiers = model("gateway", tariff={"usd_per_image": {"low": 0.01, "high": 0.2}})
    assert charge(Usage(images=1), task(quality="high"), tiers).usd == 200_000_000
    assert charge(Usage(images=1), task(quality="medium"), tiers).usd is None
    assert charge(Usage(images=0), task(n=2), flat).usd == 106_000_000


def test_unknown_is_unknown_and_never_nothing() -> None:
    assert charge(Usage(images=1), task(), model("gateway")) == Charge(usd=None, credits=None, basis=Basis.UNKNOWN)
    assert estimate(task(), model("gateway")).high == Charge(usd=None, credits=None, basis=Basis.UNKNOWN)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(usd=40_000_000), Charge(usd=40_000_000, credits=None, basis=Basis.REPORTED)),
        (Usage(usd=0), Charge(usd=0, credits=None, basis=Basis.REPORTED)),
        (Usage(credits=107_341_000), Charge(usd=53_670_500, credits=107_341_000, basis=Basis.PRICED)),
        (Usage(input_tokens=12, output_tokens=0), Charge(usd=60_000, credits=None, basis=Basis.PRICED)),
        (Usage(input_tokens=12, output_tokens=1000), Charge(usd=30_060_000, credits=None, basis=Basis.PRICED)),
        (Usage(), None),
        (Usage(input_tokens=0, output_tokens=0), None),
    ],
)
def test_what_an_answer_states_is_told_from_what_a_price_list_says(usage: Usage, expected: Charge | None) -> None:
    assert reported_charge(usage, model("aimlapi")) == expected


def test_no_price_list_says_what_a_refusal_costs() -> None:
    flat = model("gateway", tariff={"usd_per_image": 0.05})
    assert reported_charge(Usage(input_tokens=12, output_tokens=1000), flat) is None
    points = Charge(usd=None, credits=2_000, basis=Basis.UNKNOWN)
    assert reported_charge(Usage(credits=2_000), model("gptimageapi")) == points
    assert reported_charge(Usage(), model("gptimageapi")) is None


def dollars(found: Estimate) -> tuple[int, int, int]:
    figures = found.low.usd, found.expected.usd, found.high.usd
    assert None not in figures
    return figures  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("provider", "fields", "price"),
    [
        ("openai", {"quality": "low", "size": "1024x1024"}, 0.006),
        ("openai", {"quality": "medium", "size": "1024x1024"}, 0.053),
        ("openai", {"quality": "high", "size": "1024x1024"}, 0.211),
        ("openai", {"quality": "high", "size": "1536x1024"}, 0.165),
        ("openai", {"quality": "high", "size": "3840x2160"}, 0.401),
        ("aimlapi", {"quality": "medium", "size": "1024x1024"}, 0.0536705),
        ("aigate", {"model": GEMINI}, 0.0672),
        ("openrouter", {"model": GEMINI}, 0.0672),
    ],
)
def test_estimates_meet_the_price_lists(provider: str, fields: dict[str, Any], price: float) -> None:
    order = task(**fields)
    low, expected, high = dollars(estimate(order, model(provider, order.model)))
    assert expected == pytest.approx(price * 1e9, rel=0.03)
    assert low <= expected <= high


@pytest.mark.parametrize("name", [name for name in PRESET_NAMES if name not in ("gateway", "gptimageapi", "xai")])
@given(
    quality=st.sampled_from([None, "auto", "low", "medium", "high", "max"]),
    size=st.sampled_from([None, "auto", "1024x1024", "1024x640", "1536x1024", "2048x2048", "3840x2160", "16:9"]),
    resolution=st.sampled_from([None, "1K", "4k"]),
    n=st.integers(1, 10),
    sources=st.integers(0, 4),
)
def test_low_expected_high_keep_their_order(name: str, sources: int, **fields: Any) -> None:
    kind = Kind.EDIT if sources else Kind.GENERATE
    order = task(kind=kind, images=(Source(path="/x.png"),) * sources, **fields)
    for offered in profile(name, {"base_url": "https://gw.example.com"}).models.values():
        if not offered.tariff.model_dump(exclude={"date", "usd_per_credit"}, exclude_defaults=True):
            continue  # no price is known
        low, expected, high = dollars(estimate(order, offered))
        assert 0 < low <= expected <= high
        assert dollars(estimate(task(**{**fields, "n": 1}), offered))[2] <= high


def test_high_takes_the_dearest_where_the_user_set_none() -> None:
    openai = model("openai")
    assert dollars(estimate(task(), openai))[2] >= dollars(estimate(task(quality="high", size="1536x1024"), openai))[2]
    found = estimate(task(n=2), model("gptimageapi"))
    assert [cost.credits for cost in (found.low, found.expected, found.high)] == [4_000, 12_000, 24_000]


def test_credits_are_estimated_from_the_rate() -> None:
    found = estimate(task(quality="medium", size="1024x1024"), model("aimlapi")).expected
    assert found.usd is not None
    assert found.credits == found.usd * 2


# --- what a provider documents for what a job leaves open -----------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_job_without_parameters_is_estimated_by_defaults(kind: Kind) -> None:
    aimlapi = model("aimlapi")
    named = estimate(task(kind=kind, quality="medium", size="1024x1024"), aimlapi)
    assert estimate(task(kind=kind), aimlapi) == named
    assert named.high.usd is not None
    # the price it was seen to take (wire.md) fits into what is reserved, which is not six times as much
    assert 53_670_500 <= named.high.usd <= 60_000_000
    assert estimate(task(kind=kind, quality="high"), aimlapi).high.usd > 200_000_000
    assert estimate(task(kind=kind, size="1536x1024"), aimlapi).high.usd > named.high.usd


def test_where_nothing_is_documented_the_dearest_is_reserved() -> None:
    for provider in ("openai", "aigate"):
        assert not model(provider).assumes
        assert dollars(estimate(task(), model(provider)))[2] > 300_000_000


def test_what_is_sent_for_want_of_a_word_is_what_is_estimated() -> None:
    sizes = {"medium": 1767}
    tariff = {"usd_per_million_tokens": {"image_out": 30}, "output_tokens": sizes}
    gateway = model("gateway", tariff=tariff)  # it requires a size: 1024x1024 is sent
    assert estimate(task(quality="medium"), gateway) == estimate(task(quality="medium", size="1024x1024"), gateway)


def test_defaults_of_a_model_are_no_other_models() -> None:
    own = {"dialect": "openai_images", "base_url": "https://x.example.com"}
    assert not profile("mine", own).find()[1].assumes
    assert not profile("aimlapi", {"models": {"other-model": {}}}).find("other-model")[1].assumes
    stated = {"gpt-image-2": {"assumes": {"quality": "low"}}}
    assert profile("aimlapi", {"models": stated}).find()[1].assumes == {"quality": "low", "size": "1024x1024"}


# --- modes -----------------------------------------------------------------------

HALF = {"models": {GEMINI: {"modes": {"flex": {"factor": 0.5, "total": 1200}, "batch": {"factor": 0.5}}}}}
TOKENS = {"images": 1, "input_tokens": 10, "output_tokens": 1120, "output_image_tokens": 1120}
STANDARD_COST = 10 * 500 + 1120 * 60_000


@pytest.mark.parametrize(
    ("mode", "tier", "cost"),
    [
        (Mode.STANDARD, None, STANDARD_COST),
        (Mode.FLEX, "flex", STANDARD_COST // 2),
        (Mode.FLEX, None, STANDARD_COST),  # the answer does not confirm the tier
        (Mode.FLEX, "standard", STANDARD_COST),
        (Mode.STANDARD, "flex", STANDARD_COST // 2),
        (Mode.BATCH, None, STANDARD_COST // 2),
    ],
)
def test_flex_price_counts_only_if_the_answer_states_the_tier(mode: Mode, tier: str | None, cost: int) -> None:
    priced = charge(Usage(**TOKENS, tier=tier), task(model=GEMINI), model("openrouter", GEMINI, **HALF), mode)
    assert usd(priced) == (cost, Basis.PRICED)


def test_stated_usd_is_never_halved() -> None:
    usage = Usage(images=1, usd=33_000_000, tier="flex")
    assert usd(charge(usage, task(), model("openrouter", GEMINI, **HALF), Mode.FLEX)) == (33_000_000, Basis.REPORTED)


def test_reservation_of_flex_is_the_standard_price_and_that_of_a_batch_is_its_own() -> None:
    order, terms = task(model=GEMINI), model("openrouter", GEMINI, **HALF)
    full = highest(order, terms)
    assert full.usd is not None
    assert highest(order, terms, Mode.FLEX) == full
    assert highest(order, terms, Mode.BATCH).usd == full.usd // 2
    standard, flex = estimate(order, terms), estimate(order, terms, Mode.FLEX)
    assert flex.expected.usd == (standard.expected.usd or 0) // 2


@pytest.mark.parametrize(
    ("fields", "usd"),
    [
        ({"size": "1024x1024"}, 1),
        ({"size": "2048x2048"}, 2),
        ({"size": "3840x2160"}, 4),
        ({"resolution": "2k"}, 2),
        ({"resolution": "2k", "quality": "low"}, 3),
        ({"size": "16:9"}, 1),
    ],
)
def test_price_by_resolution_follows_the_size_in_pixels(fields, usd) -> None:
    tariff = Tariff(usd_per_image={"1K": 1, "2K": 2, "4K": 4, "low 2K": 3})
    offered = model("openai").model_copy(update={"tariff": tariff})
    assert estimate(task(**fields), offered).expected.usd == usd * 10**9


@pytest.mark.parametrize(
    ("mode", "usage", "standard"),
    [
        (Mode.BATCH, TOKENS, STANDARD_COST),
        (Mode.FLEX, TOKENS | {"tier": "flex"}, STANDARD_COST),
        (Mode.FLEX, TOKENS | {"tier": "standard"}, STANDARD_COST),
        (Mode.FLEX, TOKENS | {"tier": "flex", "usd": 1_000}, STANDARD_COST),  # the price list, whatever was charged
        (Mode.BATCH, {"images": 1}, 67_200_000),  # the price list has one by image, too
        (Mode.STANDARD, TOKENS, None),
    ],
)
def test_standard_price_of_a_cheaper_mode_is_that_of_the_price_list(
    mode: Mode, usage: dict[str, Any], standard: int | None
) -> None:
    priced = charge(Usage(**usage), task(model=GEMINI), model("openrouter", GEMINI, **HALF), mode)
    assert priced.standard_usd == standard


def test_standard_price_that_is_not_in_the_price_list_is_not_known() -> None:
    assert charge(Usage(images=1, usd=5), task(), model("gateway"), Mode.BATCH).standard_usd is None


def test_standard_price_is_shared_as_the_price_is() -> None:
    whole = Charge(usd=5, credits=None, basis=Basis.PRICED, standard_usd=11)
    assert [whole.share(2, number).standard_usd for number in range(2)] == [6, 5]
