"""Addresses of clusters are tried out before Ray would wait for them."""

from __future__ import annotations

import pytest

from batchgen.engine.cluster.address import address_problem
from batchgen.engine.cluster.ray_backend import connect
from batchgen.errors import UsageError
from tests.needs import missing
from tests.servers.process import free_port


@pytest.mark.parametrize(
    ("address", "words"),
    [("head", "write HOST:PORT"), ("head:", "write HOST:PORT"), ("ray://head:10001", "use --address head:6379")],
)
def test_wrong_address_names_the_right_form(address, words):
    assert words in address_problem(address)


def test_address_without_a_head_is_named():
    address = f"127.0.0.1:{free_port()}"
    assert f"{address} does not answer" in address_problem(address)


@pytest.mark.slow
def test_run_does_not_wait_for_a_head_that_is_not_there():
    try:
        import ray  # noqa: F401 - whether it is installed
    except ImportError:
        missing("ray")
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UsageError, match=f"{address} does not answer"):
        connect(address)
