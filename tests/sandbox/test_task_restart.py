"""Tasks over restarts of the sandbox: a killed server knows them again, at the same address, and charges once."""

from __future__ import annotations

import socket

import pytest

from batchgen.sandbox.launch import start

from .task_client import TaskClient
from .task_providers import PROVIDERS


def kill(sandbox):
    sandbox.process.kill()
    sandbox.process.wait()


@pytest.fixture
def restart(tmp_path):
    """Return a function that starts the sandbox of a folder, or starts it again after a kill."""
    running = []

    def make():
        if running:
            kill(running[-1])
        running.append(start(tmp_path, latency="none", idle_exit=60))
        return running[-1]

    yield make
    running[-1].stop()


@pytest.mark.parametrize("calls", PROVIDERS, ids=lambda provider: provider.name)
def test_tasks_survive_a_kill_of_the_server(restart, calls):
    client = TaskClient(restart(), calls.name, calls.headers)
    slow = client.submit(calls.path, calls.body("a boat [sandbox: task-slow=3]"), **calls.also).json()
    quick = client.submit(calls.path, calls.body("a quick boat"), **calls.also).json()
    stuck = client.submit(calls.path, calls.body("a boat [sandbox: task-stuck]"), **calls.also).json()
    before = client.wait(calls.poll(quick), lambda answer: calls.state(answer.json()) == calls.done).json()
    restart()
    after = client.get(calls.poll(quick)).json()
    assert calls.images(after) == calls.images(before)
    assert client.download(calls.images(after)[0]).status_code == 200
    assert calls.state(client.get(calls.poll(stuck)).json()) not in {calls.done, calls.failed}
    client.wait(calls.poll(slow), lambda answer: calls.state(answer.json()) == calls.done)
    for facts in (slow, quick):
        assert len(client.lines("task", calls.task(facts))) == 1
        assert len(client.lines("charge", calls.task(facts))) == 1
    client.close()


def test_charged_task_is_not_charged_again(restart, tmp_path):
    """The end of a task may be missing from its file although the charge is in the log."""
    calls = PROVIDERS[0]
    client = TaskClient(restart(), calls.name, calls.headers)
    facts = client.submit(calls.path, calls.body("a boat"), **calls.also).json()
    client.wait(calls.poll(facts), lambda answer: calls.state(answer.json()) == calls.done)
    (file,) = tmp_path.glob("*.tasks.jsonl")
    submissions = [line for line in file.read_bytes().splitlines(keepends=True) if b'"fields"' in line]
    file.write_bytes(b"".join(submissions))
    restart()
    client.wait(calls.poll(facts), lambda answer: calls.state(answer.json()) == calls.done)
    assert len(client.lines("charge", calls.task(facts))) == 1
    client.close()


def test_idempotency_keys_survive_a_kill_of_the_server(restart):
    calls = next(provider for provider in PROVIDERS if provider.name == "higgsfield")
    client = TaskClient(restart(), calls.name, calls.headers)
    first = client.submit(calls.path, calls.body("a boat"), Idempotency_Key="intent").json()
    restart()
    again = client.submit(calls.path, calls.body("a boat"), Idempotency_Key="intent").json()
    assert again["request_id"] == first["request_id"]
    client.close()


def test_address_is_another_if_its_port_is_taken(restart):
    first = restart()
    kill(first)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(first.url.rpartition(":")[2])))
        other.listen()
        assert restart().url != first.url


def test_pictures_that_the_server_dropped_are_drawn_again(tmp_path):
    """Only the newest pictures are kept; a provider has all of them for as long as it documents."""
    calls = PROVIDERS[0]
    with start(tmp_path, latency="none", idle_exit=60, extra=["--keep", "1"]) as sandbox:
        client = TaskClient(sandbox, calls.name, calls.headers)
        tasks = [client.submit(calls.path, calls.body(f"boat {number}"), **calls.also).json() for number in range(2)]

        def done(facts):
            return client.wait(calls.poll(facts), lambda answer: calls.state(answer.json()) == calls.done).json()

        for facts in tasks:  # the end of a task drops the picture of another
            done(facts)
        for facts in tasks * 2:
            answer = done(facts)
            assert client.download(calls.images(answer)[0]).status_code == 200
        client.close()
