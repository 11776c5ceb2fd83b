"""The live page: follows a run, saves marks, waits for a server that is gone, and starts a redo after its price."""

from __future__ import annotations

import signal

import pytest

from tests.acceptance.kit import wait_for
from tests.serve.kit import Server
from tests.timing import patience

pytestmark = pytest.mark.timeout(180)
DEFAULTS = {"provider": "openai", "quality": "low"}


def cats(project, number):
    jobs = [{"id": f"cat-{n}", "prompt": f"A cat, number {n}"} for n in range(number)]
    return project.manifest(jobs, defaults=DEFAULTS)


@pytest.fixture
def project(workspace):
    project = workspace("live")
    assert project.run("run", cats(project, 3), "--yes").code == 0
    yield project
    project.end()


@pytest.fixture
def server(project):
    server = Server.start(project)
    yield server
    server.close()


def test_live_page_follows_a_run(visitor, project, server):
    tab = visitor.open(server.url)
    tab.wait_count("3 pictures")
    tab.page.get_by_text("live", exact=True).wait_for()
    tab.press("ArrowRight")
    cursor = tab.evaluate("() => document.querySelector('.line [tabindex=\"0\"]').dataset.row")
    assert project.run("run", cats(project, 6), "--yes").code == 0
    tab.wait_count("6 pictures")
    pill = tab.role("button", "3 new pictures: go to the first")
    pill.wait_for()
    assert tab.evaluate("() => document.querySelector('.line [tabindex=\"0\"]').dataset.row") == cursor
    tab.screenshot("live")
    pill.click()
    assert pill.is_hidden()
    assert tab.evaluate("() => document.querySelector('.line [tabindex=\"0\"]').dataset.row") == "3"


def test_live_figures_leave_the_focus_where_it_is(visitor, project, server):
    tab = visitor.open(server.url)
    tab.page.get_by_text("live", exact=True).wait_for()
    chart, model = tab.role("slider", "Time of the night"), tab.role("tab", "Model")
    for number, control in ((4, chart), (5, model)):
        control.focus()
        assert project.run("run", cats(project, number), "--yes").code == 0
        tab.role("heading", f"All {number} done").wait_for()
        tab.wait(f"() => document.querySelector('.figure .value').textContent === '{number}'")
        assert control.evaluate("(element) => element === document.activeElement")


def test_live_marks_reach_database_and_other_pages(visitor, project, server):
    one, two = visitor.open(server.url), visitor.open(server.url)
    for tab in (one, two):
        tab.wait_count("3 pictures")
        tab.page.get_by_text("live", exact=True).wait_for()
    one.press("x")
    wait_for(lambda: [row["mark"] for row in project.rows("select mark from marks")] == ["reject"])
    two.wait("() => document.querySelector('.tally .x').textContent === '1'")
    one.press("Control+z")
    wait_for(lambda: project.rows("select mark from marks") == [])
    two.wait("() => document.querySelector('.tally .x').textContent === '0'")


def test_live_page_waits_for_its_server(visitor, project, server):
    tab = visitor.open(server.url)
    tab.allowed.append("ERR_|Failed to load resource")
    tab.wait_count("3 pictures")
    tab.page.get_by_text("live", exact=True).wait_for()
    server.stop(signal.SIGKILL)
    tab.page.get_by_text("server gone, trying again").wait_for()
    tab.press("p")
    tab.page.get_by_text("server gone, trying again; 1 mark not saved yet").wait_for()
    tab.screenshot("live-gone")
    again = Server.start(project)
    try:
        assert again.url == server.url
        tab.page.get_by_text("live", exact=True).wait_for(timeout=patience(20) * 1000)
        wait_for(lambda: [row["mark"] for row in project.rows("select mark from marks")] == ["pick"])
    finally:
        again.close()


def test_live_redo_shows_its_price_first(visitor, project, server):
    tab = visitor.open(server.url)
    tab.wait_count("3 pictures")
    before = server.rows()
    tab.press("x", "s")
    sheet = tab.role("dialog")
    sheet.get_by_role("button", name="Show the price of 1 job").click()
    confirm = sheet.get_by_role("button", name="Make again 1 for at most $")
    confirm.wait_for(timeout=patience(30) * 1000)
    assert len(project.rows("select 1 from runs")) == 1
    tab.screenshot("live-price")
    confirm.click()
    sheet.locator(".run-form").get_by_text("The run has ended with exit code 0").wait_for(timeout=patience(30) * 1000)
    tab.screenshot("live-ended")
    after = server.rows()
    assert [key for key in before if before[key]["sha"] != after[key]["sha"]] == ["cat-0"]
    tab.wait("() => document.querySelector('.tally .x').textContent === '0'")  # a replaced picture is unmarked again
    assert len(project.rows("select 1 from ledger")) == 4
