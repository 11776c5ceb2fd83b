"""Real lists: the tables of the package vega_datasets, where it is installed, through validate, plan and a run."""

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest

SPEC = find_spec("vega_datasets")
pytestmark = pytest.mark.skipif(SPEC is None, reason="vega_datasets is not installed")
TOP = {"defaults": {"provider": "aigate", "size": "1024x1024", "quality": "low"}}


@pytest.fixture
def data():
    return Path(next(iter(SPEC.submodule_search_locations))) / "_data"


def _tsv(rows, path):
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def _xlsx(rows, path):
    book = pytest.importorskip("openpyxl").Workbook(write_only=True)
    sheet = book.create_sheet("Airports")
    for row in rows:
        sheet.append(row)
    book.save(path)


@pytest.mark.parametrize(("name", "write"), [("airports.tsv", _tsv), ("airports.xlsx", _xlsx)])
def test_real_list_makes_the_same_jobs_in_every_format(project, data, name, write):
    with (data / "airports.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[:400]
    write(rows, project.folder / name)
    with (project.folder / "airports.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    plans = []
    for source in ("airports.csv", name):
        job = {"id": "{{ iata }}", "from": source, "prompt": "Aerial photo of {{ name }}, {{ city }} ({{ latitude }})"}
        manifest = project.manifest([job], **TOP)
        assert "no mistakes" in project.run("validate", manifest).out
        items = project.run("plan", "--json", "--full", manifest).json["items"]
        plans.append([(item["id"], item["prompt"]) for item in items])
    assert plans[0] == plans[1]
    assert len(plans[0]) == 399
    assert project.run("run", manifest, "--yes", "--limit", "3").code == 0


def test_real_lists_without_prompts_are_one_error_each_that_names_the_columns(project, data):
    for path in sorted(data.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        refused = project.run("validate", project.manifest([{"from": str(path)}], **TOP))
        assert refused.code == 4
        assert "1 problem" in refused.err
        assert ", ".join(header[:20]) in refused.err
