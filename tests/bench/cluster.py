"""Thousands of calls in flight on two workers of a Ray cluster: the time beside the ideal, and what the run takes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from batchgen.sandbox import launch
from batchgen.sandbox.log import read_log
from tests.servers.cluster import cluster as ray_cluster

from .figures import Measure, Row, rows
from .program import Checkout, Project
from .settings import Settings

#: Two providers, because one account has at most 5,000 requests in flight.
PROVIDERS = {"openai": "gpt-image-2", "gateway": "openai/gpt-image-2"}
KEYS = {"OPENAI_API_KEY": "sk-bench-0000", "GATEWAY_API_KEY": "sk-bench-0001"}


@dataclass(frozen=True, slots=True)
class _Clustered(Checkout):
    """A source tree whose runs reach a cluster."""

    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return Checkout.environment(self) | dict(self.variables)


def cluster(settings: Settings) -> list[Row]:
    """Have 6,000 calls in flight on two workers: 40 are sent a second, and each takes three minutes."""
    # The rate leaves half of two cores to the driver: sandbox, workers and Ray share the machine with it.
    count, rate, seconds = (40, 20, 3) if settings.short else (settings.count(6000), 40, 180)
    found: dict[str, dict[str, Measure]] = {}
    for checkout in settings.checkouts:
        with tempfile.TemporaryDirectory(prefix="bench-cluster-") as name:
            found[checkout.name] = _measure(checkout, Path(name), count, rate, seconds)
    return rows(f"cluster: {count:,} calls of {seconds} s, {rate} a second, over two workers", found)


def _measure(checkout: Checkout, folder: Path, count: int, rate: int, seconds: int) -> dict[str, Measure]:
    with (
        ray_cluster({"BATCHGEN_WORKER_DIR": str(folder / "workers"), **KEYS}) as running,
        launch.start(folder / "sandbox", latency=str(seconds), idle_exit=900, extra=["--draw", "small"]) as sandbox,
    ):
        running.add_node(cpus=2)
        _write(folder, sandbox.url, count, rate)
        variables = running.environment() | KEYS
        project = Project(folder, _Clustered(checkout.name, checkout.root, checkout.python, variables))
        took = project.run("--backend", "ray", "--address", running.address, "--workers", "2")
        lines = read_log(sandbox.log)
    sent = [line["at"] for line in lines if line["event"] == "arrival"]
    answered = [line["at"] for line in lines if line["event"] == "answer"]
    assert len(sent) == count, "every call is sent once"
    assert max(sent) < min(answered), "all calls are in flight at once"
    ideal = count / rate + seconds
    return {
        "speed": ((max(answered) - min(sent)) / ideal, "times the ideal"),
        "cpu": (1000 * took.cpu / count, "ms/call of the run"),
        "space": (took.peak / 1e6, "MB at the peak of the run"),
    }


def _write(folder: Path, url: str, count: int, rate: int) -> None:
    """Write a manifest of *count* jobs, half of them for each provider."""
    limits = {"concurrency": 4000, "requests_per_second": rate / len(PROVIDERS)}
    providers = {name: {"base_url": f"{url}/{name}", "limits": limits} for name in PROVIDERS}
    jobs = [
        {"id": f"{name}-{{{{ number }}}}", "prompt": "item {{ number }}", "from": "items.csv"}
        | {"provider": name, "model": model, "size": "1024x1024"}
        for name, model in PROVIDERS.items()
    ]
    numbers = "".join(f"{number}\n" for number in range(count // len(PROVIDERS)))
    (folder / "items.csv").write_text(f"number\n{numbers}", encoding="utf-8")
    manifest = {"name": "bench", "output": {"sidecar": False}, "providers": providers, "jobs": jobs}
    (folder / "bench.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
