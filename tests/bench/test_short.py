"""Every benchmark still yields figures. How good they are is no test's business."""

import math

import pytest

from .figures import rows, table
from .nginx import NginxMissingError
from .settings import Settings
from .suite import BENCHMARKS

pytestmark = pytest.mark.slow


# the others take what these take, only longer
@pytest.mark.parametrize("name", ["answers", "images", "start", "table", "small"])
def test_short_benchmark_yields_figures(name):
    try:
        found = BENCHMARKS[name](Settings(short=True, pairs=1))
    except NginxMissingError as error:
        pytest.skip(str(error))
    assert found
    for row in found:
        assert row.figures, row
        for figure in row.figures:
            assert figure.unit
            assert math.isfinite(figure.value)
            assert figure.value >= 0
    assert len({(row.what, row.how) for row in found}) == len(found)
    assert table(found).count("\n") == len(found) + 1


def test_ratios_refer_to_the_first_row_of_a_group():
    bare, ours = rows("a", {"bare": {"speed": (200.0, "/s")}, "ours": {"speed": (50.0, "/s"), "cpu": (1.0, "ms")}})
    assert str(bare.speed) == "200 /s (1x)"
    assert str(ours.speed) == "50 /s (0.25x)"
    assert str(ours.cpu) == "1 ms"
    assert ours.against == "bare"


def test_ratios_of_pairs_are_those_of_the_same_turn():
    bare, ours = rows("a", {"bare": {"cpu": ([1.0, 10.0, 2.0], "ms")}, "ours": {"cpu": ([2.0, 30.0, 4.0], "ms")}})
    assert str(bare.cpu) == "2 [1 to 10] ms (1x)"
    assert str(ours.cpu) == "4 [2 to 30] ms (2x)"
