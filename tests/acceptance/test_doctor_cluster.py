"""``doctor --backend ray``: what it reports of a cluster, and what it says where a run could not start."""

from __future__ import annotations

import sys

import pytest

from tests.servers.cluster import cluster, need_ray
from tests.servers.hosts import network, providers

from .kit import CANARY, PROVIDERS, SECRET, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
KEYS = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
JOBS = [{"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}]


@pytest.fixture(autouse=True)
def ray():
    need_ray()


def says(done, about, verdict="ok"):
    return [one["says"] for one in done.json["findings"] if (one["about"], one["verdict"]) == (about, verdict)]


def test_doctor_reports_every_host_of_a_cluster(project, ray_cluster, witness):
    project.env |= ray_cluster.environment()
    manifest = project.manifest(JOBS)
    before = sorted(project.folder.iterdir())
    done = project.run("doctor", manifest, "--backend", "ray", "--address", ray_cluster.address, "--json")
    assert done.code == 0, done.out
    assert says(done, "address") == [ray_cluster.address]
    assert "RAY_AUTH_MODE=token" in says(done, "token")[0]
    assert "RAY_USE_TLS=1" in says(done, "tls", "note")[0]
    assert says(done, "cluster") == ["1 host, room for 16 workers"]
    [host] = says(done, "host")
    name = host.partition(" ")[0]
    assert says(done, "clock")[-1].startswith(f"{name}: ")
    assert says(done, "spool")[0].startswith(f"{name}: answers are kept in ")
    assert f"{name}: has keys of openai" in says(done, "keys")
    assert says(done, "egress") == [f"{name}: reaches openai"]
    assert says(done, "storage") == [f"{name}: writes to {project.folder}"]
    assert SECRET not in done.out + done.err
    assert ray_cluster.token not in done.out + done.err
    assert sorted(project.folder.iterdir()) == before, "files of the examination were left behind"
    assert witness.lines() == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ray://head:10001", "is an address of the Ray client"),
        ("head", "write HOST:PORT"),
        ("127.0.0.1:9", "does not answer"),
    ],
)
def test_doctor_refuses_an_address_at_once(project, address, reason):
    done = project.run("doctor", "--backend", "ray", "--address", address, "--json")
    assert done.code == 2
    assert reason in says(done, "address", "bad")[0]
    assert says(done, "host") == []


def test_doctor_names_the_token_that_a_cluster_refuses(project, ray_cluster):
    project.env |= ray_cluster.environment() | {"RAY_AUTH_TOKEN": "another-token"}
    done = project.run("doctor", "--backend", "ray", "--address", ray_cluster.address, "--json", seconds=90)
    assert done.code == 2, done.out
    assert "RAY_AUTH_TOKEN" in says(done, "cluster", "bad")[0]
    assert "another-token" not in done.out + done.err


def test_doctor_finds_what_one_of_two_hosts_lacks(tmp_path):
    """The second host has no key, cannot reach the providers, and sees another folder under the same name."""
    shared = tmp_path / "shop"
    shared.mkdir()
    with network("one", "two") as net, providers(net, tmp_path) as sandbox, cluster() as running:
        one, two = net.hosts
        running.add_node("one", one, **KEYS)
        running.add_node("two", two, own_folder=shared)
        net.remove_route(two)
        project = Workspace(folder=shared, url=sandbox.url, env=KEYS | running.environment())
        project.program = tuple(one.command(sys.executable, "-m", "batchgen"))
        done = project.run(
            "doctor", project.manifest(JOBS), "--backend", "ray", "--address", running.address, "--json", seconds=90
        )
        assert done.code == 1, done.out
        assert says(done, "cluster") == ["2 hosts, room for 16 workers"]
        assert [line.partition(" ")[0] for line in says(done, "host")] == ["one", "two"]
        assert "one: has keys of openai" in says(done, "keys")
        assert "two: openai: no API key for openai: set the environment variable OPENAI_API_KEY" in str(
            says(done, "keys", "bad")
        )
        assert says(done, "egress") == ["one: reaches openai"]
        assert "two: openai: " in says(done, "egress", "bad")[0]
        assert says(done, "storage") == [f"one: writes to {shared}"]
        assert "it is another folder there" in says(done, "storage", "bad")[0]


def test_run_refuses_the_ray_client_and_sends_nothing(project, witness):
    address = "ray://head:10001"
    done = project.run("run", project.manifest(JOBS), "--yes", "--backend", "ray", "--address", address)
    assert done.code == 2, done.err
    assert f"{address} is an address of the Ray client" in done.err
    assert witness.lines() == []
