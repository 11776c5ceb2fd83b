"""The end of a run: in words, as JSON and as a file, all three the same; and silence where nobody is needed."""

from __future__ import annotations

import json
import stat
from decimal import Decimal

from .kit import Workspace


def summaries(project: Workspace) -> list[dict]:
    files = sorted(project.state.glob("runs/*/summary.json"), key=lambda file: file.stat().st_mtime_ns)
    return [json.loads(project.axis.text(file.read_text())) for file in files]


def test_summary_agrees_with_the_output_and_the_ledger(project):
    jobs = [
        {"id": "fine", "provider": "openai", "quality": "low", "prompt": "A"},
        {"id": "no", "provider": "openai", "prompt": "B [sandbox: refuse]"},
        {"id": "none", "provider": "openrouter", "prompt": "C [sandbox: empty]"},
    ]
    manifest = project.manifest(jobs, budget={"usd": 5, "credits": {"aimlapi": 100}})
    done = project.run("run", manifest, "--budget", "2", "--json")
    [kept] = summaries(project)
    assert (done.code, done.json) == (3, kept)
    [file] = project.state.glob("runs/*/summary.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.parent.name == kept["run"]["id"] == project.rows("select id from runs")[0]["id"]
    assert [path.name for path in file.parent.iterdir()] == ["summary.json"]

    assert kept["jobs"] | {"pending": 0} == {
        "total": 3, "pending": 0, "running": 0, "done": 1, "failed": 2, "unknown": 0, "cancelled": 0
    }  # fmt: skip
    assert (kept["exit_code"], kept["needs_person"], kept["run"]["images"]) == (3, True, 1)
    assert kept["exit_words"] == "ran to the end; some jobs failed or are unknown"
    by_cause = {failure["cause"]: failure for failure in kept["failures"]}
    assert by_cause["refused"]["example"]["id"] == "no"
    assert by_cause["refused"]["next"] is None
    assert by_cause["empty"]["next"] == "batchgen retry m.yaml --budget 2 --cause empty"
    spent = sum(row["usd"] or 0 for row in project.rows("select usd from ledger"))
    assert Decimal(kept["run"]["usd"]) * 10**9 == Decimal(kept["spend"]["usd"]) * 10**9 == spent > 0
    caps = {cap["scope"]: cap for cap in kept["budgets"]}
    assert caps["this run"]["usd"] == {"limit": "2", "used": kept["spend"]["usd"]}
    assert {cap["usd"]["limit"] for cap in kept["budgets"]} == {"2", "5"}

    # every next command of the summary is one that works, and the words say the same
    again = project.run("run", manifest, "--budget", "2")
    lines = again.err.splitlines()
    assert "empty" in next(line for line in lines if line.startswith("failed"))
    assert [line.startswith("failed") for line in lines].index(True) < lines.index(
        "shop: nothing to send; 1 of 3 jobs done"
    )
    budget = next(number for number, line in enumerate(lines) if line.startswith("budget    "))
    assert "of $5.00" in lines[budget]
    assert lines[budget + 1].strip() == "$0.00 of $2.00 for this run"
    for step in kept["next"]:
        if step["command"]:
            assert step["command"] in again.err
            assert project.run(*step["command"].split()[1:], *["--yes"] * ("retry" in step["command"])).code in (0, 3)


def test_what_is_unknown_is_in_the_summary_with_its_price(project):
    lost = [{"id": "lost", "provider": "openai", "quality": "low", "prompt": "A [sandbox: drop]"}]
    done = project.run("run", project.manifest(lost, on_unknown="hold"), "--yes", "--json")
    unknown = done.json["unknown"]
    assert (done.code, unknown["jobs"], unknown["attempts"]) == (3, 1, 1)
    assert Decimal(unknown["usd"]) > 0
    assert {
        "command": "batchgen unknown list",
        "what": "lists the 1 unknown job and your options",
        "cause": None,
    } in (done.json["next"])


def test_cron_mails_once(project):
    """-q says what failed when it failed, and not again in every run of the night."""
    jobs = [{"id": "no", "provider": "openai", "prompt": "B [sandbox: refuse]"}]
    first = project.run("-q", "run", project.manifest(jobs), "--yes")
    assert first.err.splitlines()[0].startswith("failed    1 refused, job no")
    second = project.run("-q", "run", "m.yaml", "--yes")
    assert (second.code, second.out, second.err) == (3, "", "")
    jobs.append({"id": "no2", "provider": "openai", "prompt": "C [sandbox: refuse]"})
    third = project.run("-q", "run", project.manifest(jobs), "--yes")
    assert "failed    2 refused" in third.err
    assert [kept["needs_person"] for kept in summaries(project)] == [True, False, True]
