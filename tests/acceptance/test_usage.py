"""``usage`` divided by everything it can be divided by, against the sandbox's own charge log."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from .kit import CANARY, PROVIDERS, Line, Witness, Workspace

TAGS = {
    "Lamp": ["autumn", "lamp"],
    "Chair": ["autumn"],
    "Table": ["lamp"],
    "Bare": [],
    "Refused [sandbox: refuse]": ["draft"],
    "Later": ["autumn"],
    "Attic": ["attic"],
}
COLUMNS = ["attempts", "images", "input_tokens", "output_tokens", "credits", "usd", "usd_reported", "usd_priced"]
COLUMNS += ["usd_estimated", "at_risk_usd", "unpriced"]


def job(prompt: str, provider: str) -> Line:
    quality = {} if provider == "openrouter" else {"quality": "low"}
    return {
        "id": prompt.split(maxsplit=1)[0].lower(),
        "provider": provider,
        "prompt": prompt,
        "tags": TAGS[prompt],
    } | quality


@pytest.fixture(scope="module")
def past(tmp_path_factory, sandbox):
    """Two batches and three runs; between the first and the second lies a moment that the test knows."""
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    project = Workspace(folder=tmp_path_factory.mktemp("past"), url=sandbox.url, env=keys)
    jobs = [job("Lamp", "openai"), job("Chair", "aimlapi"), job("Table", "gptimageapi"), job("Bare", "openrouter")]
    jobs.append(job("Refused [sandbox: refuse]", "openai"))
    runs = []

    def run(jobs: list[Line], batch: str = "shop") -> None:
        witness = Witness(sandbox.log)
        manifest = project.manifest(jobs, f"{batch}.yaml")
        manifest.write_text(manifest.read_text().replace("name: shop", f"name: {batch}", 1))
        assert project.run("run", manifest, "--yes").code in (0, 3)
        runs.append(witness.charges())

    run(jobs)
    # a whole second: midnight of some time zone
    between = datetime.fromtimestamp(math.ceil(time.time()), UTC)
    time.sleep(max(0.0, between.timestamp() - time.time()))
    run([*jobs, job("Later", "aimlapi")])
    run([job("Attic", "openai")], "attic")
    return SimpleNamespace(project=project, runs=runs, between=between)


def charged(charges: Iterable[Line], names: Callable[[Line], Iterable[str | None]]) -> dict[str | None, tuple]:
    """Return the exact (images, USD, credits by provider) of the charge log by name."""
    found: dict[str | None, tuple[int, Decimal, dict[str, Decimal]]] = {}
    for line in charges:
        for name in names(line):
            images, usd, credit = found.get(name, (0, Decimal(0), {}))
            if line["credits"]:
                credit[line["provider"]] = credit.get(line["provider"], Decimal(0)) + Decimal(line["credits"])
            found[name] = (images + line["images"], usd + Decimal(line["usd"] or 0), credit)
    return found


def told(rows: Iterable[Line], key: str) -> dict[str | None, tuple]:
    """Return what rows of ``usage --json`` say, but for those where nothing was charged."""
    return {
        row[key]: (
            row["images"],
            Decimal(row["usd"] or 0),
            {name: Decimal(text) for name, text in row["credits"].items()},
        )
        for row in rows
        if row["images"]
    }


def usage(past: SimpleNamespace, *words: object, **env: str) -> Line:
    done = past.project.run("usage", "--json", *words, **env)
    assert (done.code, done.err) == (0, "")
    return done.json


def midnight(moment: datetime) -> str:
    """Return a time zone in which a day begins at *moment*."""
    return f"XXX{moment:%H:%M:%S}"


def test_by_tag_run_and_model_it_adds_up_to_what_was_charged(past):
    shop = [*past.runs[0], *past.runs[1]]
    batch = ("--batch", "shop")
    by_tag = usage(past, *batch, "--by", "tag")
    assert told(by_tag["by"], "tag") == charged(shop, lambda line: TAGS[line["prompt"]] or [None])
    assert [row["tag"] for row in by_tag["by"]] == ["autumn", "draft", "lamp", None]
    assert sum(row["attempts"] for row in by_tag["by"]) > by_tag["totals"]["attempts"] == 6
    plain = usage(past, *batch)
    assert by_tag["totals"] == plain["totals"]
    assert Decimal(plain["totals"]["usd"]) == sum(Decimal(line["usd"] or 0) for line in shop)
    lamp = next(row for row in by_tag["by"] if row["tag"] == "lamp")
    assert (lamp["usd_by_source"]["unknown"], lamp["unpriced"]) == (None, 1)  # gptimageapi states credits only

    first, second = [run["id"] for run in reversed(past.project.run("list", "runs", *batch, "--json").json)]
    by_run = usage(past, *batch, "--by", "run")
    by_id = {line["attempt"]: name for name, lines in zip((first, second), past.runs, strict=False) for line in lines}
    assert told(by_run["by"], "run") == charged(shop, lambda line: [by_id[line["attempt"]]])

    by_model = usage(past, *batch, "--by", "model")
    assert sum(Decimal(row["usd"] or 0) for row in by_model["by"]) == Decimal(plain["totals"]["usd"])
    assert {row["model"]: row["images"] for row in by_model["by"]} == {
        "gpt-image-2": 4, "gemini-3.1-flash-image": 1,
    }  # fmt: skip


def test_without_options_it_is_what_it_was(past):
    document = usage(past, "--batch", "shop")
    assert [(line["provider"], line["model"]) for line in document["by"]] == [
        ("aimlapi", "gpt-image-2"), ("gptimageapi", "gpt-image-2"), ("openai", "gpt-image-2"),
        ("openrouter", "gemini-3.1-flash-image"),
    ]  # fmt: skip
    assert document == usage(past, "--batch", "shop", "--by", "provider", "--by", "model")
    assert all(line["credits"] is None or Decimal(line["credits"]) for line in document["by"])
    assert usage(past)["selected"]["batch"] == "attic"


def test_days_are_those_of_the_time_zone(past):
    zone = midnight(past.between)
    split = usage(past, "--all", "--by", "day", TZ=zone)
    after = [*past.runs[1], *past.runs[2]]
    assert [row["day"] for row in split["by"]] == sorted(row["day"] for row in split["by"])
    earlier, later = told(split["by"], "day").values()
    assert {"": earlier} == charged(past.runs[0], lambda _: [""])
    assert {"": later} == charged(after, lambda _: [""])
    whole = usage(past, "--all", "--by", "day", "--by", "provider", TZ=midnight(past.between + timedelta(hours=12)))
    assert len({row["day"] for row in whole["by"]}) == 1
    assert whole["totals"] == split["totals"]

    # the days themselves, asked for by date
    first, second = (row["day"] for row in split["by"])
    for day, charges in ((first, past.runs[0]), (second, after)):
        one = usage(past, "--by", "day", "--since", day, "--until", day, "--all", TZ=zone)
        assert {"": told(one["by"], "day")[day]} == charged(charges, lambda _: [""])
        assert Decimal(one["totals"]["usd"]) == sum(Decimal(line["usd"] or 0) for line in charges)
    assert datetime.fromisoformat(one["selected"]["since"]) == past.between


def test_a_period_between_two_moments(past):
    moment = f"{past.between:%Y-%m-%dT%H:%M:%S}Z"
    before = usage(past, "--batch", "shop", "--until", moment, "--by", "provider")
    since = usage(past, "--batch", "shop", "--since", moment, "--by", "provider")
    for document, charges in ((before, past.runs[0]), (since, past.runs[1])):
        assert Decimal(document["totals"]["usd"]) == sum(Decimal(line["usd"] or 0) for line in charges)
        assert document["totals"]["images"] == sum(line["images"] for line in charges)
    assert (before["totals"]["attempts"], since["totals"]["attempts"]) == (5, 1)
    assert sum(line["count"] for line in before["calls"]) == 5
    assert [line["count"] for line in since["calls"]] == [1]
    assert usage(past, "--batch", "shop", "--since", "24h")["totals"] == usage(past, "--batch", "shop")["totals"]
    nothing = usage(past, "--batch", "shop", "--until", "1d")
    assert (nothing["by"], nothing["totals"]["usd"], nothing["totals"]["attempts"]) == ([], "0", 0)
    assert "booked    until" in past.project.run("usage", "--until", "1d").out


def test_all_batches_and_one_row_for_each(past):
    charges = [line for run in past.runs for line in run]
    attic = {line["attempt"] for line in past.runs[2]}
    by_batch = usage(past, "--by", "batch")
    expected = charged(charges, lambda line: ["attic" if line["attempt"] in attic else "shop"])
    assert told(by_batch["by"], "batch") == expected
    assert by_batch["selected"]["batch"] is None
    assert usage(past, "--all", "--by", "batch") == by_batch
    assert usage(past, "--all")["totals"] == by_batch["totals"]
    assert [row["batch"] for row in usage(past, "--by", "batch", "--batch", "attic")["by"]] == ["attic"]


def test_csv_is_one_table_with_stable_columns(past):
    words = ("usage", "--batch", "shop", "--by", "tag", "--by", "provider")
    done = past.project.run(*words, "--csv")
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["tag", "provider", *COLUMNS]
    listed = past.project.run(*words, "--json").json["by"]
    for name in ("tag", "provider", "attempts", "images", "credits", "usd", "at_risk_usd", "unpriced"):
        assert [row[name] for row in rows] == ["" if row[name] is None else str(row[name]) for row in listed], name
    assert {row["tag"] for row in rows} == {"autumn", "draft", "lamp", ""}


def test_the_table_for_people(past):
    out = past.project.run("usage", "--batch", "shop", "--by", "tag").out
    assert out.splitlines()[0].split() == [
        "tag",
        "attempts",
        "images",
        "tokens",
        "in",
        "tokens",
        "out",
        "credits",
        "USD",
        "source",
    ]
    assert "(no tag)" in out
    assert "the rows add up to more than the totals below" in out
    assert "spent     $" in out
    assert "add up" not in past.project.run("usage", "--batch", "shop", "--by", "day").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--since 2026-13-01", "such as 2026-11-20"),
        ("--until yesterday", "such as 24h or 7d"),
        ("--since 24h --until 7d", "is later than --until ("),
        ("--by week", "'week' is not one of 'provider'"),
        ("--csv --json", "--csv and --json exclude each other"),
        ("--all --batch shop", "--all and --batch exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(past, words, told):
    done = past.project.run("usage", *words.split())
    assert (done.code, done.out) == (2, "")
    assert told in done.err
