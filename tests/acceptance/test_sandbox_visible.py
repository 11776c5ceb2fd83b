"""Sandbox runs are visible: commands without anything else to show name them, and every hint leads back to them."""

from __future__ import annotations

import json
import re

import pytest

from .kit import Popen, Workspace, wait_for

MANIFEST = """\
name: shop
output: {{dir: elsewhere}}
defaults: {{provider: openai, quality: low}}
jobs:
  - {{id: cat, prompt: "A cat"}}
  - {{id: dog, prompt: "A dog {directive}"}}
"""
COMMANDS = ("status", "list", "list runs", "show cat", "usage", "export", "watch", "verify", "unknown list", "unknown",
            "clean", "cancel --all", "status --batch shop", "db check")  # fmt: skip


@pytest.fixture
def shop(bare):
    (bare.folder / "jobs").mkdir()
    text = MANIFEST.format(directive="[sandbox: refuse]")
    (bare.folder / "jobs/shop.yaml").write_text(text)
    return bare


def slow_run(project: Workspace) -> Popen:
    (project.folder / "jobs/shop.yaml").write_text(MANIFEST.format(directive=""))
    running = project.start("run", "jobs/shop.yaml", "--sandbox", "--latency", "20")
    wait_for(lambda: project.run("list", "--sandbox", "--status", "running", "--json").out.count('"id"') == 2)
    return running


def test_images_of_a_sandbox_run_lie_next_to_the_manifest(shop):
    shop.run("run", "--sandbox", "--latency", "none")
    assert [path.name for path in (shop.folder / "jobs/sandbox-output/shop").glob("*.png")] == ["cat.png"]
    assert not (shop.folder / "jobs/elsewhere").exists()
    assert not (shop.state / "sandbox/output").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_a_real_run_names_the_sandbox_run(shop, command):
    nothing = shop.run(*command.split())
    assert (nothing.code, "sandbox" in nothing.err) == (10, False)
    shop.run("run", "--sandbox", "--latency", "none")
    named = shop.run(*command.split())
    assert (named.code, named.out) == (10, "")
    assert f"There is a sandbox run of shop: batchgen {command} --sandbox" in named.err
    assert shop.run(*command.split(), "--sandbox").code in (0, 3)


def test_the_sandbox_names_a_real_run(shop, project):
    project.manifest([{"id": "a", "provider": "openai", "prompt": "P"}])
    assert project.run("run", "m.yaml", "--yes").code == 0
    named = project.run("status", "--sandbox")
    assert named.code == 10
    assert "There is a real run of shop: batchgen status\n" in named.err


def test_a_batch_of_that_name_may_be_a_sandbox_run(project, shop):
    project.manifest([{"id": "a", "provider": "openai", "prompt": "P"}], name="real.yaml")
    assert project.run("run", "real.yaml", "--yes").code == 0
    (project.folder / "jobs").mkdir(exist_ok=True)
    (project.folder / "jobs/x.yaml").write_text(MANIFEST.replace("shop", "trial").format(directive=""))
    project.run("run", "trial", "--sandbox", "--latency", "none")
    named = project.run("status", "--batch", "trial")
    assert named.code == 10
    assert "batchgen status --batch trial --sandbox" in named.err


def test_every_hint_of_a_sandbox_run_leads_back_to_it(shop):
    ran = shop.run("run", "--sandbox", "--latency", "none")
    outputs = [ran, *(shop.run(*command.split(), "--sandbox") for command in ("status", "verify", "plan", "list"))]
    (shop.folder / "jobs/sandbox-output/shop/cat.png").unlink()
    outputs += [shop.run("verify", "--sandbox"), shop.run("verify", "--requeue", "--sandbox")]
    outputs += [shop.run(*line.split(), "--sandbox") for line in ("show cot", "run --id cot", "redo --id cot --yes")]
    assert "did you mean 'cat'? `batchgen list jobs --sandbox` shows all of them" in outputs[-3].err
    hints = [
        line for each in outputs for line in (each.err + each.out).splitlines() if re.search(r"\bbatchgen \w", line)
    ]
    assert len(hints) >= 5
    assert [line for line in hints if "--sandbox" not in line] == []


def test_the_option_may_come_first(shop):
    assert shop.run("--sandbox", "run", "--latency", "none").code == 3
    assert not (shop.state / "batchgen.db").exists()
    assert shop.run("--sandbox", "status").out == shop.run("status", "--sandbox").out
    assert shop.run("unknown", "--sandbox", "list").code == 0
    refused = shop.run("--sandbox", "init")
    assert refused.code == 2
    assert "init has no sandbox run" in refused.err
    for command in (("providers", "list"), ("schema",), ("init",)):
        refused = shop.run(*command, "--sandbox")
        assert refused.code == 2
        assert f"batchgen {' '.join(command)} has no sandbox run: leave out --sandbox" in refused.err


