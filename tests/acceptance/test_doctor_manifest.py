"""``doctor MANIFEST`` ends with the code that a run of it would, and says why; cron's errors are mailed once."""

from __future__ import annotations

import pytest

from .kit import finish, wait_for

ONE = [{"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}]
STUDIO = {"preset": "gateway", "api_key_env": "OPENAI_API_KEY"}


def both(project, manifest, *options):
    """Return what doctor finds and how a run ends; their codes are the same."""
    found = project.run("doctor", manifest)
    run = project.run("run", manifest, *(options or ("--yes",)))
    assert found.code == run.code, (found.out, run.err)
    return found, run


def test_doctor_of_a_manifest_that_can_run(project, witness):
    found = project.run("doctor", project.manifest(ONE))
    assert found.code == 0
    assert "shop: 1 job, 1 request to send" in found.out
    assert witness.arrivals() == []


def test_doctor_finds_a_missing_key(project):
    project.env.pop("OPENAI_API_KEY")
    found, _ = both(project, project.manifest(ONE))
    assert found.code == 5
    assert "BAD   key           no API key for openai: set the environment variable OPENAI_API_KEY" in found.out
    assert project.run("doctor", project.manifest(ONE), "--sandbox").code == 0


def test_doctor_ignores_broken_keys_of_other_providers(project):
    project.env["AIMLAPI_API_KEY"] = "not a key"
    found, _ = both(project, project.manifest(ONE))
    assert found.code == 0


def test_doctor_finds_mistakes_of_the_manifest(project):
    found, _ = both(project, project.manifest([*ONE, {"id": "two", "provider": "nowhere", "prompt": "Two"}]))
    assert found.code == 4
    assert "m.yaml:" in found.out


def test_doctor_finds_a_job_that_is_skipped_for_its_photo(project):
    (project.folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    edit = {"id": "edit", "provider": "openai", "quality": "low", "prompt": "Edit", "images": ["cut.png"]}
    found, run = both(project, project.manifest([*ONE, edit], on_bad_source="skip"))
    assert found.code == 3
    assert "1 skipped: cut.png is" in found.out
    assert "one job was skipped" in run.err


def test_doctor_finds_a_used_up_budget_and_its_line(project, witness):
    jobs = [ONE[0] | {"id": name, "size": "1024x1024"} for name in ("one", "two")]
    manifest = project.manifest(jobs, budget={"usd": 0.008})
    assert project.run("run", manifest).code == 7
    found, _ = both(project, manifest)
    assert found.code == 7
    assert "the budget of this batch is used up" in found.out
    assert "to raise it: budget.usd at m.yaml:" in found.out
    assert len(witness.charges()) == 1


def test_doctor_alone_shows_the_budgets_of_all_batches(project):
    settings = project.folder / "batchgen.yaml"
    settings.write_text("budget: {per_day: 0.005, per_month: 300}\n")
    fresh = project.run("doctor")
    assert fresh.code == 0
    assert "budget        all batches today: $0.00 of $0.0050" in fresh.out
    settings.write_text("budget: {per_day: 0.0059, per_month: 300}\n")
    project.run("run", project.manifest(ONE, providers={"openai": {"tariff": {"usd_per_image": 0.0059}}}), "--yes")
    used = project.run("doctor")
    assert used.code == 7
    assert "the budget of all batches today is used up; it starts again on" in used.out
    assert "all batches this month: $0.0059 of $300.00" in used.out


def test_doctor_finds_a_pause(project):
    manifest = project.manifest(ONE)
    project.run("run", project.manifest([ONE[0] | {"id": "zero"}]), "--yes")
    project.manifest(ONE)
    assert project.run("pause", "openai").code == 0
    found, _ = both(project, manifest)
    assert found.code == 8
    assert "openai has been paused since" in found.out
    assert "batchgen unpause openai" in found.out


def test_doctor_finds_a_missing_price_as_plan_and_run_do(project, witness):
    studio = STUDIO | {"base_url": f"{project.url}/gateway"}
    jobs = [{"id": "a", "provider": "studio", "prompt": "P"}]
    manifest = project.manifest(jobs, budget={"usd": 4}, providers={"studio": studio})
    found, run = both(project, manifest)
    assert found.code == 6
    bare = project.manifest(jobs, providers={"studio": studio})
    plan = project.run("plan", bare, "--budget", "4")
    assert plan.code == 6
    assert plan.out.startswith("shop: 1 job")
    words = "the budget is in USD, but the price in USD is unknown for studio, so that the budget could not be kept."
    assert all(words in text for text in (found.out, run.err, plan.err))
    assert project.run("run", bare, "--budget", "4", "--dry-run").code == 6
    assert project.run("plan", bare).code == 0
    assert witness.arrivals() == []


def test_doctor_reports_failed_jobs_and_a_run_in_progress(project):
    manifest = project.manifest([ONE[0] | {"prompt": "One [sandbox: refuse]"}])
    assert project.run("run", manifest, "--yes").code == 3
    found, _ = both(project, manifest)
    assert "1 failed: batchgen retry" in found.out
    slow = project.manifest([ONE[0] | {"prompt": "One [sandbox: slow]"}])
    process = project.start("run", slow, "--yes")
    wait_for(lambda: project.run("doctor", slow).code == 11, process)
    finish(process)


@pytest.mark.parametrize("options", [("--yes",), ()], ids=["no-key", "no-consent"])
def test_unattended_run_reports_the_same_error_once(project, witness, options):
    manifest = project.manifest(ONE)
    env = {} if not options else {"OPENAI_API_KEY": ""}
    code = 5 if options else 6
    first = project.run("-q", "run", manifest, *options, **env)
    again = project.run("-q", "run", manifest, *options, **env)
    assert (first.code, again.code) == (code, code)
    assert first.err
    assert again.err == ""
    assert project.run("run", manifest, *options, **env).err  # at a terminal it is always shown
    assert project.run("-q", "run", manifest, "--yes").code == 0
    project.manifest([*ONE, ONE[0] | {"id": "two"}])
    assert project.run("-q", "run", manifest, *options, **env).err  # news again after a run that worked
    assert len(witness.charges()) == 1


def test_unattended_run_reports_another_mistake_of_a_manifest(project):
    manifest = project.manifest([ONE[0] | {"size": "1x1"}])
    assert project.run("-q", "run", manifest, "--yes").err
    assert project.run("-q", "run", manifest, "--yes").err == ""
    project.manifest([ONE[0] | {"quality": "best"}])
    assert "quality" in project.run("-q", "run", manifest, "--yes").err
