"""The overview in states that a night rarely has: nothing delivered, no prices, gaps, thousands of ids, long names."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime

import pytest

from .sample import html, write
from .sample_document import document
from .sample_figures import START

HOUR = 3600


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def night(**changes) -> dict:
    lanes = [
        {
            "name": "openai",
            "ticks": [100, 900, 4000],
            "spans": [{"kind": "throttled", "from": 600, "to": 1500, "message": "Rate limit reached"}],
        },
        {"name": "gateway", "ticks": [], "spans": [{"kind": "closed", "from": 0, "to": 7200, "message": ""}]},
    ]
    bars, usd = [4, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], [0.04, 0.02, None, None, None, None, 0.01, *[None] * 5]
    whole = {"from": iso(START), "to": iso(START + 2 * HOUR), "step": 600, "bars": bars, "usd": usd, "lanes": lanes}
    return whole | {"gaps": []} | changes


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the folder of a report with the pictures that every page of these tests shows."""
    return write(tmp_path_factory.mktemp("overview"), document(40)).parent


@pytest.fixture
def look(visitor, report, request):
    """Open the page of a small batch with some parts of its document changed."""

    def open_page(head: dict | None = None, *, jobs: dict | None = None, options: dict | None = None, **parts):
        page = document(40)
        page["head"] |= head or {}
        page["head"]["jobs"] |= jobs or {}
        index = report / f"{request.node.name}.html"
        index.write_text(html(page | {"night": night()} | parts), encoding="utf-8")
        return visitor.open(index, **(options or {}))

    return open_page


def test_head_is_one_sentence_and_the_title_of_the_tab(look):
    tab = look(jobs={"total": 154, "done": 142, "failed": 7, "unknown": 1, "pending": 4})
    assert tab.role("heading", "142 of 154 done, 7 failed, 1 unknown").is_visible()
    assert tab.page.title().startswith("142 of 154 done, 7 failed")
    assert "4 jobs wait: gptimageapi is out of money." in tab.find(".lede").text_content()


def test_figures_lead_into_the_grid(look):
    tab = look(jobs={"failed": 3, "cancelled": 0})
    tab.page.locator(".figure", has_text="Failed").click()
    tab.wait("() => location.hash.includes('state=failed')")
    assert tab.page.locator(".figure", has_text="Cancelled").count() == 0


def test_figure_of_nothing_is_not_a_button(look):
    tab = look(jobs={"failed": 0})
    assert tab.page.locator("div.figure.none", has_text="Failed").text_content() == "Failed0"


def test_budgets_show_what_is_reached(look):
    budgets = [
        {"name": "run", "usd": "3", "spent_usd": "3", "unit": "USD"},
        {"name": "month", "usd": "500", "spent_usd": "120", "unit": "credits"},
    ]
    tab = look({"budgets": budgets})
    rows = tab.find(".budgets li").all_text_contents()
    assert rows == ["run$3.00 of $3.00, reached", "month120 credits of 500 credits"]


@pytest.mark.parametrize(
    ("head", "figure"),
    [
        ({"usd": None, "credits": {}, "budgets": []}, "No price known"),
        ({"usd": "0", "attempts": 0, "credits": {}, "budgets": []}, "$0"),
        ({"usd": "12.5"}, "$12.50"),
    ],
)
def test_money_is_shown_however_little_is_known(look, head, figure):
    none = {"name": "a", "usd": None, "credits": None, "credits_by_provider": {}, "images": 1, "attempts": 1}
    tab = look(head, costs={name: [none] for name in ("provider", "model", "tag", "kind", "day", "mode")})
    assert tab.find(".spent .value").text_content() == figure


def test_sandbox_page_carries_its_sign(look):
    tab = look(sandbox=True)
    assert tab.page.get_by_text("Simulated pictures: nothing was paid.").is_visible()
    assert tab.find(".sandbox-sign").is_visible()
    assert "(sandbox)" in tab.page.title()


def test_real_page_carries_no_sign_of_the_sandbox(look):
    tab = look(sandbox=False)
    assert tab.find(".sandbox-sign, .sandbox-line").count() == 0


def test_batch_without_deliveries_is_calm(look):
    empty = night(bars=[0], usd=[None], lanes=[])
    costs = {name: [] for name in ("provider", "model", "tag", "kind", "day", "mode")}
    jobs = {"total": 9, "done": 0, "failed": 0, "unknown": 0, "pending": 9}
    tab = look({"usd": "0", "images": 0, "attempts": 0, "run": None}, jobs=jobs, night=empty, costs=costs, needs=[])
    for text in ("Nothing has been delivered yet.", "No call has been made yet.", "Nothing so far."):
        assert tab.page.get_by_text(text).is_visible()
    assert tab.role("slider", re.compile("night")).count() == 0


