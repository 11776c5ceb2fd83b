"""``report: true``: thumbnails while a run is in progress, and the report at its end."""

from __future__ import annotations

import signal

import pytest

from batchgen.sandbox import launch

from .kit import check_books, finish, wait_for


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with launch.start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=90) as running:
        yield running


def jobs(count: int = 4, **fields: object) -> list[dict[str, object]]:
    common = {"provider": "openai", "quality": "low"} | fields
    return [common | {"id": f"j{number}", "prompt": f"Picture {number}"} for number in range(count)]


def thumbs(project) -> list[str]:
    return sorted(path.name for path in (project.folder / "output/shop/report/thumbs").glob("*.webp"))


def expected(project) -> list[str]:
    return sorted(f"{row['sha256'][:16]}.webp" for row in project.rows("SELECT sha256 FROM artifacts"))


@pytest.mark.not_on(s3="the place of the page; test_delivered_objects")
def test_a_run_ends_with_its_report(project):
    done = project.run("run", project.manifest(jobs(), report=True), "--yes")
    assert done.code == 0
    assert "report    output/shop/report/index.html" in done.err
    assert (project.folder / "output/shop/report/index.html").is_file()
    assert thumbs(project) == expected(project)
    assert len(project.rows("SELECT * FROM picture_facts WHERE error IS NULL")) == 4
    assert project.run("report", "--json").json["thumbnails"] == {"made": 0, "reused": 4}
    again = project.run("run", "m.yaml", "--yes", "--json")
    assert (again.code, again.json["report"]) == (0, str(project.folder / "output/shop/report/index.html"))


def test_a_run_without_report_makes_no_thumbnail(project):
    done = project.run("run", project.manifest(jobs(2)), "--yes", "--json")
    assert (done.code, done.json["report"]) == (0, None)
    assert not (project.folder / "output/shop/report").exists()
    assert project.rows("SELECT * FROM picture_facts") == []


@pytest.mark.parametrize(("setting", "manifest", "is_written"), [("true", None, True), ("true", False, False)])
def test_settings_ask_for_reports_and_the_manifest_decides(project, setting, manifest, is_written):
    (project.folder / "batchgen.yaml").write_text(f"report: {setting}\n", encoding="utf-8")
    own = {} if manifest is None else {"report": manifest}
    assert project.run("run", project.manifest(jobs(1), **own), "--yes").code == 0
    assert (project.folder / "output/shop/report/index.html").exists() is is_written


def test_a_wrong_setting_is_an_error_at_its_place(project):
    (project.folder / "batchgen.yaml").write_text("report: often\n", encoding="utf-8")
    done = project.run("run", project.manifest(jobs(1)), "--yes")
    assert done.code == 4
    assert "batchgen.yaml:1:9: report: should be true or false" in done.err


def test_a_run_with_failures_or_without_money_gets_its_report(project):
    failing = [*jobs(2), {"id": "bad", "provider": "openai", "quality": "low", "prompt": "Bad [sandbox: refuse]"}]
    assert project.run("run", project.manifest(failing, report=True), "--yes").code == 3
    assert len(thumbs(project)) == 2
    more = project.run("run", project.manifest(jobs(30), report=True), "--yes", "--budget", "0.02")
    assert more.code == 7
    assert "report    output/shop/report/index.html" in more.err
    assert thumbs(project) == expected(project)


@pytest.mark.not_on(s3="a file in the way of a folder")
def test_a_report_that_cannot_be_written_is_a_warning(project):
    folder = project.folder / "output" / "shop"
    folder.mkdir(parents=True)
    for name in ("report", "report-shop"):
        (folder / name).write_text("a file of the user", encoding="utf-8")
    done = project.run("run", project.manifest(jobs(2), report=True), "--yes")
    assert done.code == 0
    assert "report    not written: " in done.err
    assert "batchgen report" in done.err
    assert (folder / "report").read_text(encoding="utf-8") == "a file of the user"


@pytest.mark.not_on(s3="waits for files on the disk")
def test_an_interrupted_run_gets_its_report(project):
    slow = jobs(40, prompt="x")
    for job in slow:
        job["prompt"] = f"{job['id']} [sandbox: slow=0.3]"
    manifest = project.manifest(slow, report=True, providers={"openai": {"limits": {"concurrency": 2}}})
    process = project.start("run", manifest, "--yes")
    wait_for((project.folder / "output/shop/j1.png").exists, process)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130
    assert "report    output/shop/report/index.html" in done.err
    assert thumbs(project) == expected(project)


@pytest.mark.not_on(s3="waits for files on the disk")
@pytest.mark.parametrize("moment", ["thumbs", "first"])
def test_a_killed_run_loses_nothing_and_the_next_report_is_complete(project, witness, moment):
    slow = jobs(16)
    for job in slow:
        job["prompt"] = f"{job['id']} {moment} [sandbox: slow=0.1]"
    manifest = project.manifest(slow, report=True, providers={"openai": {"limits": {"concurrency": 2}}})
    process = project.start("run", manifest, "--yes")
    report = project.folder / "output/shop/report"
    wait_for(lambda: thumbs(project) if moment == "thumbs" else report.exists(), process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    done = project.run("run", manifest, "--yes", "--json")
    assert (done.code, done.json["jobs"]["done"]) == (0, 16)
    assert done.json["report"] == str(report / "index.html")
    assert thumbs(project) == expected(project)
    verified = project.run("verify", "--json").json
    assert (verified["checked"], verified["wrong"]) == (16, 0)
    check_books(project, witness.charges())
    assert not (project.folder / "output/shop/report-shop").exists()
