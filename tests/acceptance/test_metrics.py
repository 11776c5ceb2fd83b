"""Figures for Prometheus: a file that a strict reader takes, whole at every moment, and true."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from batchgen.app.monitoring.metrics import Family, exposition

from .kit import Workspace, wait_for

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (-?\d+(?:\.\d+)?)")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], Decimal]


def parsed(text: str) -> Samples:
    """Read the text form by its specification, strictly: HELP, TYPE, then the samples of a family, each once."""
    assert text.endswith("\n")
    found: Samples = {}
    current, kind, seen = "", "", set()
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            helped = re.fullmatch(rf"# HELP ({_NAME}) (\S.*)", line)
            assert helped, line
            typed = re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge)", next(lines))
            assert typed, line
            assert typed[1] == helped[1], line
            current, kind = typed[1], typed[2]
            assert current not in seen
            seen.add(current)
            assert current.endswith("_total") is (kind == "counter")
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        assert sample[1] == current
        labels = {}
        rest = sample[2] or ""
        while rest:
            label = _LABEL.match(rest)
            assert label, line
            labels[label[1]] = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), label[2])
            rest = rest[label.end() :]
        key = (current, frozenset(labels.items()))
        assert key not in found, line
        found[key] = Decimal(sample[3])
    return found


def get(samples: Samples, name: str, **labels: str) -> Decimal:
    return samples["batchgen_" + name, frozenset(labels.items())]


def read(project: Workspace) -> Samples:
    return parsed((project.folder / "metrics.prom").read_text())


def test_the_figures_agree_with_the_ledger(project):
    jobs = [
        {"id": "a", "provider": "openai", "quality": "low", "prompt": "A"},
        {"id": "b", "provider": "openai", "prompt": "B [sandbox: refuse]"},
        {"id": "c", "provider": "aimlapi", "prompt": "C [sandbox: money]"},
        {"id": "d", "provider": "gptimageapi", "quality": "low", "prompt": "D"},
    ]
    manifest = project.manifest(jobs, budget={"usd": 3, "credits": {"gptimageapi": 9}})
    done = project.run("run", manifest, "--yes", "--metrics-file", "metrics.prom", "--json")
    found = read(project)
    shop, openai = {"batch": "shop"}, {"batch": "shop", "provider": "openai"}
    spent = Decimal(project.rows("select sum(usd) as usd from ledger where usd > 0")[0]["usd"]) / 10**9
    assert get(found, "spend_usd_total", **openai) == spent > 0
    assert get(found, "spend_credits_total", **shop, provider="gptimageapi") == 2
    assert get(found, "images_total", **openai) == get(found, "jobs_failed_total", **openai) == 1
    states = {state: get(found, "jobs", **shop, state=state) for state in done.json["jobs"] if state != "total"}
    assert {"total": 4} | states == done.json["jobs"]
    assert get(found, "lane_closed", **shop, provider="aimlapi", lane="aimlapi") == 1
    assert get(found, "lane_closed", **openai, lane="openai") == 0
    assert get(found, "calls_in_flight", **openai) == 0
    assert get(found, "budget_limit_usd", **shop, scope="this batch") == 3
    assert get(found, "budget_used_usd", **shop, scope="this batch") == spent
    assert get(found, "run_exit_code", **shop) == done.code == 7
    assert get(found, "run_ended_timestamp_seconds", **shop) > get(found, "run_started_timestamp_seconds", **shop)
    assert [path.name for path in project.folder.iterdir() if "metrics" in path.name] == ["metrics.prom"]


def test_it_is_there_while_a_run_goes_on(project, witness):
    jobs = [{"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=3]"}]
    (project.folder / "metrics.prom").write_text("old")
    process = project.start("run", project.manifest(jobs), "--yes", "--metrics-file", "metrics.prom")
    wait_for(lambda: (project.folder / "metrics.prom").read_text() != "old", process)
    found = read(project)
    assert get(found, "jobs", batch="shop", state="done") == 0
    assert ("batchgen_run_exit_code", frozenset({("batch", "shop")})) not in found
    process.communicate(timeout=30)
    assert get(read(project), "run_exit_code", batch="shop") == 0


def test_unwritable_file_is_reported_once_and_changes_nothing(project):
    jobs = [{"id": "a", "provider": "openai", "quality": "low", "prompt": "A"}]
    done = project.run("run", project.manifest(jobs), "--yes", "-q", "--metrics-file", "none/metrics.prom")
    assert done.code == 0
    assert len(done.err.splitlines()) == 1
    assert "No such file or directory; the run continues" in done.err


def test_names_that_need_escaping():
    nasty = 'a"b\\c\nd}'
    family = Family(name="x_total", kind="counter", help="Back\\slash\nand line.", samples=[({"who": nasty}, "0.5")])
    text = exposition([family, Family(name="empty", kind="gauge", help="Nothing.")])
    assert parsed(text) == {("x_total", frozenset({("who", nasty)})): Decimal("0.5")}
    assert text.splitlines()[0] == "# HELP x_total Back\\\\slash\\nand line."


@pytest.mark.parametrize(
    "text", ["x 1\n", "# HELP x y\n# TYPE x counter\nx 1\n", "# HELP x y\n# TYPE x gauge\nx{a=b} 1\n"]
)
def test_the_reader_is_strict(text):
    with pytest.raises(AssertionError):
        parsed(text)
