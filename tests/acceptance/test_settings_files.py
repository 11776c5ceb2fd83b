"""Options in settings files, through the whole program: they bound a run, and never agree to one."""

from __future__ import annotations

import json

from .kit import SECRET
from .test_notify import Hook

PRICE = 0.005885  # of one


def jobs(count: int, what: str = "") -> list[dict]:
    return [{"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n}{what}"} for n in range(count)]


def settle(project, text: str) -> None:
    (project.folder / "batchgen.yaml").write_text(text, encoding="utf-8")


def test_a_budget_in_a_file_limits_a_run_and_agrees_to_none(project, witness):
    manifest = project.manifest(jobs(8))
    settle(project, f"options: {{run: {{budget: {3 * PRICE}}}}}")
    unsaid = project.run("run", manifest)
    assert unsaid.code == 6
    assert "A budget in a settings file only limits a run." in unsaid.err
    assert witness.arrivals() == []
    assert project.run("run", manifest, "--yes", "-j", "1").code == 7
    assert 1 <= len(witness.charges()) <= 3
    # who states one on the command line, or by the environment, agrees
    assert project.run("resume", "--budget", "1").code == 0
    assert len(witness.charges()) == 8


def test_a_run_is_bounded_by_the_file_and_by_what_goes_before_it(project, witness):
    manifest = project.manifest(jobs(12, " [sandbox: refuse]"))
    settle(project, "options: {run: {max_failures: 2, log_file: logs/x.jsonl, log_format: text}}")
    assert project.run("run", manifest, "--yes", "-j", "1", BATCHGEN_MAX_FAILURES="4").code == 8
    assert len(witness.arrivals()) == 5
    assert (project.folder / "logs" / "x.jsonl").is_file()
    assert project.run("retry", "--yes", "-j", "1", "--max-failures", "100%").code == 3
    assert SECRET not in (project.folder / "logs" / "x.jsonl").read_text()


def test_nothing_is_sent_while_an_option_is_mistyped(project, witness):
    manifest = project.manifest(jobs(1))
    settle(project, "options:\n  run:\n    max_failurs: 5%\n")
    done = project.run("run", manifest, "--yes", "--json")
    said = json.loads(done.err)
    assert (done.code, said["code"]) == (4, 4)
    assert said["message"].endswith("/batchgen.yaml:3:5: options.run.max_failurs: run has no option 'max_failurs' "
                                    "(did you mean 'max_failures'?)")  # fmt: skip
    assert not project.state.exists()
    assert witness.arrivals() == []
    # help still helps, and what no option of a file is about goes on
    assert project.run("run", "--help").code == 0
    assert project.run("status").code == 10


def test_notify_comes_from_a_file_and_doctor_hides_its_address(project):
    hook = Hook()
    try:
        own = project.folder / "own.yaml"
        own.write_text("options: {run: {notify: 'https://hooks.example.com/t0ken'}}", encoding="utf-8")
        settle(project, f"options: {{run: {{notify: ['{hook.url}'], stop_at: 22:30}}}}")
        assert project.run("run", project.manifest(jobs(1)), "--yes", "--config", own).code == 0
        assert hook.events == ["finished"]
    finally:
        hook.close()
    done = project.run("doctor", "--json", "--config", own, BATCHGEN_STOP_AT="06:00")
    assert (done.code, "t0ken" in done.out) == (0, False)
    settings = {one["name"]: one for one in done.json["settings"]}
    assert settings["options.run.notify"] == {
        "name": "options.run.notify", "value": "(set)", "source": str(project.folder / "batchgen.yaml"),
    }  # fmt: skip
    assert {(one["name"], one["source"], one["overridden_by"]) for one in done.json["overridden"]} == {
        ("options.run.notify", str(own), str(project.folder / "batchgen.yaml")),
        ("options.run.stop_at", str(project.folder / "batchgen.yaml"), "BATCHGEN_STOP_AT"),
    }
    plain = project.run("doctor", BATCHGEN_STOP_AT="06:00").out
    assert "options.run.stop_at = 22:30    (overridden by BATCHGEN_STOP_AT)" in plain


def test_doctor_reports_every_mistyped_option(project):
    settle(project, "options: {run: {yes: true}, plan: {ful: true}}")
    done = project.run("doctor", "--json")
    assert done.code == 4
    wrong = [one["says"] for one in done.json["findings"] if one["verdict"] == "bad"]
    assert [line.split(": ")[1] for line in wrong] == ["options.run.yes", "options.plan.ful"]


def test_a_schedule_says_nothing_of_what_a_file_says(project):
    manifest = project.manifest(jobs(1))
    cron = ("schedule", "cron", manifest, "--json", "--", "--yes")
    assert "--wait-lock" in project.run(*cron).json["command"]
    settle(project, "options: {run: {wait_lock: 600}}")
    assert "--wait-lock" not in project.run(*cron).json["command"]
    settle(project, "options: {run: {wait_lock: ten}}")
    assert project.run(*cron).code == 4
