"""The evening of a shop: a list, photos, mistakes, a plan, a run, Ctrl-C, kill, failures, redo, cron and a budget.

One test in the order of the evening; the charge log of the simulated providers is the witness of what was bought.
"""

from __future__ import annotations

import csv
import signal
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from .kit import Witness, Workspace, check_books, check_files, finish, wait_for

PRODUCTS, PHOTOS = 24, 6
HEADS = ("SKU", "Product Name", "Colour")
MANIFEST = """\
name: autumn
output: {{dir: ../output}}
budget: {budget}
retry: {{attempts: 2, first_wait: 0.05, max_wait: 0.2}}
on_unknown: hold
providers:
  openai: {{base_url: "{url}/openai", limits: {{concurrency: 4}}}}
defaults: {{provider: openai, quality: low}}
jobs:
  - id: "{{{{ SKU }}}}"
    prompt: "Studio photo of {{{{ {name} }}}}, {{{{ Colour }}}}"
    from: ../{file}
  - id: "photo-{{{{ stem }}}}"
    {prompt}: "{{{{ stem }}}} on a white background"
    from: ../photos
"""


@pytest.fixture(scope="module")
def latency():
    return "0.4"


def rows() -> list[tuple[str, str, str]]:
    names = [f"Lamp {number}" for number in range(PRODUCTS)]
    names[3] += " [sandbox: refuse]"
    return [(f"L-{number:03}", name, "red" if number % 2 else "blue") for number, name in enumerate(names)]


def write_list(path: Path, products: list[tuple[str, str, str]]) -> None:
    """Write the products as a spreadsheet program does: an Excel workbook, or CSV with a BOM and CRLF."""
    if path.suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in (HEADS, *products):
            book.active.append(row)
        book.save(path)
        return
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([HEADS, *products])


def write_manifest(project: Workspace, file: str, **changes: object) -> None:
    words = {"url": project.url, "file": file, "name": "Product_Name", "prompt": "prompt", "budget": 20}
    (project.folder / "jobs/autumn.yaml").write_text(MANIFEST.format(**words | changes))


def settle_charges(project: Workspace, witness: Witness) -> Counter[str]:
    """Check the ledger against the charge log; return how often each prompt was paid for."""
    charges = witness.charges()
    check_books(project, charges)
    return Counter(line["prompt"] for line in charges)


def interrupted_run(project: Workspace, witness: Witness, *, by: signal.Signals) -> int:
    """Run the batch, end it by a signal once four more images were paid for, and return its exit code."""
    before = len(witness.now())
    running = project.start("run", "--yes")
    wait_for(lambda: sum(line["event"] == "charge" for line in witness.now()[before:]) >= 4)
    running.send_signal(by)
    finish(running)
    return running.returncode


@pytest.mark.parametrize("file", ["products.csv", "products.xlsx"])
def test_the_evening_of_a_shop(project, witness, file):
    (project.folder / "jobs").mkdir()
    (project.folder / "photos/summer").mkdir(parents=True)
    write_list(project.folder / file, rows())
    for number in range(PHOTOS):
        place = project.folder / "photos" / ("summer" if number % 2 else ".")
        Image.new("RGB", (320, 240), (40 * number, 80, 120)).save(place / f"img {number}.jpg")

    mistakes_are_found_together(project, file)
    the_sandbox_costs_nothing(project, witness)
    nothing_is_bought_without_consent(project, witness, file)
    interruptions_lose_nothing(project, witness)
    a_failure_is_fixed_in_the_list(project, witness, file)
    a_picture_is_made_again(project, witness)
    cron_has_nothing_to_report(project, witness)


def mistakes_are_found_together(project: Workspace, file: str) -> None:
    write_manifest(project, file, name="Product Name", prompt="promt")
    wrong = project.run("validate")
    assert wrong.code == 4
    assert "Product_Name" in wrong.err
    assert "did you mean 'prompt'?" in wrong.err
    assert "jobs/autumn.yaml:" in wrong.err
    write_manifest(project, file)
    assert f"1 manifest, {PRODUCTS + PHOTOS} jobs: no mistakes" in project.run("validate").out


def the_sandbox_costs_nothing(project: Workspace, witness: Witness) -> None:
    tried = project.run("run", "autumn", "--sandbox", "--limit", "3", "--latency", "none")
    assert tried.code == 0, tried.err
    assert len(list((project.folder / "jobs/sandbox-output/autumn").rglob("*.png"))) == 3
    assert "There is a sandbox run of autumn: batchgen status --sandbox" in project.run("status").err
    assert witness.arrivals() == []


def nothing_is_bought_without_consent(project: Workspace, witness: Witness, file: str) -> None:
    plan = project.run("plan", "autumn")
    assert f"{PRODUCTS + PHOTOS} jobs: {PRODUCTS + PHOTOS} new" in plan.out
    write_manifest(project, file, budget="{usd: 0.02}")
    used_up = project.run("run")
    assert used_up.code == 7
    assert "jobs/autumn.yaml:3" in used_up.err  # the line of the budget to raise
    bought = settle_charges(project, witness)
    assert 1 <= sum(bought.values()) <= 3
    write_manifest(project, file)


def interruptions_lose_nothing(project: Workspace, witness: Witness) -> None:
    assert interrupted_run(project, witness, by=signal.SIGINT) == 130
    assert interrupted_run(project, witness, by=signal.SIGKILL) == -signal.SIGKILL
    completed = project.run("run", "--yes")
    assert completed.code == 3, completed.err
    bought = settle_charges(project, witness)
    assert max(bought.values()) == 1  # on_unknown: hold
    states = Counter(row["state"] for row in project.jobs().values())
    assert states["failed"] == 1
    assert states["done"] + states["unknown"] == PRODUCTS + PHOTOS - 1
    if states["unknown"]:  # calls that the kill cut off: their owner decides to buy them again
        assert project.run("unknown").out.count("openai") == states["unknown"]
        assert project.run("unknown", "retry", "--provider", "openai").code == 0
        assert project.run("run", "--yes").code == 3
    assert Counter(row["state"] for row in project.jobs().values()) == {"done": PRODUCTS + PHOTOS - 1, "failed": 1}


def a_failure_is_fixed_in_the_list(project: Workspace, witness: Witness, file: str) -> None:
    failed = project.run("list", "--status", "failed")
    assert "L-003" in failed.out
    before = len(witness.charges())
    products = rows()
    products[3] = ("L-003", "Lamp 3", "red")
    write_list(project.folder / file, products)
    assert "1 changed" in project.run("plan").out
    assert project.run("run", "--yes").code == 0
    assert len(witness.charges()) == before + 1
    assert project.run("retry", "--yes").code == 0
    assert len(witness.charges()) == before + 1


def a_picture_is_made_again(project: Workspace, witness: Witness) -> None:
    before, [old] = len(witness.charges()), (project.folder / "output").rglob("L-005.png")
    data = old.read_bytes()
    again = project.run("redo", "autumn", "--id", "L-005", "--yes", "--note", "too dark")
    assert again.code == 0, again.err
    assert len(witness.charges()) == before + 1
    assert old.read_bytes() != data
    assert [path.read_bytes() for path in old.parent.rglob(".superseded/**/L-005*.png")] == [data]


def cron_has_nothing_to_report(project: Workspace, witness: Witness) -> None:
    before = len(witness.charges())
    line = project.run("schedule", "cron", "jobs/autumn.yaml", "--json").json["command"]
    quiet = project.run(*line[1:], cwd=project.folder.parent)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert len(witness.charges()) == before
    assert project.run("verify").code == 0
    check_files(project)