def test_batch_that_is_done_needs_nothing(look):
    tab = look(jobs={"total": 5, "done": 5, "failed": 0, "unknown": 0, "pending": 0}, needs=[])
    assert tab.role("heading", "All 5 done").is_visible()
    assert tab.page.get_by_text("Nothing. Every job is done.").is_visible()


# --- the night ---------------------------------------------------------------------------------------------------


def test_night_is_read_bar_by_bar_with_the_keys(look):
    tab = look()
    chart = tab.role("slider", "Time of the night")
    chart.focus()
    tab.press("Home", "ArrowRight")
    words = chart.get_attribute("aria-valuetext")
    assert "2 images, $0.02" in words
    assert "$0.06 spent so far" in words
    assert "openai: throttled, Rate limit reached" in words
    assert tab.find(".night .tip").is_visible()


def test_night_filters_the_grid_by_a_range_and_clears_it(look):
    tab = look()
    chart = tab.role("slider", "Time of the night")
    chart.focus()
    tab.press("Home", "Shift+ArrowRight", "Enter")
    tab.wait("([from, to]) => location.hash.includes(`time=${from}-${to}`)", [START, START + 1200])
    assert tab.find(".night .band").get_attribute("visibility") == "visible"
    tab.press("Escape")
    tab.wait("() => !location.hash.includes('time=')")
    tab.wait("() => document.querySelector('.night .band').getAttribute('visibility') === 'hidden'")


def test_night_is_brushed_with_the_mouse(look):
    tab = look()
    bars = tab.find(".night .bar")
    first, third = (bars.nth(place).bounding_box() for place in (0, 2))
    y = tab.find(".night .chart").bounding_box()["y"] + 40
    tab.page.mouse.move(first["x"] + first["width"] / 2, y)
    tab.page.mouse.down()
    tab.page.mouse.move(third["x"] + third["width"] / 2, y, steps=4)
    tab.page.mouse.up()
    tab.wait("([from, to]) => location.hash.includes(`time=${from}-${to}`)", [START, START + 1800])


def test_night_is_a_table_as_well(look):
    tab = look()
    tab.page.get_by_text("As a table").click()
    rows = tab.find(".tabular tbody tr").all_text_contents()
    assert len(rows) == 12  # a lane was closed all the time
    assert "2$0.02openai: throttled, Rate limit reached" in rows[1]


def test_gaps_between_runs_are_cut_out(look):
    bars = [1, *[0] * 142, 1]
    gaps = [{"from": 600, "to": 143 * 600}]
    part = night(to=iso(START + 144 * 600), bars=bars, usd=[None] * 144, gaps=gaps)
    tab = look(night=part)
    assert tab.find(".night .gap:not(.swatch *)").count() == 1
    assert tab.find(".night .bar:not(.swatch *)").count() == 2
    assert tab.page.get_by_text("between runs").is_visible()


# --- costs -------------------------------------------------------------------------------------------------------


def test_cost_bars_filter_by_what_they_show(look):
    tab = look()
    name = tab.find(".bars .name").first.text_content()
    tab.find(".bars button").first.click()
    tab.wait("(name) => location.hash.includes(`provider=${name}`)", name)


def test_cost_tabs_are_changed_with_the_arrows(look):
    tab = look()
    tab.role("tab", "Provider").focus()
    tab.press("ArrowRight")
    assert tab.role("tab", "Model").get_attribute("aria-selected") == "true"
    tab.press("ArrowLeft", "ArrowLeft")
    assert tab.role("tab", "Day").evaluate("(tab) => tab === document.activeElement")
    tab.find(".bars button").click()
    tab.wait("() => location.hash.includes('time=')")


def test_many_cost_bars_are_shown_on_demand(look):
    bar = {"usd": 1, "credits": None, "credits_by_provider": {}, "images": 1, "attempts": 1}
    costs = document(4)["costs"] | {"tag": [{"name": f"tag {number}", **bar} for number in range(20)]}
    tab = look(costs=costs)
    tab.role("tab", "Tag").click()
    assert tab.find(".bars li").count() == 8
    tab.role("button", "Show all 20").click()
    assert tab.find(".bars li").count() == 20


