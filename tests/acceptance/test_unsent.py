"""Runs and commands that end before anything is sent: they have an end, and say what to type."""

from __future__ import annotations

JOBS = [{"id": "cat", "provider": "openai", "quality": "low", "prompt": "a cat"}]


def test_run_whose_backend_does_not_start_was_not_cut_off(project, witness):
    manifest = project.manifest(JOBS)
    done = project.run("run", manifest, "--yes", "--backend", "ray", "--address", "127.0.0.1:9")
    assert (done.code, witness.arrived) == (2, 0), done
    shown = project.run("status").out
    assert "cut off" not in shown
    assert "with exit code 2" in shown
    [run] = project.rows("select * from runs")
    assert (run["exit_code"], run["ended_at"] is None) == (2, False)
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 1


def test_question_is_not_followed_by_a_full_stop(project):
    done = project.run("run", project.manifest(JOBS), "--yes", "--backend", "ray", "--address", "127.0.0.1:9")
    assert "?." not in done.err


def test_batch_in_place_of_a_provider_or_a_job_is_answered_with_what_to_type(project):
    assert project.run("run", project.manifest(JOBS), "--yes").code == 0
    paused = project.run("pause", "shop")
    assert (paused.code, "'shop' is a batch, and this command takes a provider" in paused.err) == (2, True)
    assert "To type: batchgen pause openai" in paused.err
    limited = project.run("limit", "shop", "concurrency=2")
    assert "To type: batchgen limit openai concurrency=2" in limited.err
    cancelled = project.run("cancel", "shop")
    assert (cancelled.code, "select the jobs of that batch: --batch shop --all" in cancelled.err) == (2, True)
    assert project.run("cancel", "--batch", "shop", "--all").code == 0
    assert "to select jobs: --id cat" in project.run("cancel", "cat").err
