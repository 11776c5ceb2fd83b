"""Messages for Ray that cannot be used."""

from __future__ import annotations

from batchgen.engine.cluster.address import start_problem

TIMED_OUT = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


def test_ray_that_does_not_start_here_is_not_blamed_on_an_address():
    text = start_problem(None, TIMED_OUT)
    assert "Ray did not start on this machine: The current node timed out during startup" in text
    assert "Probably the machine is busy" in text
    assert "run again, or without --backend ray" in text
    assert "token" not in text


def test_cluster_that_refuses_is_checked_by_doctor():
    assert "Probably this machine or the head is busy" in start_problem("head:6379", TIMED_OUT)
    refused = start_problem("head:6379", "Version mismatch.")
    assert "cannot use Ray at head:6379: Version mismatch. RAY_AUTH_MODE" in refused
    assert "checks the address, the versions and the token" in refused
