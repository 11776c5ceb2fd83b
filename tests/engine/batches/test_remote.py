"""Calls of batches over real sockets: the one that is billed needs the lease of its runner."""

from __future__ import annotations

import time

import pytest

from batchgen.engine.batches.remote import RemoteBatches
from batchgen.engine.lease import Lease
from batchgen.fault import Cause, ProviderError
from batchgen.providers import batches_of
from batchgen.providers.batch_base import BatchOrder
from batchgen.providers.presets import profile
from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log
from batchgen.task import Kind
from batchgen.transport import Transport

pytestmark = pytest.mark.usefixtures("no_proxies")


async def test_runner_whose_lease_has_ended_creates_no_batch(tmp_path):
    with start(tmp_path, latency="none", idle_exit=60) as sandbox:
        own = profile("openai", {"base_url": sandbox.base_url("openai")})
        model = own.models["gpt-image-2"]
        dialect = batches_of(own, model)
        order = BatchOrder(submission_id="5" * 32, kind=Kind.GENERATE, model=model.wire, input_file="file-none")
        lease = Lease(clocks=[time.monotonic])
        async with Transport({"openai": own}, {"openai": "sk-canary-of-a-lease-0815"}) as transport:
            client = transport.client("openai")
            remote = RemoteBatches(client=client, dialect=dialect, profile=own, model=model, lease=lease)
            with pytest.raises(ProviderError) as caught:
                await remote.ask(dialect.create(own, order))
            assert caught.value.fault.cause is Cause.UNREACHED
            assert not read_log(sandbox.log)
            assert (await remote.ask(dialect.find(own, order))).complete  # what is free needs no lease
            lease.renew(lease.moment())
            created = await remote.ask(dialect.create(own, order))
            assert created.submission_id == order.submission_id
