"""Chains: jobs that use images of other jobs of their batch (``images: ["@base"]``) or wait for them (``needs``). Pure.

``chain_check`` finds the jobs that their references mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..fingerprint import OVERRIDDEN, older_rule
from ..job import State

#: States of jobs that no run sends until the user acts.
_ENDED = frozenset({State.FAILED, State.UNKNOWN, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a job: the job's id, the number of the image counted from 1, and the job's fingerprint."""

    job: str
    number: int
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chains:
    """The resolved references of a batch."""

    parents: Mapping[str, tuple[str, ...]]  #: ids of the jobs that each job waits for, in the order parents first
    makers: Mapping[str, tuple[str, ...]]  #: of these, the ones whose images it uses
    images: Mapping[str, Mapping[str, Image]] = field(default_factory=dict)  #: what each text of a job refers to
    versions: Mapping[str, str] = field(default_factory=dict)  #: fingerprints of all parents

    def has_changed(self, parent: str, stored: str) -> bool:
        """Return whether a job with the fingerprint *stored* is made again, as the manifest requests something else."""
        return older_rule(stored) is None and stored.partition(OVERRIDDEN)[0] != self.versions.get(parent)

    def blocked(self, states: Mapping[str, State]) -> dict[str, str]:
        """Return the jobs that no run sends, each with the ended job that it waits for; *states* are of all parents."""
        blocked: dict[str, str] = {}
        for key, parents in self.parents.items():
            ended = (blocked.get(parent) or (parent if states.get(parent) in _ENDED else None) for parent in parents)
            cause = next(filter(None, ended), None)
            if cause is not None:
                blocked[key] = cause
        return blocked

    def users(self, keys: Iterable[str]) -> list[str]:
        """Return the jobs that use images of *keys*, directly or not, and are not among these; parents first."""
        return _descendants(self.makers, keys)

    def followers(self, keys: Iterable[str]) -> list[str]:
        """Return the jobs that wait for *keys*, directly or not, and are not among these; parents first."""
        return _descendants(self.parents, keys)


def _descendants(parents: Mapping[str, tuple[str, ...]], keys: Iterable[str]) -> list[str]:
    reached, found = set(keys), []
    for key, of_job in parents.items():
        if key not in reached and not reached.isdisjoint(of_job):
            reached.add(key)
            found.append(key)
    return found
