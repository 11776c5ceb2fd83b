"""Simulated providers in the place of transport: an answer becomes the outcome that ``perform`` would make of it.

Faults are named by ``providers.faults`` and ``transport.mishaps``, the same that name them in a real run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from batchgen.fault import Charged, Fault, ProviderError, RateLimitInfo
from batchgen.job import Attempt, Delivered, Missed, Outcome
from batchgen.providers.base import Reply
from batchgen.providers.error_mapping import fault_of
from batchgen.providers.profile import Profile
from batchgen.providers.ratelimit_headers import read_rate_limit
from batchgen.providers.validation import deadline
from batchgen.ready import Ready
from batchgen.task import NOTHING, UNPRICED, Artifact, Basis, Charge, Usage
from batchgen.transport.errors import unknown_outcome, unreached

from .server import Answer, Nature, Said, Server


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """A backend whose other side is simulated."""

    servers: Mapping[str, Server]
    profiles: Mapping[str, Profile]

    async def run(self, attempt: Attempt, ready: Ready) -> Outcome:
        """Return what came of *attempt*."""
        server = self.servers[attempt.task.provider]
        profile = self.profiles[attempt.task.provider]
        if attempt.resumed:
            return _left_over(server, attempt)
        try:
            await server.connect()
            await ready()
        except ProviderError as error:
            return _missed(error)
        seconds = deadline(attempt.task, profile)
        with anyio.move_on_after(seconds):
            images = attempt.task.n + len(attempt.task.images)
            return _outcome(attempt, await server.serve(attempt.id, attempt.key, images), server, profile)
        return _missed(unknown_outcome(f"no answer within {seconds:g} s, after the request was sent"))

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        """Do nothing: there is nothing on a disk."""


def _left_over(server: Server, attempt: Attempt) -> Missed:
    """Return what the spool of a killed run tells of a call it had not settled: sent and lost, or never sent."""
    if any(call.attempt == attempt.id for call in server.log):
        return _missed(unknown_outcome("the run ended while the request was in flight"))
    return _missed(unreached("the run ended before the request was sent"))


def _outcome(attempt: Attempt, heard: Answer, server: Server, profile: Profile) -> Outcome:
    match heard.call.said:
        case Said.IMAGE:
            return _delivered(attempt, server.nature, read_rate_limit(heard.headers))
        case Said.FAULT:
            faults = server.nature.faults
            return _of(faults[attempt.key] if attempt.key in faults else faults[""])
        case Said.UNREACHED:
            return _missed(unreached("Cannot connect to host"))
        case Said.LOST | Said.SILENT:
            return _missed(unknown_outcome("Server disconnected, after the request was sent"))
        case _:
            reply = Reply(status=heard.status, body=heard.body, headers=heard.headers)
            return _of(fault_of(reply, profile))


def _delivered(attempt: Attempt, nature: Nature, limit: RateLimitInfo | None) -> Delivered:
    count = attempt.task.n if nature.fills is None else min(nature.fills, attempt.task.n)
    files = tuple(_file(attempt, attempt.ordinal + number) for number in range(count))
    charge = Charge(usd=count * nature.price, credits=None, basis=Basis.REPORTED)
    return Delivered(artifacts=files, usage=Usage(images=count, usd=charge.usd), charge=charge, limit=limit)


def _file(attempt: Attempt, ordinal: int) -> Artifact:
    name = f"{attempt.output}-{ordinal + 1}.png"
    return Artifact(ordinal=ordinal, path=name, sha256="0" * 64, size_bytes=9, width=1, height=1, mime="image/png")


def _missed(error: ProviderError) -> Missed:
    return _of(error.fault)


def _of(fault: Fault) -> Missed:
    return Missed(fault=fault, charge=NOTHING if fault.charged is Charged.NO else UNPRICED)
