"""What an answer states that it used: zeros that assign nothing are no statement, and nothing insane is money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchgen.providers.jsonbody import read
from batchgen.providers.presets import profile
from batchgen.providers.pricing import charge
from batchgen.providers.usage import read_usage
from batchgen.task import Basis, Kind, Task, Usage

TOKENS = {"input_tokens": 12, "output_tokens": 1000, "total_tokens": 1012}
CHAT = {"prompt_tokens": 10, "completion_tokens": 1290, "total_tokens": 1300}
NO_OUTPUT = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}


def usd(usage: Any, images: int = 1, **headers: str) -> int | None:
    document = {"usage": usage} if usage is not None else {}
    found = read_usage(document, {name.replace("_", "-"): value for name, value in headers.items()}, images)
    return None if found is None else found.usd


def tokens(usage: Any, images: int = 1) -> tuple[int | None, ...]:
    found = read_usage({"usage": usage}, {}, images) or Usage()
    splits = found.input_text_tokens, found.input_image_tokens, found.output_text_tokens, found.output_image_tokens
    return found.input_tokens, found.output_tokens, *splits


# --- OpenRouter, with the user's own key --------------------------------------


@pytest.mark.parametrize(
    ("fields", "nano"),
    [
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0387}}, 38_700_000),
        ({"cost": 0.001935, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0387}}, 40_635_000),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": "0.0387"}}, 38_700_000),
        (
            {
                "cost": 0.0019,
                "is_byok": True,
                "cost_details": {
                    "upstream_inference_cost": None,
                    "upstream_inference_prompt_cost": 0.0007,
                    "upstream_inference_completions_cost": 0.038,
                },
            },
            40_600_000,
        ),
        # older answers: a fee of a twentieth cannot hold the amount
        ({"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}, 19_950_000_000),
        ({"cost": 0, "cost_details": {"upstream_inference_cost": 0.0387}}, 38_700_000),
        # OpenRouter's own key: the upstream cost is part of the cost, or null
        ({"cost": 0.0387, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0387}}, 38_700_000),
        ({"cost": 0.0387, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.05}}, 38_700_000),
        ({"cost": 0.0387, "cost_details": {"upstream_inference_cost": 0.0387}}, 38_700_000),
        ({"cost": 0.0387, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}, 38_700_000),
        ({"cost": 0.0387, "cost_details": None}, 38_700_000),
        # the fee alone is not what the call cost
        ({"cost": 0.001935, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0, "is_byok": True}, None),
    ],
)
def test_own_key_at_openrouter_costs_fee_and_upstream_price(fields: Any, nano: int | None) -> None:
    assert usd({**CHAT, **fields}) == nano


# --- zeros ----------------------------------------------------------------------


@pytest.mark.parametrize("zero", ["0", "0.0", "0.00", "0e-10", "None", "null", "", " ", "-1", "NaN", "1e-30"])
@pytest.mark.parametrize("images", [0, 1])
def test_a_zero_in_a_header_states_nothing(zero: str, images: int) -> None:
    for name in ("x-litellm-response-cost", "x-aimlapi-usd-spent", "x-aimlapi-credits-used"):
        assert read_usage({"data": []}, {name: zero}, images) is None


def test_a_header_in_scientific_notation_is_an_amount() -> None:
    assert usd(None, x_litellm_response_cost="5.3e-05") == 53_000


def test_zero_hides_no_later_header_or_body_value() -> None:
    assert usd(None, x_aimlapi_usd_spent="0", x_litellm_response_cost="0.04") == 40_000_000
    assert usd({**TOKENS, "cost": 0}, x_litellm_response_cost="0.04") == 40_000_000


@pytest.mark.parametrize("usage", [{**TOKENS, "cost": 0}, {**CHAT, "cost": 0.0}, {"cost": 0}, {"usd_spent": "0"}])
def test_a_zero_beside_a_picture_states_no_price(usage: Any) -> None:
    assert usd(usage, images=1) is None


def test_zero_output_is_believed_with_counted_input() -> None:
    assert usd({**NO_OUTPUT, "cost": 0}, images=0) == 0
    assert usd({**CHAT, "cost": 0}, images=0) is None  # output that nobody priced
    assert usd({"input_tokens": 0, "output_tokens": 0, "cost": 0}, images=0) is None  # zeros alone are defaults
    assert usd({"cost": 0}, images=0) is None


def test_a_cost_without_a_picture_is_a_cost() -> None:
    assert usd({"prompt_tokens": 5, "completion_tokens": 0, "cost": 0.001}, images=0) == 1_000_000


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 0, "output_tokens": 0, "prompt_tokens": 12, "completion_tokens": 1290}, (12, 1290)),
        ({"input_tokens": 0, "prompt_tokens": 12, "output_tokens": 1290}, (12, 1290)),
        ({"input_tokens": None, "prompt_tokens": "12", "completion_tokens": Decimal("1.29e3")}, (12, 1290)),
        ({"input_tokens": 12, "output_tokens": 0, "total_tokens": 1302}, (12, 1290)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (None, None)),
        ({"promptTokenCount": 12, "candidatesTokenCount": 1290, "totalTokenCount": 1302}, (12, 1290)),
    ],
)
def test_of_two_names_the_one_that_is_not_zero_counts(usage: Any, counts: tuple[int | None, int | None]) -> None:
    assert tokens(usage)[:2] == counts


@pytest.mark.parametrize(
    "details",
    [
        {"text_tokens": 0, "image_tokens": 0},
        {"text_tokens": 0, "image_tokens": 0, "cached_tokens": 0},
        {},
        None,
        {"text_tokens": 1000, "image_tokens": 0},  # a picture came: it has tokens
        {"text_tokens": 1000},
    ],
)
def test_details_that_assign_a_picture_nothing_are_no_details(details: Any) -> None:
    usage = {**TOKENS, "input_tokens_details": {"text_tokens": 0, "image_tokens": 0}, "output_tokens_details": details}
    assert tokens(usage) == (12, 1000, None, None, None, None)
    model = profile("openai").find("gpt-image-2")[1]
    task = Task(kind=Kind.GENERATE, prompt="x", provider="openai", model="gpt-image-2")
    cost = charge(read_usage({"usage": usage}, {}, 1) or Usage(), task, model)
    assert (cost.usd, cost.basis) == (30_060_000, Basis.PRICED)


def test_details_under_the_other_name_count_where_the_first_are_zero() -> None:
    usage = {
        **TOKENS,
        "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
        "prompt_tokens_details": {"text_tokens": 2, "image_tokens": 10, "cached_tokens": 9},
        "completion_tokens_details": {"image_tokens": 990, "text_tokens": 10, "reasoning_tokens": 0},
    }
    assert tokens(usage) == (12, 1000, 2, 10, 10, 990)


def test_text_alone_is_text() -> None:
    usage = {**NO_OUTPUT, "completion_tokens": 40, "completion_tokens_details": {"text_tokens": 40, "image_tokens": 0}}
    assert tokens(usage, images=0) == (10, 40, None, None, 40, 0)


# --- places ---------------------------------------------------------------------

GEMINI = {
    "promptTokenCount": 270,
    "candidatesTokenCount": 1290,
    "thoughtsTokenCount": 110,
    "totalTokenCount": 1670,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}, {"modality": "IMAGE", "tokenCount": 258}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


@pytest.mark.parametrize("place", ["usageMetadata", "usage_metadata", "usage"])
@pytest.mark.parametrize("envelope", [None, "data", "response", "result"])
def test_gemini_counts_by_its_own_names_wherever_they_stand(place: str, envelope: str | None) -> None:
    document = {place: GEMINI} if envelope is None else {envelope: {place: GEMINI}}
    found = read_usage(document, {}, 1)
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (270, 1400)
    assert (found.input_text_tokens, found.input_image_tokens, found.output_image_tokens) == (12, 258, 1290)


def test_usage_in_an_envelope_counts_and_the_outer_one_before_it() -> None:
    assert read_usage({"code": 0, "data": {"usage": {"cost": 0.04}}}, {}, 1) == Usage(images=1, usd=40_000_000)
    both = {"usage": {"cost": 0.03}, "data": {"usage": {"cost": 0.04}}}
    assert read_usage(both, {}, 1) == Usage(images=1, usd=30_000_000)
    assert read_usage({"usage": {}, "data": {"usage": {"cost": 0.04}}}, {}, 1) == Usage(images=1, usd=40_000_000)
    assert read_usage({"data": [{"usage": {"cost": 1}}], "response": "usage", "usage": 5}, {}, 1) is None


@pytest.mark.parametrize("name", ["cost", "total_cost", "cost_usd", "usd_spent"])
def test_names_of_an_amount_in_usd(name: str) -> None:
    assert usd({**TOKENS, name: "0.04"}) == 40_000_000
    assert usd({**TOKENS, "cost": {"total_cost": 0.04, "currency": "USD"}}) == 40_000_000


# --- nothing insane ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["1e99999999999999999999", "1e999999", "-1e999999", "1000001", "-0.04", "1e-999999",
     pytest.param('"' + "9" * 100_000 + '"', id="100000 digits"), "[1]", '"$0.04"', "true", '"1e99999999999999999999"'],
)  # fmt: skip
def test_an_insane_amount_is_not_stated(text: str) -> None:
    try:
        cost = read(b'{"cost": ' + text.encode() + b"}")["cost"]
    except (ValueError, ArithmeticError):  # this reading of JSON does not take the number at all
        cost = text
    found = read_usage({"usage": {**TOKENS, "cost": cost, "credits_used": cost}}, {"x-litellm-response-cost": text}, 1)
    assert found is not None
    assert (found.usd, found.input_tokens, found.output_tokens) == (None, 12, 1000)


@pytest.mark.parametrize(
    "count",
    [pytest.param(10**5000, id="5000 digits"), -1, 10**10, Decimal("1e999999"), Decimal("NaN"), float("nan"),
     float("inf"), 1.5, True, "1e3"],
)  # fmt: skip
def test_an_insane_count_is_no_count(count: Any) -> None:
    assert tokens({"input_tokens": count, "output_tokens": 1000})[:2] == (None, 1000)
    assert read_usage({"usage": {"input_tokens": count}}, {}, 1) is None


# --- what a refusal with usage costs -------------------------------------------------


def test_a_refusal_that_counts_its_input_costs_its_input() -> None:
    model = profile("openai").find("gpt-image-2")[1]
    task = Task(kind=Kind.GENERATE, prompt="x", provider="openai", model="gpt-image-2")
    cost = charge(read_usage({"usage": NO_OUTPUT}, {}, 0) or Usage(), task, model)
    assert (cost.usd, cost.basis) == (50_000, Basis.PRICED)
    # beside a picture the same numbers say nothing of it
    assert charge(read_usage({"usage": NO_OUTPUT}, {}, 1) or Usage(), task, model).basis is Basis.ESTIMATED
