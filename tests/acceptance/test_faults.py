"""What providers do to people: every fault through the whole program, seen from the table, the disk and the log."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal

from .kit import CANARY, PROVIDERS, check_books, check_files, is_withdrawn, opened

#: directive -> state, cause, and the attempts' causes in order (None: delivered)
TABLE = {
    "refuse": ("failed", "refused", ["refused"]),
    "invalid": ("failed", "invalid", ["invalid"]),
    "empty": ("failed", "empty", ["empty"] * 3),
    "throttle x2 retry-after=0.1": ("done", None, ["throttled"] * 2 + [None]),
    "overloaded x1 retry-after=0.1": ("done", None, ["throttled", None]),
    "error500 x1": ("done", None, ["error", None]),
    "error500": ("failed", "error", ["error"] * 3),
    "truncated": ("failed", "spoiled", ["spoiled"] * 2),
    "truncated x1": ("done", None, ["spoiled", None]),
    "badbase64": ("failed", "spoiled", ["spoiled"] * 2),
    "badjson x1": ("done", None, ["spoiled", None]),
    "html200 x1": ("done", None, ["spoiled", None]),
    "drop x1": ("done", None, ["unknown", None]),
    "drop": ("unknown", "unknown", ["unknown"] * 2),
    "half-body x1": ("done", None, ["unknown", None]),
    "cloudflare524 x1": ("done", None, ["unknown", None]),
    "url404": ("failed", "spoiled", ["spoiled"] * 2),
    "wrongsize": ("done", None, [None]),
}


def codes_end(project) -> bool:
    """Tell whether nothing waits any more."""
    status = project.run("status", "--json")
    return status.code != 10 and status.json["jobs"]["pending"] == 0


STRICT = ("openai", "aigate", "aimlapi")


def test_every_fault_ends_where_the_table_says(project, witness):
    jobs = [
        {
            "id": f"{provider}-{number}",
            "provider": provider,
            "quality": "low",
            "prompt": f"{provider} {number} [sandbox: {fault}]",
        }
        for provider in STRICT
        for number, fault in enumerate(TABLE)
    ]
    wide = {provider: {"limits": {"concurrency": 32}, "timeout": {"download": 1}} for provider in STRICT}
    manifest = project.manifest(jobs, providers=wide)
    # so many calls in doubt close a lane (8), and the next run goes on
    codes = [project.run("run", manifest, "--yes").code for _ in range(8) if not codes_end(project)]
    assert codes[-1] == 3
    assert set(codes) <= {3, 8}
    found = project.jobs()
    useless = 0
    for provider in STRICT:
        ends = {}
        for number, fault in enumerate(TABLE):
            job = found[f"{provider}-{number}"]
            causes = [attempt["cause"] for attempt in job["attempts"] if not is_withdrawn(attempt)]
            useless += causes.count("spoiled") + causes.count("empty") + (fault == "half-body x1")
            ends[fault] = (job["state"], job["cause"], causes)
        assert ends == TABLE, provider
    check_files(project)
    check_ledger(project, witness)
    kept = [path for path in project.spool() if path.suffix == ".kept"]
    assert len(kept) == useless  # no success that was not delivered is thrown away
    odd = f"openai-{list(TABLE).index('wrongsize')}"
    [row] = project.rows("select width, height from artifacts a join jobs j on j.id = a.job_id where key = ?", odd)
    assert (row["width"], row["height"]) != (1024, 1024)


def check_ledger(project, witness) -> None:
    """What is booked and what is at risk cover what was charged; a row per attempt; ``status`` says the same."""
    charges = witness.charges()
    ledger = project.ledger()
    rows = ledger.values()
    known = Decimal(sum(row["usd"] or 0 for row in rows)) / 10**9
    sure = Decimal(sum(row["usd"] or 0 for row in rows if row["basis"] in ("reported", "priced"))) / 10**9
    at_risk = Decimal(sum(row["at_risk_usd"] or 0 for row in rows)) / 10**9
    assert sure <= sum(Decimal(line["usd"] or 0) for line in charges) <= known + at_risk
    attempts = project.rows("select id, cause, message from attempts")
    withdrawn = [attempt["id"] for attempt in attempts if is_withdrawn(attempt)]
    assert len(rows) == len(attempts) == len(witness.arrivals()) + len(withdrawn)
    for row in map(ledger.get, withdrawn):
        assert (row["charged"], row["usd"], row["at_risk_usd"]) == ("no", 0, None), row
    assert not {line["attempt"] for line in witness.arrivals()} & set(withdrawn)
    status = project.run("status", "--json").json
    assert Decimal(status["spend"]["usd"]) == known
    assert Decimal(status["spend"]["at_risk_usd"]) == at_risk
    check_books(project, charges)
    images = Counter(line["prompt"] for line in charges)
    for row in project.rows("select task from jobs where state = 'done'"):
        assert images[json.loads(row["task"])["prompt"]]


def test_held_doubt_is_not_bought_again(project, witness):
    jobs = [{"id": "a", "provider": "openai", "quality": "low", "prompt": "A [sandbox: drop x1]"}]
    manifest = project.manifest(jobs, on_unknown="hold")
    assert project.run("run", manifest, "--yes").code == 3
    assert project.run("run", manifest, "--yes").code == 3
    assert len(witness.charges()) == len(witness.arrivals()) == 1
    status = project.run("status", "--json").json
    assert status["jobs"]["unknown"] == 1
    assert Decimal(status["spend"]["at_risk_usd"]) >= Decimal(witness.charges()[0]["usd"])
    shown = project.run("show", "a").out
    assert "cost      nothing is booked\nat risk   $0.00" in shown
    assert re.search(r"^at risk   \$0\.00\d+ for 1 attempt that may have been charged$", shown, re.MULTILINE)
    assert re.search(r"^attempt 1 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  ", shown, re.MULTILINE)
    risk = {"attempts": 1, "usd": status["spend"]["at_risk_usd"], "credits": None}
    assert project.run("show", "a", "--json").json["at_risk"] == risk
    assert project.run("retry", manifest, "--yes", "--status", "unknown").code == 0
    assert len(witness.charges()) == 2
    both = project.run("show", "a").out
    assert "\nat risk   $0.00" in both
    assert "nothing is booked" not in both
    check_files(project)


def test_an_empty_account_closes_its_lane_only(project, witness):
    poor = ("openai", "aimlapi", "openrouter")
    jobs = [
        {"id": f"m-{name}-{n}", "provider": name, "prompt": f"M {name} {n} [sandbox: money x99]"}
        for name in poor
        for n in range(8)
    ]
    jobs += [{"id": f"g{n}", "provider": "gptimageapi", "quality": "low", "prompt": f"G{n}"} for n in range(3)]
    manifest = project.manifest(jobs, providers={name: {"limits": {"concurrency": 3}} for name in poor})
    done = project.run("run", manifest, "--yes")
    assert (done.code, done.out) == (7, "")
    assert all(f"stopped   {name}: out of money" in done.err for name in poor)
    sent = Counter(line["provider"] for line in witness.arrivals())
    assert all(1 <= sent[name] <= 3 for name in poor)
    states = {key: job["state"] for key, job in project.jobs().items()}
    assert {state for key, state in states.items() if key[0] == "m"} == {"pending"}
    assert {state for key, state in states.items() if key[0] == "g"} == {"done"}
    assert sum(row["usd"] or 0 for row in project.ledger().values()) == 0
    paid = project.manifest([job | {"prompt": job["prompt"].split(" [")[0]} for job in jobs])
    assert project.run("run", paid, "--yes").code == 0
    assert len(witness.charges()) == len(jobs)


def test_a_refused_key_closes_its_lane(project, witness):
    jobs = [{"id": f"{name}-{n}", "provider": name, "prompt": f"D{n}"} for name in PROVIDERS for n in range(8)]
    manifest = project.manifest(jobs, providers={name: {"limits": {"concurrency": 2}} for name in PROVIDERS})
    bad = {f"{name.upper()}_API_KEY": f"bad-{CANARY}" for name in PROVIDERS}
    done = project.run("run", manifest, "--yes", **bad)
    assert (done.code, done.out) == (5, "")
    sent = Counter(line["provider"] for line in witness.arrivals())
    for name in PROVIDERS:
        assert f"stopped   {name}" in done.err
        assert 1 <= sent[name] <= 2
    assert {job["state"] for job in project.jobs().values()} == {"pending"}
    assert witness.charges() == []


def test_a_short_answer_asks_again_only_for_what_is_missing(project, witness):
    three = {"n": 3, "per_request": 3, "quality": "low"}
    jobs = [
        {"id": "owl", "provider": "openai", "prompt": "Owls [sandbox: short x1]", **three},
        {"id": "whole", "provider": "openai", "prompt": "Whole", **three},
        {"id": "apart", "provider": "openai", "prompt": "Apart", "quality": "low", "n": 2},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    asked = Counter((line["prompt"], line["n"] or 1) for line in witness.arrivals())
    assert asked == {
        ("Owls [sandbox: short x1]", 3): 1,
        ("Owls [sandbox: short x1]", 1): 1,
        ("Whole", 3): 1,
        ("Apart", 1): 2,
    }
    names = {path.name for path in project.images()}
    assert names == {f"{key}-{n}.png" for key in ("owl", "whole") for n in (1, 2, 3)} | {"apart.png", "apart-2.png"}
    assert all(opened(path) for path in project.images())
    check_files(project)
    check_books(project, witness.charges())


def test_the_first_provider_that_can_do_it_gets_it(project, witness, tmp_path):
    picture = tmp_path / "source.png"
    make_picture(picture)
    jobs = [
        {"id": "edit", "provider": ["gptimageapi", "aimlapi"], "images": ["source.png"], "prompt": "Darker"},
        {"id": "plain", "provider": ["gptimageapi", "aimlapi"], "quality": "low", "prompt": "Plain"},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    sent = {line["prompt"]: (line["provider"], line["kind"]) for line in witness.arrivals()}
    assert sent["Darker"][0] == "aimlapi"
    assert sent["Darker"][1] != sent["Plain"][1]
    assert sent["Plain"][0] == "gptimageapi"


def test_another_source_image_is_another_request(project, witness, tmp_path):
    picture = tmp_path / "source.png"
    make_picture(picture)
    manifest = project.manifest([{"id": "edit", "provider": "openai", "images": "source.png", "prompt": "Darker"}])
    for shade, arrivals in ((200, 1), (200, 1), (90, 2)):
        make_picture(picture, shade)
        assert project.run("run", manifest, "--yes").code == 0
        assert len(witness.arrivals()) == arrivals
    check_files(project)


def make_picture(path, shade: int = 200) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), (shade, 40, 40)).save(path)


def test_run_ended_by_answers_without_images_names_one(project, witness):
    jobs = [{"id": f"j{number}", "prompt": f"number {number} [sandbox: empty]"} for number in range(12)]
    path = project.manifest(jobs, defaults={"provider": "openai", "quality": "low"})
    done = project.run("run", path, "--yes", "-j", "2")
    assert done.code == 8, done.err
    [line] = [line for line in done.err.splitlines() if line.startswith("next ")]
    shown = project.run(*line.split()[2:4])
    assert shown.code == 0
    assert "empty" in shown.out
