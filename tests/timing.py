"""Time limits of the tests, scaled by one factor: a busy or slow machine fails no test."""

from __future__ import annotations

import os

#: Overrides the factor that the load of the machine gives.
VARIABLE = "BATCHGEN_TEST_SLOWNESS"
LEAST, MOST = 3.0, 15.0


def measure() -> float:
    """Return the factor for the machine as it is now."""
    processes_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(max(LEAST, 2 * processes_per_core), MOST)


class _Slowness:
    factor = float(os.environ.pop(VARIABLE, 0)) or measure()


def slowness() -> float:
    return _Slowness.factor


def use(factor: float) -> None:
    """Take over the factor of the process that distributes the tests."""
    _Slowness.factor = factor


def patience(seconds: float) -> float:
    """Return how long to wait for something that takes at most *seconds* on an idle machine."""
    return seconds * _Slowness.factor
