"""Make the state of an older batchgen anew: ``python -m tests.acceptance.state.make CHECKOUT NAME``.

CHECKOUT is a checkout of that commit. Its program runs, and is killed, against the simulated providers of this one;
what it leaves in its folder is packed as ``NAME.tar.gz`` beside this file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml

from batchgen.sandbox import launch

HERE = Path(__file__).parent
#: Dies when two answers are sealed in the spool, before either is read, and a third is coming in.
DIE_SEALED = """
import os, signal, threading, time
import batchgen.perform as p
both = threading.Barrier(2)
def die(self, talk, head, sink):
    both.wait()
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
p.Workshop._read = die
from batchgen.cli import main
raise SystemExit(main())
"""
#: What each job asks for, and where; the comment is what becomes of it.
JOBS = {
    "done-image": ("openai", "A fox"),
    "done-chat": ("openrouter", "A vole"),
    "done-address": ("gptimageapi", "A boat"),
    "refused": ("openai", "A duel [sandbox: refuse]"),
    "in-doubt": ("openai", "A storm [sandbox: drop]"),
    "spoiled": ("openai", "A cliff [sandbox: truncated]"),  # two answers, kept
    "sealed-image": ("openai", "A lamp"),  # killed with the answer sealed
    "sealed-chat": ("openrouter", "A chair"),
    "half": ("aimlapi", "A river [sandbox: trickle=3]"),  # killed while the answer came
    "fresh": ("openai", "A cloud"),  # never sent
}
RETRY = {"attempts": 3, "first_wait": 0.05, "max_wait": 0.2}


def manifest(url: str, names: tuple[str, ...] = tuple(JOBS), on_unknown: str = "hold") -> str:
    """Return the manifest, or the part of it that one run of the older program had."""
    jobs = []
    for name in names:
        provider, prompt = JOBS[name]
        job = {"id": name, "provider": provider, "prompt": prompt}
        jobs.append(job | ({} if provider == "openrouter" else {"quality": "low"}))
    providers = {name: {"base_url": f"{url}/{name}"} for name in sorted({job["provider"] for job in jobs})}
    body = {"name": "shop", "on_unknown": on_unknown, "retry": RETRY, "providers": providers, "jobs": jobs}
    return yaml.safe_dump(body, sort_keys=False)


def main(checkout: Path, name: str) -> None:
    """Run, kill and pack."""
    folder = Path(tempfile.mkdtemp()) / "project"
    folder.mkdir()
    keys = {f"{provider.upper()}_API_KEY": "sk-made-for-a-test-0001" for provider, _ in JOBS.values()}
    environment = {**os.environ, **keys, "PYTHONPATH": str(checkout), "XDG_CONFIG_HOME": str(folder / ".none")}

    def start(program: tuple[str, ...], *names: str) -> subprocess.Popen[bytes]:
        (folder / "m.yaml").write_text(manifest(sandbox.url, names), encoding="utf-8")
        return subprocess.Popen([sys.executable, *program, "run", "m.yaml", "--yes"], cwd=folder, env=environment)

    with launch.start(folder.parent / "sandbox", latency="none", extra=["--draw", "small"]) as sandbox:
        names = list(JOBS)
        assert start(("-m", "batchgen"), *names[:6]).wait(60) == 3
        assert start(("-c", DIE_SEALED), *names[:9]).wait(60) == -signal.SIGKILL
    with tarfile.open(HERE / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="project", filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, "", ""
    return entry


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