@pytest.mark.parametrize("command", ["pause openai", "unpause openai", "limit openai concurrency=2"])
def test_a_control_during_a_sandbox_run_asks_which_was_meant(shop, command):
    running = slow_run(shop)
    try:
        assert f"did you mean: batchgen {command} --sandbox" in shop.run(*command.split()).err
        assert "did you mean" not in shop.run(*command.split(), "--sandbox").err
    finally:
        running.kill()
        running.communicate()
    assert "did you mean" not in shop.run(*command.split()).err


def test_output_of_an_earlier_version_stays(shop):
    shop.run("run", "--sandbox", "--latency", "none", "--out", ".batchgen/sandbox/output/shop")
    old = shop.state / "sandbox/output/shop/cat.png"
    assert old.is_file()
    again = shop.run("run", "--sandbox", "--latency", "none")
    assert "nothing to send" in again.err
    assert shop.run("verify", "--sandbox").code == 0
    text = (shop.folder / "jobs/shop.yaml").read_text()
    (shop.folder / "jobs/shop.yaml").write_text(text.replace("A cat", "A lion"))
    shop.run("run", "--sandbox", "--latency", "none")
    assert (shop.folder / "jobs/sandbox-output/shop/cat.png").is_file()
    assert shop.run("verify", "--sandbox").code == 0


def test_hints_of_refused_commands_carry_the_flag(shop):
    shop.run("run", "--sandbox", "--latency", "none")
    (shop.folder / "jobs/other.yaml").write_text(MANIFEST.format(directive="").replace("shop", "other"))
    for command in (("redo", "other", "--id", "cat"), ("retry", "other")):
        refused = shop.run(*command, "--sandbox")
        assert refused.code == 10
        assert "batch other has not run yet. To run it: batchgen run jobs/other.yaml --sandbox" in refused.err
    refused = shop.run("unknown", "retry", "--id", "cat", "--sandbox")
    assert "`batchgen unknown list --sandbox` lists those that are" in refused.err


def test_a_second_sandbox_run_is_shown_how_to_watch_the_first(shop):
    running = slow_run(shop)
    try:
        for command in (("run", "jobs/shop.yaml"), ("clean", "--yes"), ("db", "vacuum")):
            refused = shop.run(*command, "--sandbox")
            assert refused.code == 11
            assert "`batchgen watch --sandbox`" in refused.err
    finally:
        running.kill()
        running.communicate()


def test_doctor_shows_failed_jobs_with_a_command_that_finds_them(shop):
    shop.run("run", "--sandbox", "--latency", "none")
    found = shop.run("doctor", "jobs/shop.yaml", "--sandbox")
    assert "1 failed: batchgen retry jobs/shop.yaml --sandbox" in found.out


def test_images_of_earlier_versions_are_found_after_the_loss_of_the_job_database(shop):
    (shop.folder / "jobs/shop.yaml").write_text(MANIFEST.format(directive=""))
    assert shop.run("run", "--sandbox", "--latency", "none").code == 0
    (shop.state / "sandbox/output").mkdir()
    (shop.folder / "jobs/sandbox-output/shop").rename(shop.state / "sandbox/output/shop")
    for file in (shop.state / "sandbox").glob("batchgen.db*"):
        file.unlink()
    again = shop.run("run", "--sandbox", "--latency", "none")
    assert "recovered 2 files (2 jobs done)" in again.err + again.out
    assert "nothing to send" in again.out + again.err


def test_the_sidecar_lists_no_default_that_was_not_sent(bare):
    text = "defaults: {provider: aigate, model: gemini-3.1-flash-image, quality: high}\njobs: [{id: a, prompt: x}]\n"
    (bare.folder / "m.yaml").write_text(text)
    assert bare.run("run", "--sandbox", "--latency", "none").code == 0
    sent = json.loads((bare.folder / "sandbox-output/m/a.png.json").read_text())["asked"]
    assert sent == {
        "kind": "generate", "prompt": "x", "provider": "aigate", "model": "gemini-3.1-flash-image", "n": 1,
    }  # fmt: skip


def test_sandbox_that_does_not_start_is_a_plain_error(bare):
    (bare.folder / "m.yaml").write_text("prompts: [a cat]\ndefaults: {provider: openai}\n")
    charges = bare.state / "sandbox" / "charges.jsonl"
    charges.mkdir(parents=True)  # the log of a sandbox cannot be a folder: its process ends
    ended = bare.run("run", "m.yaml", "--sandbox")
    assert ended.code == 1
    assert "the simulated providers ended with exit code 1 before they were ready" in ended.err
    assert "Is a directory" in ended.err
    assert f"Nothing was sent. Run the same command again; if that does not help: cat {charges.parent}" in ended.err
    assert not any(word in ended.err for word in ("unexpected", "Traceback", "site-packages", "launch.py"))
