"""Every benchmark still yields figures. How good they are is no test's business."""

import json
import math
import xml.etree.ElementTree as ET

import pytest

from . import __main__ as command
from . import svg
from .apart import MissingToolError
from .figures import Row, rows, table
from .goals import GOALS
from .limits import arrivals, most
from .report import page
from .settings import Settings
from .suite import BENCHMARKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


# the others take what these take, only longer
@pytest.mark.parametrize(
    "name",
    [
        "answers",
        "clients",
        "images",
        "thumbnails",
        "start",
        "table",
        "small",
        "syncs",
        "limits",
        "plots",
        "documents",
        "store",
        "page",
        "serve",
    ],
)
def test_short_benchmark_yields_figures(name):
    try:
        found = BENCHMARKS[name](Settings(short=True, pairs=1))
    except MissingToolError as error:
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
    assert [Row.from_json(json.loads(json.dumps(row.as_json()))) for row in found] == found


def test_most_calls_in_any_window():
    assert most([0.0, 0.5, 0.999, 1.0, 1.4, 9.0], 1.0) == 4
    assert most([0.0, 1.0, 2.0], 1.0) == 1
    assert most([], 1.0) == 0


def test_arrivals_are_logged_ends_less_durations(tmp_path):
    log = tmp_path / "access.log"
    log.write_text("12.500 0.200 /files/small.json\n12.400 0.000 /beat\n12.300 0.100 /files/small.json\n")
    assert arrivals(log) == [12.2, 12.3]


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


def test_goals_show_what_was_measured():
    found = rows(
        "2.6 MB PNG by URL, 64 in flight, 300 images",
        {
            "a bare loop": {"speed": ([10.0, 20.0], "images/s"), "cpu": ([4.0, 4.0], "ms/image")},
            "batchgen": {"speed": ([9.0, 16.0], "images/s"), "cpu": ([8.0, 8.0], "ms/image")},
        },
    )
    lines = page(found, "2 cores").splitlines()
    assert sum("| not in this run |" in line for line in lines) == len(GOALS) - 1
    [line] = [line for line in lines if line.startswith("| the same by URL |")]
    assert line.endswith("| 12.5 [9 to 16] images/s (0.85x), 8 [8 to 8] ms/image (2x) |")


def test_svg_shows_every_line_within_its_panel(tmp_path):
    lines = {"a loop": [(1, 0.5), (5000, 0.7)], "batchgen": [(1, 8.0), (70, 3.0), (5000, 2.5)]}
    svg.write(tmp_path / "x.svg", [svg.Panel("CPU", "calls", "ms", lines)])
    root = ET.parse(tmp_path / "x.svg").getroot()
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"CPU", "calls", "ms; both axes are logarithmic", "a loop", "batchgen", "1", "1 k"} <= texts
    points = [element for element in root.iter("{http://www.w3.org/2000/svg}circle") if element.get("r") == "3"]
    assert len(points) == 5
    assert all(0 < float(point.get("cx")) < 460 and 0 < float(point.get("cy")) < 330 for point in points)


def test_failure_of_one_benchmark_keeps_the_figures_of_others(monkeypatch, capsys):
    def broken(_settings):
        raise RuntimeError("nginx went away")

    good = rows("case", {"bare": {"cpu": (1.0, "ms")}})
    monkeypatch.setattr(command, "BENCHMARKS", {"broken": broken, "good": lambda _settings: good})
    monkeypatch.setattr("sys.argv", ["bench", "--short"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == "failed: broken"
    printed = capsys.readouterr()
    assert "nginx went away" in printed.err
    assert "1 ms" in printed.out
    assert "mean nothing" in printed.out


def test_help_shows_what_each_benchmark_measures(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bench", "--help"])
    with pytest.raises(SystemExit):
        command.main()
    text = capsys.readouterr().out
    for name, benchmark in BENCHMARKS.items():
        assert name in text
        assert benchmark.__doc__.partition("\n")[0] in text
