"""The figures of a run: each names its scope, and run and watch show the same."""

from __future__ import annotations

from dataclasses import replace

from batchgen.app.figures import ProviderFigures, Rates, RunFigures
from batchgen.app.live_state import LiveState, read, write
from batchgen.app.project import Project
from batchgen.budget import Budget, BudgetLimit
from batchgen.cli.render.figures import bar, rows, summary, sums
from batchgen.cli.render.width import cells
from batchgen.engine.worker_state import WorkerState
from batchgen.store.ledger import Counts

USD = 1_000_000_000
BUDGETS = (
    Budget(limit=BudgetLimit(usd=5 * USD, scope="this batch"), usd=USD),
    Budget(limit=BudgetLimit(credits={"aimlapi": 9_000}, scope="today"), credits={"aimlapi": 2_000}),
)
OPENAI = ProviderFigures(
    provider="openai", done=12, failed=1, in_flight=6, width=8, images=12, per_minute=30.0, usd=USD // 10, waits="pace"
)
PART = RunFigures(
    batch="autumn", jobs=20, counts=Counts(done=112, failed=3, pending=180, running=5), providers=[OPENAI],
    seconds=62, budgets=BUDGETS,
)  # fmt: skip


def test_sums_name_their_scope():
    assert sums(PART, 120) == [
        "this run  12 of 20 jobs done, 1 failed, 6 in flight, 30 images/min, spent $0.10",
        "batch     112 of 300 jobs done, 3 failed",
        "budget    $1.00 of $5.00 for this batch, 2 of 9 credits at aimlapi for today",
    ]
    assert summary(PART) == (
        "12 of 20 jobs done, 1 failed, 6 in flight, 30 images/min, spent $0.10, about 13 s left; "
        "batch: 112 of 300 jobs done, 3 failed"
    )


def test_time_left_is_that_of_this_run_not_of_the_batch():
    assert PART.left == 7
    assert PART.seconds_left is not None
    assert 12 < PART.seconds_left < 14


def test_time_left_is_not_estimated_while_the_run_stops():
    assert replace(PART, stopping="waiting").seconds_left is None


def test_figures_of_a_large_run_separate_thousands():
    lane = replace(OPENAI, done=12_345, per_minute=1234.0)
    large = replace(PART, jobs=20_000, counts=Counts(done=12_345, pending=7_000), providers=[lane])
    assert sums(large, 120)[0].startswith("this run  12,345 of 19,346 jobs done")
    assert "1,234 images/min" in sums(large, 120)[0]
    assert rows(large, 120)[-1].split()[1] == "12,345"


def test_whole_batch_is_not_repeated():
    whole = RunFigures(batch="autumn", jobs=20, counts=Counts(done=12, failed=1, pending=7), providers=[OPENAI])
    assert not any(line.startswith("batch") for line in sums(whole, 120))


def test_bar_fits_and_shows_the_share():
    for width in (120, 80, 50, 30):
        name, filled, empty, end = bar(PART, width)
        assert cells(name + filled + empty + end) <= width
        assert end.startswith("   65 %")
    name, filled, empty, end = bar(PART, 120)
    assert (len(filled), len(empty)) == (26, 14)
    assert end == "   65 %  62 s  about 13 s left"


def test_rows_drop_columns_on_a_narrow_terminal():
    assert rows(PART, 100) == [
        "provider  done  in flight  failed  images/min  spent  waiting for",
        "openai      12        6/8       1          30  $0.10  pace",
    ]
    assert max(map(cells, rows(PART, 40))) <= 40


def test_rates_are_those_of_the_last_minute():
    rates = Rates()
    assert rates.add(0.0, {"a": 0}) == {}
    assert rates.add(30.0, {"a": 10}) == {"a": 20.0}
    for second in range(31, 100):
        per_minute = rates.add(float(second), {"a": 10})
    assert per_minute == {"a": 0.0}


def test_live_state_comes_back_as_it_was_written(tmp_path):
    project = Project.of(tmp_path, None)
    state = LiveState(jobs=20, budgets=BUDGETS, widths={"openai": 8}, waits={"openai": "pace"}, stopping="soon")
    state = replace(state, sums={"openai": {"done": 7, "in_flight": 2}})
    write(project, "run-1", state.as_text())
    back = read(project, "run-1")
    assert back == state or (list(back.budgets), back.jobs) == (list(BUDGETS), 20)
    assert back.waits == {"openai": "pace"}
    assert back.sums == state.sums
    write(project, "run-1", LiveState(stopping="now").as_text())
    assert (read(project, "run-1").stopping, read(project, "run-1").sums) == ("now", {})
    assert read(project, "run-2") == LiveState()
    (tmp_path / ".batchgen" / "runs" / "run-1" / "live.json").write_text("{")
    assert read(project, "run-1") == LiveState()


def test_live_state_that_cannot_be_written_leaves_no_temporary_file(tmp_path):
    project = Project.of(tmp_path, None)
    folder = tmp_path / ".batchgen" / "runs" / "run-1"
    (folder / "live.json").mkdir(parents=True)  # any other error of the disk does the same
    write(project, "run-1", LiveState().as_text())
    assert [path.name for path in folder.iterdir()] == ["live.json"]
    assert read(project, "run-1") == LiveState()


def worker(host, in_flight=0, *, alive=True):
    return WorkerState(name=f"autumn-{host}", host=host, in_flight=in_flight, capacity=100, alive=alive)


def test_workers_are_shown_host_by_host_and_the_silent_ones_by_name():
    workers = [worker("two", 20), worker("one", 10), worker("one", 5), worker("three", 7, alive=False)]
    figures = replace(PART, workers=[*workers, worker("", alive=False)])
    assert sums(figures, 160)[-1] == (
        "workers   one: 15 in flight at 2 workers, two: 20 in flight, three does not answer (7 calls there), "
        "autumn- has not started"
    )
    assert "; 3 of 5 workers" in summary(figures)


def test_many_hosts_are_counted_and_the_silent_ones_named():
    workers = [worker(f"h{number:02}", 1, alive=number != 7) for number in range(30)]
    assert (
        sums(replace(PART, workers=workers), 160)[-1] == "workers   29 on 29 hosts, h07 does not answer (1 call there)"
    )


def test_workers_of_a_run_are_read_by_watch_and_status(tmp_path):
    project = Project.of(tmp_path, None)
    state = LiveState(jobs=1, workers=[worker("one", 3), worker("two", alive=False)])
    write(project, "run", state.as_text())
    assert list(read(project, "run").workers) == list(state.workers)
