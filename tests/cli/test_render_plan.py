"""A plan in words that a newcomer understands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batchgen.app.project import CommandFlags
from batchgen.cli.render.changes import change_lines
from batchgen.cli.render.plan import job_line, plan_lines, question
from batchgen.job import State
from batchgen.manifest.batch import PlannedJob
from batchgen.planning.compare import StoredJob
from batchgen.planning.diff import Change, Difference
from batchgen.planning.estimate import ProviderEstimate
from batchgen.planning.forecast import Disk, Forecast
from batchgen.planning.plan import Plan
from batchgen.planning.range import Range
from batchgen.task import Kind, Source, Task

SHOP = Path("/shop")


def usd(low, expected, high):
    return Range(low=low * 10**7, expected=expected * 10**7, high=high * 10**7)


def example(key="cat", **fields):
    task = Task(kind=Kind.GENERATE, prompt="A cat on a mat", provider="aigate", model="gpt-image-2", **fields)
    return PlannedJob.of(key, task)


AIGATE = ProviderEstimate(
    provider="aigate", model="gpt-image-2", requests=1_200, images=1_250, usd=usd(4_180, 4_500, 5_230),
    time=Forecast(low=1_200, expected=1_260, high=1_500, limit="images_per_minute"), tariff_date="2026-11-21",
)  # fmt: skip
CREDITS = ProviderEstimate(
    provider="gptimageapi", model="gpt-image-2", requests=4, images=4, unpriced=4,
    credits=Range(low=8_000, expected=24_000, high=48_000), time=Forecast(low=20, expected=50, high=90),
    tariff_date="2026-11-21",
)  # fmt: skip
NOBODY = ProviderEstimate(provider="studio", model="gpt-image-2", requests=1, images=1, unpriced=1)
PLAN = Plan(
    new=1_200, done=7, failed=3, orphaned=1, lanes=(AIGATE,), disk=Disk(bytes=1_900_000_000, free_bytes=120 * 10**9),
    examples=(example("cat", size="1024x1024"), example("dog"), example("eel")),
)  # fmt: skip


def lines_of(plan):
    return plan_lines("shop", plan, SHOP, CommandFlags(), "shop.yaml")


def test_a_whole_plan():
    assert lines_of(PLAN) == [
        "shop: 1,210 jobs: 1,200 new, 3 failed, 7 done, 1 orphaned",
        "not sent  3 failed: not sent again; batchgen retry shop.yaml does that",
        "          1 orphaned: no longer in the manifest; files stay; after a run: batchgen list --status orphaned",
        "",
        "provider  model        requests  images  USD               most likely  prices of",
        "aigate    gpt-image-2     1,200   1,250  $41.80 to $52.30  $45.00       2026-11-21",
        "",
        "to send   1,200 requests for 1,250 images",
        "cost      $41.80 to $52.30, most likely $45.00",
        "time      about 21 min (20 min to 25 min), limited by aigate: images per minute",
        "disk      about 1.9 GB; 120 GB free",
        "first     cat: generate 1024x1024 by aigate gpt-image-2, to cat",
        "          A cat on a mat",
        "middle    dog: generate by aigate gpt-image-2, to dog",
        "          A cat on a mat",
        "last      eel: generate by aigate gpt-image-2, to eel",
        "          A cat on a mat",
    ]


def test_what_has_no_price_is_never_nothing():
    lines = lines_of(replace(PLAN, lanes=(AIGATE, CREDITS, NOBODY)))
    table = [line for line in lines if line.startswith(("gptimageapi", "studio"))]
    assert ["no price in USD" in line for line in table] == [True, True]
    assert "8 to 48" in table[0]
    assert table[1].endswith("unknown")
    cost = lines.index("cost      $41.80 to $52.30, most likely $45.00")
    assert lines[cost + 1 : cost + 3] == [
        "          8 to 48 credits at gptimageapi",
        "          5 requests without a price in USD: set one with tariff:",
    ]


def test_old_prices_are_called_so():
    lines = lines_of(replace(PLAN, lanes=(replace(AIGATE, tariff_date="2025-01-01", stale=True),)))
    assert any("2025-01-01 (old)" in line for line in lines)


def test_prices_of_earlier_calls_are_called_so():
    lines = lines_of(replace(PLAN, lanes=(replace(AIGATE, measured=True),)))
    assert any(line.endswith("$45.00       earlier calls") for line in lines)


def test_a_disk_without_room_is_a_warning():
    lines = lines_of(replace(PLAN, disk=Disk(bytes=2 * 10**12, free_bytes=5 * 10**8)))
    at = lines.index("disk      about 2.0 TB; 500 MB free")
    assert lines[at + 1].startswith("          warning: not enough space")
    assert "disk      about 5 kB" in lines_of(replace(PLAN, disk=Disk(bytes=5_500)))


@pytest.mark.parametrize(
    ("low", "expected", "high", "text"),
    [
        (40, 45, 50, "about 45 s (40 s to 50 s)"), (600, 600, 600, "about 10 min"),
        (86_400, 169_200, 8_640_000, "about 47 h 0 min (24 h 0 min to 100 days)"),
    ],
    ids=["seconds", "certain", "days"],
)  # fmt: skip
def test_a_time_is_reported_in_its_own_unit(low, expected, high, text):
    lane = replace(AIGATE, time=Forecast(low=low, expected=expected, high=high, limit="requests_per_day"))
    lines = lines_of(replace(PLAN, lanes=(lane,)))
    assert f"time      {text}, limited by aigate: requests per day" in lines
    alone = lines_of(replace(PLAN, lanes=(replace(lane, time=replace(lane.time, limit=None)),)))
    assert f"time      {text}, limited by aigate: time per response" in alone


def test_nothing_to_send():
    assert lines_of(Plan(done=2)) == ["shop: 2 jobs: 2 done", "nothing to send"]
    chosen = lines_of(Plan(new=2, selected=True, matched=1))
    assert chosen == ["shop: 2 jobs: 2 new", "nothing to send of the selected jobs"]
    none = lines_of(Plan(new=2, selected=True))
    assert none[-1] == "nothing to send: no job matches the selection"


def test_a_part_is_called_a_part():
    lines = lines_of(replace(PLAN, selected=True))
    assert "to send   1,200 requests for 1,250 images (selected jobs)" in lines


def test_an_edit_names_its_sources():
    images = (Source(path="/shop/photos/a.jpg", sha256="1"), Source(url="https://x.example/b.png"))
    edit = Task(kind=Kind.EDIT, prompt="p", provider="aigate", model="gpt-image-2", images=images)
    lines = lines_of(replace(PLAN, examples=(PlannedJob.of("cat", edit),)))
    assert "example   cat: edit of photos/a.jpg, https://x.example/b.png by aigate gpt-image-2, to cat" in lines


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Difference(field="size", before=None, after="1024x1024"), "size (none) -> 1024x1024"),
        (Difference(field="prompt", before="a cat", after="a dog"), 'prompt "a cat" -> "a dog"'),
        (
            Difference(field="prompt", before="x" * 80 + "a cat", after="x" * 80 + "dog" * 30),
            'prompt "…xxxxxxxxxxxxxxxa cat" -> "…xxxxxxxxxxxxxxxdogdogdogdogdogdogdogdogdogdogdogdogdogdogdo…"',
        ),
        (Difference(field="images", before="a.jpg", after="a.jpg", note="source image a.jpg has other content"),
         "source image a.jpg has other content"),
        (Difference(field="images", before=["a.jpg"], after=["a.jpg", "b.jpg"]), "images a.jpg -> a.jpg, b.jpg"),
        (Difference(field="extra.x", before=[], after=3), "extra.x (none) -> 3"),
    ],
    ids=["none", "text", "long", "content", "list", "extra"],
)  # fmt: skip
def test_a_change_is_reported_in_a_line(difference, text):
    plan = Plan(changed=1, changes=(Change(id="cat", fields=(difference,)),))
    assert change_lines(plan, "batchgen plan shop.yaml --diff") == [f"changed   cat: {text}"]


def test_many_changes_are_counted():
    plan = Plan(changed=3, held=2, changes=(Change(id="a", fields=()), Change(id="b", fields=())))
    assert change_lines(plan, "batchgen plan shop.yaml --diff") == [
        "changed   a: its request has changed",
        "          b: its request has changed",
        "          and 3 jobs more; batchgen plan shop.yaml --diff shows them all",
    ]


@pytest.mark.parametrize(
    ("lanes", "asked"),
    [
        ((AIGATE,), "Spend about $41.80 to $52.30 on 1,250 images?"),
        ((CREDITS,), "Spend 8 to 48 credits at gptimageapi on 4 images?"),
        ((NOBODY,), "Spend an unknown amount (1 request without a price) on 1 image?"),
        (
            (AIGATE, NOBODY),
            "Spend about $41.80 to $52.30 and an unknown amount (1 request without a price) on 1,251 images?",
        ),
        ((AIGATE, CREDITS), "Spend about $41.80 to $52.30 and 8 to 48 credits at gptimageapi on 1,254 images?"),
    ],
    ids=["usd", "credits", "unpriced", "some-unpriced", "both"],
)
def test_the_question_names_what_it_is_about(lanes, asked):
    assert question(replace(PLAN, lanes=lanes)) == f"{asked} [y/N, or a number of jobs to try first]"


def test_a_job_is_a_line():
    row = StoredJob(1, State.FAILED, "1:a", "refused")
    assert job_line(example(size="1024x1024"), "failed", row).split() == [
        "failed", "(refused)", "cat", "aigate", "gpt-image-2", "1024x1024", "A", "cat", "on", "a", "mat",
    ]  # fmt: skip
