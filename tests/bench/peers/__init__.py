"""Other programs that make many calls, on the small case of ``tests.bench small``: ``python -m tests.bench peers``.

Each is installed into a folder of its own below the temporary folder, where the next run finds it, and is driven by
a script of this package. None of them is a dependency of batchgen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import nginx
from ..apart import environment
from ..figures import Measure, Row, rows
from ..program import HERE, Usage
from ..real import run
from ..settings import Settings

_SCRIPTS = Path(__file__).parent
_FOLDER = Path(tempfile.gettempdir()) / "batchgen-peers"
_INSTALL_SECONDS, _RUN_SECONDS = 900, 900
_ENVIRONMENT = {
    "CURATOR_VIEWER": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "TELEMETRY_ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to install, the script that drives it, and what it leaves on the disk."""

    name: str
    package: str
    script: str
    record: str
    jobs: int = 1000

    @property
    def folder(self) -> Path:
        return _FOLDER / self.package

    def install(self) -> None:
        """Install the newest version into the peer's own folder, unless an earlier call has finished that."""
        complete = self.folder / "complete"
        if not complete.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.fetch()
            complete.touch()

    def fetch(self) -> None:
        _call([sys.executable, "-m", "venv", str(self.folder)])
        _call([str(self.folder / "bin/python"), "-m", "pip", "install", "-q", self.package])

    def command(self) -> list[str]:
        return [str(self.folder / "bin/python"), str(_SCRIPTS / self.script)]

    def version(self) -> str:
        ask = f"from importlib.metadata import version; print(version('{self.package}'))"
        return subprocess.check_output([str(self.folder / "bin/python"), "-c", ask], text=True).strip()


class NodePeer(Peer):
    """A program of npm; its script is run by this Python and calls it."""

    def fetch(self) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is missing")
        _call([npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(self.folder), self.package])

    def command(self) -> list[str]:
        return [sys.executable, str(_SCRIPTS / self.script), str(self.folder / "node_modules/.bin" / self.package)]

    def version(self) -> str:
        text = (self.folder / "node_modules" / self.package / "package.json").read_text(encoding="utf-8")
        return str(json.loads(text)["version"])


PEERS = (
    Peer("lm-deluge", "lm-deluge", "deluge.py", "chat; writes the images, keeps no record"),
    Peer("litellm Router", "litellm", "litellm_router.py", "images API; writes the images, keeps no record"),
    Peer("curator", "bespokelabs-curator", "curator_llm.py", "chat; keeps answers in its cache"),
    NodePeer("promptfoo", "promptfoo", "promptfoo_eval.py", "images API; keeps results in its database", jobs=300),
)


def peers(settings: Settings) -> list[Row]:
    """Run every peer that installs on answers with an image of 320 bytes, 64 in flight."""
    cases: dict[str, dict[str, Measure]] = {}
    with nginx.serve(side=64) as far:
        url = f"{far.url}/small"
        cases["batchgen: images API; keeps all it promises"] = dict(run(HERE, url, settings.count(1000), 64))
        for peer in PEERS:
            try:
                peer.install()
                cases[f"{peer.name} {peer.version()}: {peer.record}"] = _measure(peer, url, settings.count(peer.jobs))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                print(f"{peer.name}: {error}", file=sys.stderr)
                cases[f"{peer.name}: does not install or run here"] = {}
    return rows("peers: 320 B PNG, 64 in flight", cases)


def _measure(peer: Peer, url: str, count: int) -> dict[str, Measure]:
    """Measure *count* jobs of a peer less a run of one job, which is its start."""
    _clock(peer, url, 1, 1)  # compiles what is not compiled yet
    took, start = _clock(peer, url, count, 64), _clock(peer, url, 1, 1)
    return {
        "speed": ((count - 1) / max(0.001, took.seconds - start.seconds), "images/s"),
        "cpu": (1000 * max(0.0, took.cpu - start.cpu) / (count - 1), "ms/image"),
        "space": (took.peak / 1e6, "MB"),
    }


def _clock(peer: Peer, url: str, count: int, width: int) -> Usage:
    clock = [sys.executable, "-S", str(_SCRIPTS.parent / "clocked.py")]
    with tempfile.TemporaryDirectory(prefix="bench-peer-") as folder:
        done = subprocess.run(
            [*clock, *peer.command(), url, str(count), str(width)], cwd=folder, stdin=subprocess.DEVNULL,
            env=_plain(Path(folder)), capture_output=True, timeout=_RUN_SECONDS, check=True,
        )  # fmt: skip
    usage = Usage(**json.loads(done.stdout))
    if usage.code:
        raise RuntimeError(f"ended with {usage.code}:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return usage


def _plain(home: Path) -> dict[str, str]:
    """Return an environment whose home is *home*: a peer keeps its caches and settings there."""
    own = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    return own | _ENVIRONMENT | {"HOME": str(home), "PROMPTFOO_CONFIG_DIR": str(home / "promptfoo")}


def _call(command: list[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, timeout=_INSTALL_SECONDS, check=False, env=environ)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-500:]}")
