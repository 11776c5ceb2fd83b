"""Flex calls: half price if the answer states the tier, patience with shedding, standard when the time is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .kit import CANARY, SECRET, check_files, claimed, sums

MODEL = "gemini-3-pro-image"
#: One token in at 2 USD a million, 1120 tokens out at 120.
FULL = Decimal("0.134402")


@pytest.fixture
def gemini(project):
    """Return a function that writes a manifest for Gemini's own API at the sandbox."""
    project.env["GEMINI_API_KEY"] = CANARY

    def write(jobs, modes="flex", **top):
        settings = {"base_url": f"{project.url}/gemini", "modes": modes}
        jobs = [{"model": MODEL, **job} for job in jobs]
        return project.manifest(jobs, providers={"gemini": settings}, defaults={"provider": "gemini"}, **top)

    return write


def jobs(number, words=""):
    return [{"id": f"j{each}", "prompt": f"P{each}{words}"} for each in range(number)]


def spent(project):
    return claimed(project.run("usage", "--json").json, "usd")["gemini"]


def check_ledger(project, witness):
    """Assert that the ledger has exactly what the provider charged."""
    assert spent(project) == sums(witness.charges(), "usd")["gemini"]


def test_flex_calls_cost_half(project, witness, gemini):
    done = project.run("run", gemini(jobs(4)), "--yes")
    assert done.code == 0, done.err
    assert sums(witness.charges(), "usd") == {"gemini": 4 * FULL / 2}
    check_ledger(project, witness)
    check_files(project)


@pytest.mark.parametrize("words", [" [sandbox: flex-shed x3]", " [sandbox: flex-shed x2 retry-after=0.1]"])
def test_shed_flex_calls_are_sent_again_and_cost_no_try(project, witness, gemini, words):
    # Three sheddings and one delivery are more than retry.attempts allows for failures.
    done = project.run("run", gemini(jobs(3, words)), "--yes")
    assert done.code == 0, done.err
    assert sums(witness.charges(), "usd") == {"gemini": 3 * FULL / 2}
    check_ledger(project, witness)


def test_show_and_plan_name_the_mode(project, gemini):
    manifest = gemini(jobs(2))
    modes = {each["mode"]: each for each in project.run("plan", manifest, "--json").json["modes"]}
    assert modes["flex"]["in_force"] is True
    prices = [Decimal(modes[mode]["usd"]["expected"]) for mode in ("standard", "flex", "batch")]
    assert prices[1] == prices[2] == prices[0] / 2
    assert "(in force)" in project.run("plan", manifest).out
    assert project.run("run", manifest, "--yes").code == 0
    assert project.run("show", "j0", "--json").json["attempt_log"][0]["mode"] == "flex"
    assert "  flex  delivered" in project.run("show", "j0").out


def test_flex_that_was_carried_out_as_standard_is_booked_in_full(project, witness, gemini):
    assert project.run("run", gemini(jobs(2, " [sandbox: flex-standard]")), "--yes").code == 0
    assert sums(witness.charges(), "usd") == {"gemini": 2 * FULL}
    check_ledger(project, witness)


def test_flex_without_a_stated_tier_is_booked_in_full(project, witness, gemini):
    assert project.run("run", gemini(jobs(2, " [sandbox: flex-unstated]")), "--yes").code == 0
    assert sums(witness.charges(), "usd") == {"gemini": 2 * FULL / 2}
    assert spent(project) == 2 * FULL


def test_standard_takes_over_when_the_time_of_flex_is_over(project, witness, gemini):
    over = datetime.now().astimezone() - timedelta(hours=1)
    assert project.run("run", gemini(jobs(2), [{"flex": f"until {over:%H:%M}"}, "standard"]), "--yes").code == 0
    assert sums(witness.charges(), "usd") == {"gemini": 2 * FULL}
    later = datetime.now().astimezone() + timedelta(hours=1)
    more = gemini([{"id": "later", "prompt": "Q"}], [{"flex": f"until {later:%H:%M}"}, "standard"])
    assert project.run("run", more, "--yes").code == 0
    assert sums(witness.charges(), "usd") == {"gemini": 2 * FULL + FULL / 2}
    check_ledger(project, witness)


def test_models_without_flex_are_standard_where_the_modes_allow_it(project, witness, gemini):
    mixed = [*jobs(1), {"id": "lite", "model": "gemini-3.1-flash-lite-image", "prompt": "P9"}]
    manifest = gemini(mixed, ["flex", "standard"])
    checked = project.run("validate", manifest)
    assert checked.code == 0
    assert "gemini-3.1-flash-lite-image has no flex at gemini" in checked.out + checked.err
    assert "models with flex: gemini-3-pro-image, gemini-2.5-flash-image" in checked.out + checked.err
    assert project.run("run", manifest, "--yes").code == 0
    prices = {line["model"]: Decimal(line["usd"]) for line in witness.charges()}
    assert prices == {MODEL: FULL / 2, "gemini-3.1-flash-lite-image": Decimal("0.03360025")}
    check_ledger(project, witness)


