"""The only wiring: one function per use case.  Parts are built and joined here and nowhere else."""

from .look import Standing, jobs, runs, show, status
from .place import Place
from .prepare import plan, providers, read_manifest
from .run import Agree, Ended, Follow, LaneEnd, Terms, run
from .stop import Bounds

__all__ = [
    "Agree",
    "Bounds",
    "Ended",
    "Follow",
    "LaneEnd",
    "Place",
    "Standing",
    "Terms",
    "jobs",
    "plan",
    "providers",
    "read_manifest",
    "run",
    "runs",
    "show",
    "status",
]
