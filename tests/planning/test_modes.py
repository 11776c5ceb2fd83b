"""A plan shows what the same requests cost and take in each mode."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from batchgen.cli.render.modes import mode_lines
from batchgen.learned_prices import PriceMemory
from batchgen.manifest.batch import Recipe
from batchgen.mode import Mode
from batchgen.planning.estimate import CostEstimate, PlanContext
from batchgen.planning.plan import Plan
from batchgen.providers.presets import profile
from batchgen.task import Basis, Charge, Kind, Task

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
#: Five tokens of a prompt of 16 letters, at 2 USD a million, and 1120 tokens out at 120.
EXPECTED = 5 * 2_000 + 1120 * 120_000
PROFILES = {
    "gemini": profile("gemini"),
    "gptimageapi": profile("gptimageapi"),
}


def counted(*jobs: tuple[str, str, int], mode: Mode = Mode.STANDARD, **context: Any) -> CostEstimate:
    """Return the estimate of jobs, each of a provider's model, and their number."""

    def mode_of(task: Task) -> Mode:
        offered = PROFILES[task.provider].find(task.model)[1].offered
        return mode if mode in offered else Mode.STANDARD

    estimate = CostEstimate(PROFILES, PlanContext(today=date(2026, 12, 1), mode_of=mode_of, **context))
    for provider, model, number in jobs:
        task = Task(kind=Kind.GENERATE, prompt="", provider=provider, model=model)
        estimate.count(Recipe(task=task), 16, number)
    return estimate


def test_modes_are_shown_side_by_side_for_a_thousand_jobs() -> None:
    standard, flex, batch = counted(("gemini", PRO, 1000)).modes()
    assert [each.mode for each in (standard, flex, batch)] == [*Mode]
    assert standard.usd.expected == 1000 * EXPECTED
    assert flex.usd.expected == batch.usd.expected == 1000 * EXPECTED // 2
    assert flex.usd.high == standard.usd.high  # it may be carried out in the standard tier
    assert batch.usd.high == (standard.usd.high or 0) // 2
    assert batch.time.high == 86_400
    assert standard.time.expected < flex.time.expected
    assert [each.in_force for each in (standard, flex, batch)] == [1000, 0, 0]
    assert [each.requests for each in (standard, flex, batch)] == [1000] * 3


def test_plan_has_the_price_and_the_time_of_the_mode_in_force() -> None:
    (lane,) = counted(("gemini", PRO, 10), mode=Mode.FLEX).lanes()
    (usual,) = counted(("gemini", PRO, 10)).lanes()
    assert (lane.usd.expected, lane.usd.high) == (10 * EXPECTED // 2, usual.usd.high)
    assert lane.time.expected > usual.time.expected
    (batch,) = counted(("gemini", PRO, 10), mode=Mode.BATCH).lanes()
    assert batch.usd.high == (usual.usd.high or 0) // 2
    assert batch.time.expected == 86_400


def test_requests_of_models_without_the_mode_stay_standard() -> None:
    standard, flex, batch = counted(("gemini", PRO, 3), ("gemini", LITE, 2)).modes()
    assert (standard.requests, flex.requests, batch.requests) == (5, 3, 5)  # the other model has batches and no flex
    lite = counted(("gemini", LITE, 2)).lanes()[0].usd.expected
    assert flex.usd.expected == 3 * EXPECTED // 2 + (lite or 0)


def test_providers_with_one_mode_show_none() -> None:
    assert counted(("gptimageapi", "gpt-image-2", 5)).modes() == ()


def test_prices_found_in_one_mode_say_nothing_about_another() -> None:
    memory = PriceMemory()
    task = Task(kind=Kind.GENERATE, prompt="", provider="gemini", model=PRO)
    memory.observe(task, Charge(usd=9 * EXPECTED, credits=None, basis=Basis.REPORTED), 1)
    standard, flex, _ = counted(("gemini", PRO, 1), prices=memory).modes()
    assert standard.usd.expected == 9 * EXPECTED
    assert flex.usd.expected == EXPECTED // 2


def test_mode_lines_name_price_time_and_what_is_in_force() -> None:
    estimate = counted(("gemini", PRO, 3), ("gemini", LITE, 1), mode=Mode.FLEX)
    lines = mode_lines(Plan(**estimate.plan_fields()))
    assert len(lines) == 3
    assert lines[0].startswith("standard ")
    assert lines[0].endswith("(in force for 1)")
    assert "; 3 of 4 requests, the others as standard (in force for 3)" in lines[1]
    assert "within a day" in lines[2]


@pytest.mark.parametrize("mode", [*Mode])
def test_mode_documents_have_decimal_strings(mode: Mode) -> None:
    documents = {each.mode: each.as_json() for each in counted(("gemini", PRO, 1), mode=mode).modes()}
    assert documents[mode]["in_force"] is True
    assert documents[Mode.STANDARD]["usd"]["expected"] == "0.13441"