@pytest.mark.parametrize(
    ("modes", "model", "message"),
    [
        ("felx", MODEL, "there is no mode 'felx'"),
        ("flex", "gemini-3.1-flash-lite-image", "add standard to the modes of gemini"),
        ([{"flex": "until dawn"}], MODEL, "write  {flex: until 06:00}"),
    ],
)
def test_modes_that_cannot_work_are_reported_with_their_place(project, witness, gemini, modes, model, message):
    manifest = gemini([{"id": "a", "model": model, "prompt": "P"}], modes)
    done = project.run("run", manifest, "--yes")
    assert done.code == 4
    assert message in done.err
    assert f"{manifest.name}:" in done.err
    assert witness.arrivals() == []


def test_mode_that_no_model_of_a_provider_has_is_refused(project, witness):
    manifest = project.manifest(jobs(1), providers={"openai": {"modes": "flex"}}, defaults={"provider": "openai"})
    done = project.run("run", manifest, "--yes")
    assert done.code == 4
    assert "modes: openai has no mode flex: none of its models can be bought that way. It has: standard" in done.err
    assert witness.arrivals() == []


def test_budget_holds_in_flex_at_the_standard_price(project, witness, gemini):
    """A call is reserved at the standard price, since it may be carried out there."""
    budget = FULL * 2
    done = project.run("run", gemini(jobs(9), budget={"usd": float(budget)}), "--yes")
    assert done.code == 7
    paid = sums(witness.charges(), "usd")["gemini"]
    assert FULL <= paid <= budget
    assert spent(project) == paid


def test_key_of_gemini_appears_nowhere(project, gemini):
    assert project.run("run", gemini(jobs(1)), "--yes", "-v").code == 0
    for file in project.folder.rglob("*"):
        if file.is_file() and file.name != ".env":
            assert SECRET.encode() not in file.read_bytes(), file


def test_openrouter_sells_flex_by_chat_and_other_models_by_its_images_endpoint(project, witness):
    settings = {"modes": ["flex", "standard"]}
    mixed = [
        {"id": "pro", "model": MODEL, "prompt": "P1"},
        {"id": "flux", "model": "flux.2-pro", "size": "16:9", "prompt": "P2"},
        {"id": "gpt", "model": "openai/gpt-image-2", "size": "1024x1024", "n": 2, "per_request": 2, "prompt": "P3"},
    ]
    manifest = project.manifest(mixed, providers={"openrouter": settings}, defaults={"provider": "openrouter"})
    done = project.run("run", manifest, "--yes", "--allow-unpriced")
    assert done.code == 0, done.err
    prices = {line["model"].rpartition("/")[2]: Decimal(line["usd"]) for line in witness.charges()}
    assert prices == {MODEL: FULL / 2, "flux.2-pro": Decimal("0.03"), "gpt-image-2": Decimal("0.106")}
    booked = claimed(project.run("usage", "--json").json, "usd")["openrouter"]
    assert booked == sum(prices.values())
    assert len(list((project.folder / "output").rglob("*.png"))) == 4


def test_prices_name_the_modes_of_each_model(project):
    rows = {row["model"]: row for row in project.run("providers", "prices", "gemini", "--json").json["models"]}
    assert rows[MODEL]["modes"] == {"flex": "0.5", "batch": "0.5"}
    assert rows["gemini-3.1-flash-image"]["modes"] == {"batch": "0.5"}
    assert rows["gemini-3.1-flash-image"]["image"]["512"]["usd"] == "0.0448205"
    shown = project.run("providers", "prices", "gemini").out
    assert "; flex, batch at half" in shown


def test_plan_of_a_thousand_jobs_shows_its_modes_side_by_side(project, gemini):
    manifest = gemini(jobs(1000), [{"batch": "until 04:00"}, {"flex": "until 06:00"}, "standard"])
    lines = project.run("plan", manifest).out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("modes "))
    found = [line.split() for line in lines[start : start + 3]]
    assert [line[line[0] == "modes" :][:2] for line in found] == [
        ["standard", "$134.40"],
        ["flex", "$67.20"],
        ["batch", "$67.20"],
    ]
    assert sum("(in force)" in line for line in lines) == 1
    modes = project.run("plan", manifest, "--json").json["modes"]
    assert [each["mode"] for each in modes] == ["standard", "flex", "batch"]
    assert [each["requests"] for each in modes] == [1000] * 3
    assert all(each["seconds"] > 0 for each in modes)
    prices = [Decimal(each["usd"]["expected"]) for each in modes]
    assert prices[1] == prices[2] == prices[0] / 2
