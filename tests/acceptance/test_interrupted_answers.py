"""What was arriving survives a stumble on this side: the paid answer is kept, and delivered without paying again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .kit import Workspace

JOB = {"id": "a", "prompt": "A red cube", "provider": "studio", "quality": "low"}

#: Dies when the paid answer is sealed in the spool, before it is read.
KILL_WHEN_SEALED = """
import os, signal
import batchgen.engine.executor as perform
perform.Executor._read = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
#: Cannot give a paid answer to the thread that reads it.
NO_THREAD = """
import batchgen.engine.readers
async def refuse(*_):
    raise RuntimeError("can't start new thread")
batchgen.engine.readers.Readers.run = refuse
"""
#: Checking a good image runs out of memory.
NO_MEMORY = """
import batchgen.engine.publication as publication
def examine(_):
    raise MemoryError
publication.examine = examine
"""
MAIN = "\nimport sys\nfrom batchgen.cli import main\nsys.exit(main())\n"


def stumble(project: Workspace, how: str, manifest: Path) -> subprocess.CompletedProcess[str]:
    """Run batchgen in a process in which *how* has gone wrong."""
    return subprocess.run(
        [sys.executable, "-c", how + MAIN, "run", str(manifest), "--yes"],
        cwd=project.folder,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write(project: Workspace, provider: str = "studio", preset: str = "openai", **top: object) -> Path:
    return project.manifest(
        [JOB | {"provider": provider}],
        providers={provider: {"preset": preset, "base_url": f"{project.url}/{preset}"}},
        **top,
    )


#: Each change with one policy; with the other one in `make test-all`.
CHANGES = [("renamed", "hold"), ("removed", "retry"), ("another dialect", "hold"), ("model gone", "retry")]
OTHER = {"hold": "retry", "retry": "hold"}


@pytest.mark.parametrize(
    ("change", "policy"),
    [*CHANGES, *(pytest.param(change, OTHER[policy], marks=pytest.mark.slow) for change, policy in CHANGES)],
)
def test_an_answer_is_delivered_whatever_became_of_its_provider(project, witness, change, policy):
    manifest = write(project, on_unknown=policy)
    assert stumble(project, KILL_WHEN_SEALED, manifest).returncode == -signal.SIGKILL
    assert len(project.spool()) == 1
    match change:
        case "renamed":
            write(project, "atelier", on_unknown=policy)
        case "removed":
            project.manifest([JOB | {"provider": "openai"}], on_unknown=policy)
        case "another dialect":
            write(project, preset="gptimageapi", on_unknown=policy)
        case "model gone":
            project.manifest(
                [JOB | {"provider": "studio", "model": "gpt-image-2.5-flare"}],
                providers={"studio": {"preset": "openai", "base_url": f"{project.url}/openai"}},
                on_unknown=policy,
            )
    again = project.run("run", manifest, "--yes")
    assert "1 delivered from what had arrived" in again.err, again.err
    [first, *later] = witness.charges()
    # where the job its request has changed now, that is bought: the old image is kept all the same
    assert len(later) == (1 if change == "model gone" else 0), again.err
    assert first["prompt"] == JOB["prompt"]
    assert project.spool() == []
    assert project.jobs()["a"]["attempts"][0]["state"] == "delivered"


def test_unknown_call_of_a_removed_provider_follows_on_unknown(project, witness):
    manifest = write(project, on_unknown="hold")
    kill_while_waiting = "import batchgen.transport.client as line, os, signal\nasync def die(*_, **__):\n    "
    kill_while_waiting += "os.kill(os.getpid(), signal.SIGKILL)\nline.receive = die\n"
    assert stumble(project, kill_while_waiting, manifest).returncode == -signal.SIGKILL
    write(project, "atelier", on_unknown="hold")
    again = project.run("run", manifest, "--yes")
    assert again.code == 3, again.err
    assert len(witness.charges()) == 1
    assert project.jobs()["a"]["state"] == "unknown"
    assert "studio is no longer in the manifest" in project.jobs()["a"]["message"]


@pytest.mark.parametrize("trouble", [NO_THREAD, NO_MEMORY])
def test_trouble_of_this_machine_is_none_of_the_answer(project, witness, trouble):
    manifest = write(project)
    first = stumble(project, trouble, manifest)
    assert first.returncode == 1, first.stderr
    assert "kept in the spool" in first.stderr
    assert "Traceback" not in first.stderr
    assert len(project.spool()) == 1
    status = project.run("status", "--json").json
    assert float(status["spend"]["at_risk_usd"]) > 0
    again = project.run("run", manifest, "--yes")
    assert again.code == 0, again.err
    assert len(witness.charges()) == 1
    assert len(project.images()) == 1


def test_an_answer_that_was_not_delivered_stays_in_the_spool(project, witness):
    job = {
        "id": "a",
        "prompt": "A cube [sandbox: empty]",
        "provider": "openrouter",
        "model": "gemini-3.1-flash-image-preview",
    }
    manifest = project.manifest([job], retry={"attempts": 2, "first_wait": 0.05})
    assert project.run("run", manifest, "--yes").code == 3
    kept = [path.suffix for path in project.spool()]
    assert kept == [".kept"] * len(witness.arrivals())