def test_costs_in_credits_only_say_so(look):
    bar = {"name": "gptimageapi", "usd": None, "credits": "1200", "credits_by_provider": {}, "images": 3, "attempts": 3}
    costs = {name: [bar] for name in ("provider", "model", "tag", "kind", "day", "mode")}
    tab = look({"usd": None}, costs=costs)
    assert tab.find(".bars .value").text_content() == "1,200 credits"
    assert tab.page.get_by_text("Counted in credits; the bars show images.").is_visible()


# --- what needs a decision ---------------------------------------------------------------------------------------


def need(**changes) -> dict:
    whole = {
        "state": "failed", "cause": "refused", "title": "Refused", "count": 2, "meaning": "The rules refuse it.",
        "todo": "Change the words.", "example": "</script><img src=x onerror=alert(1)>", "usd": "0.0178",
        "at_risk_usd": None, "ids": [], "command": "batchgen retry jobs/sample.yaml --cause refused", "prompts": [],
        "edit_command": None,
    }  # fmt: skip
    return whole | changes


def failed_ids() -> list[str]:
    tiles = document(40)["tiles"]
    return [key for key, state in zip(tiles["key"], tiles["state"], strict=True) if state == 1]


def test_jobs_that_a_run_sends_need_nothing_from_the_user(look):
    waits = need(state="pending", cause="", title="Waiting", count=200, command="")
    tab = look({"in_progress": True}, needs=[waits, need()])
    assert tab.role("heading", "Needs you 2").is_visible()
    assert tab.find(".need .cmd pre").all_text_contents() == ["batchgen retry jobs/sample.yaml --cause refused"]


def test_refused_prompts_are_edited_before_they_are_sent_again(look):
    prompts = [{"id": "cat", "prompt": "A cat", "message": "no"}]
    tab = look(needs=[need(prompts=prompts, edit_command="batchgen retry jobs/sample.yaml --prompts FILE")])
    assert tab.find(".need .cmd pre").all_text_contents() == [
        "batchgen retry jobs/sample.yaml --prompts sample-prompts.csv",
        "batchgen retry jobs/sample.yaml --cause refused",
    ]


def test_needs_show_the_providers_words_as_text(look):
    tab = look(needs=[need()])
    assert tab.find(".need .example .text").text_content() == "</script><img src=x onerror=alert(1)>"
    assert tab.find(".need .money").text_content() == "$0.0178 lost"


def test_need_opens_the_tile_of_an_id(look):
    ids = failed_ids()
    tab = look(needs=[need(ids=ids, count=len(ids), cause="unheard-of")])
    tab.find(".ids button").first.click()
    tab.wait("(id) => decodeURIComponent(location.hash).includes(id)", ids[0])


def test_need_shows_more_ids_on_demand(look):
    tab = look(needs=[need(ids=[f"job-{number}" for number in range(200)], count=3000)])
    assert tab.find(".ids button").all_text_contents()[-1] == "2,992 more"
    tab.find(".ids .rest").click()
    assert tab.find(".ids button").count() == 201
    assert tab.find(".ids .rest").text_content() == "2,800 more"


def test_refused_prompts_leave_as_a_table_without_formulas(look):
    prompts = [{"id": "a", "prompt": "=cmd|' /C calc'!A0"}, {"id": "b, c", "prompt": 'two\n"lines"'}]
    edit = "batchgen retry jobs/sample.yaml --prompts FILE"
    tab = look(needs=[need(prompts=prompts, edit_command=edit)])
    with tab.page.expect_download() as download:
        tab.role("button", "2 prompts as CSV to edit").click()
    name = download.value.suggested_filename
    with download.value.path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["id", "prompt"], ["a", "'=cmd|' /C calc'!A0"], ["b, c", 'two\n"lines"']]
    assert tab.find(".prompts pre").text_content() == f"batchgen retry jobs/sample.yaml --prompts {name}"


@pytest.mark.parametrize("size", ["desktop", "tablet", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_overview_fits_every_size(look, size, theme):
    long = "a-provider-with-a-name-of-eighty-characters-" + "x" * 36
    lanes = [{"name": long, "ticks": [5], "spans": []}]
    bar = {"name": long, "usd": 1234.5, "credits": None, "credits_by_provider": {}, "images": 9, "attempts": 9}
    costs = {name: [bar] for name in ("provider", "model", "tag", "kind", "day", "mode")}
    options = {"size": size, "theme": theme}
    tab = look(
        jobs={"total": 200_000}, night=night(lanes=lanes), costs=costs, needs=[need(ids=[long])], options=options
    )
    assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    tab.screenshot(f"overview-{size}-{theme}")
