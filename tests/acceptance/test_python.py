"""The Python interface: the same as the command line, without prints, signals or surprises for its host."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

import batchgen
from batchgen import api

from .kit import CANARY, ROOT, check_books, check_files, wait_for


def job(key, **fields):
    return {"id": key, "provider": "openai", "quality": "low", "prompt": f"P {key}"} | fields


@pytest.fixture
def shop(project, monkeypatch):
    """A manifest of eight jobs, two requests at a time, in the current folder; no key in the environment."""
    monkeypatch.chdir(project.folder)
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    jobs = [job(f"k{number}", tags=["hero"] if number else []) for number in range(8)]
    return project.manifest(jobs, providers={"openai": {"limits": {"concurrency": 2}}})


KEYS = {"openai": CANARY}


async def arrivals(witness, requests):
    """Wait until so many requests have arrived."""
    while witness.arrived < requests:  # noqa: ASYNC110 - a process of its own
        await asyncio.sleep(0.005)


def test_import_costs_almost_nothing():
    code = "import sys; before = {*sys.modules}; import batchgen; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["batchgen"]


def test_names_of_the_interface_are_exact():
    assert {*batchgen.__all__} == {*api.__all__, "__version__"}
    assert all(getattr(batchgen, name) is getattr(api, name) for name in api.__all__)
    assert {*batchgen.__all__} <= {*dir(batchgen)}
    tree = ast.parse((ROOT / "batchgen/__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "api"]
    assert {name.name for node in imports for name in node.names} == {*api.__all__}
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        batchgen.runn  # noqa: B018
    assert (ROOT / "batchgen/py.typed").exists()


def test_values_of_other_types_are_errors_of_batchgen(shop):
    wrong = {"max_time": "1h", "max_failures": "5%", "fail_on": "some"}
    for name, value in wrong.items():
        with pytest.raises(batchgen.UsageError, match=f"{name} takes .*, not '{value}'"):
            batchgen.run(shop, sandbox=True, **{name: value})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "dask"}, "backend takes 'local' or 'ray', not 'dask'"),
        ({"workers": 2}, "workers needs backend='ray'"),
        ({"address": "head:6379"}, "address needs backend='ray'"),
        ({"backend": "ray", "workers": 0}, "workers takes a whole number from 1 to 1,000, not 0"),
        ({"backend": "ray", "address": 6379}, "address takes HOST:PORT, not 6379"),
    ],
)
def test_arguments_of_a_cluster_are_checked(shop, arguments, words):
    with pytest.raises(batchgen.UsageError, match=re.escape(words)):
        batchgen.run(shop, sandbox=True, **arguments)


def test_a_hint_at_sandbox_runs_is_an_argument(shop):
    batchgen.run(shop, sandbox=True, limit=1, latency="none")
    with pytest.raises(batchgen.NotFound, match=r"There is a sandbox run of shop: sandbox=True"):
        batchgen.ledger(shop)


def test_a_manifest_of_another_type_is_an_error_that_names_the_types():
    with pytest.raises(batchgen.UsageError, match=r"a path, the name of a batch or what load returned, not \{'jobs'"):
        batchgen.load({"jobs": []})


def test_load_and_plan_send_nothing(shop, witness):
    batch = batchgen.load(shop)
    assert (batch.name, len(batch), batch.manifest) == ("shop", 8, shop)
    first = next(iter(batch))
    assert (first.id, first.kind, first.provider, first.tags) == ("k0", "generate", "openai", ())
    plan = batchgen.plan(batch, tags="hero", limit=3)
    assert (plan.requests, plan.images, plan.counts["new"]) == (3, 3, 8)
    assert 0 < plan.usd.low <= plan.usd.expected <= plan.usd.high
    assert plan.document["schema_version"] == 1
    assert not (shop.parent / ".batchgen").exists()
    assert witness.arrivals() == []


def test_run_returns_jobs_files_and_costs(project, shop, witness, capfd):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    environment = dict(os.environ)
    seen: list[batchgen.Progress] = []

    def look(progress: batchgen.Progress) -> None:
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        seen.append(progress)

    result = batchgen.run(shop, keys=KEYS, budget="5", ids=["k0", "k[12]"], on_progress=look)
    assert (result.ok, result.exit_code, result.images, result.counts["done"]) == (True, 0, 3, 3)
    assert [job.id for job in result.jobs] == ["k0", "k1", "k2"]
    assert all(path.is_file() for job in result.jobs for path in job.files)
    charged = sum(Decimal(line["usd"]) for line in witness.charges())
    assert (result.usd, sum(job.cost for job in result.jobs), result.ledger[0].usd) == (charged, charged, charged)
    assert [progress.done for progress in seen] == [1, 2, 3]
    assert (seen[-1].total, seen[-1].images, seen[-1].pending, seen[-1].usd) == (8, 3, 5, charged)
    assert result.document["exit_code"] == 0
    assert [job.id for job in batchgen.jobs("shop", tags="hero", limit=2)] == ["k1", "k2"]
    assert batchgen.ledger(shop) == result.ledger
    again = batchgen.run(shop, yes=True, ids=["k0", "k[12]"])
    assert (again.images, again.jobs) == (0, ())
    assert len(witness.charges()) == 3
    assert dict(os.environ) == environment
    assert capfd.readouterr() == ("", "")
    check_files(project)


def test_run_works_inside_a_running_loop(shop, witness):
    async def notebook():
        return batchgen.run(shop, keys=KEYS, yes=True, limit=2)

    assert asyncio.run(notebook()).images == 2
    assert len(witness.charges()) == 2


def test_run_works_in_a_thread_of_a_service(shop, witness):
    results = []
    thread = threading.Thread(target=lambda: results.append(batchgen.run(shop, keys=KEYS, yes=True, limit=2)))
    thread.start()
    thread.join()
    assert (results[0].images, len(witness.charges())) == (2, 2)


def test_run_async_leaves_the_loop_free_and_calls_back_in_it(shop, witness):
    threads, ticks = set(), []

    async def service():
        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        result = await batchgen.run_async(
            shop, keys=KEYS, yes=True, on_progress=lambda _: threads.add(threading.get_ident())
        )
        ticking.cancel()
        return result

    assert asyncio.run(service()).counts["done"] == 8
    assert threads == {threading.get_ident()}
    assert len(ticks) > 3
    assert len(witness.charges()) == 8


def test_progress_stops_the_run_and_the_next_one_makes_the_rest(project, shop, witness):
    stopped = batchgen.run(shop, keys=KEYS, yes=True, on_progress=lambda progress: progress.done < 3)
    assert (stopped.exit_code, stopped.stopped) == (8, "the program stopped it")
    assert 3 <= len(witness.charges()) < 8
    assert batchgen.run(shop, keys=KEYS, yes=True).ok
    assert len(witness.charges()) == 8
    check_books(project, witness.charges())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_of_a_callback_stops_the_run_and_is_raised(project, shop, witness, kind):
    # on a busy machine the first callback comes late
    jobs = [job(f"k{number}", prompt=f"P {number} [sandbox: slow=1]") for number in range(8)]
    shop = project.manifest(jobs, providers={"openai": {"limits": {"concurrency": 2}}})

    def fails(progress):
        raise ZeroDivisionError(progress.job)

    def run():
        if kind == "sync":
            batchgen.run(shop, keys=KEYS, yes=True, on_progress=fails)
        else:
            asyncio.run(batchgen.run_async(shop, keys=KEYS, yes=True, on_progress=fails))

    with pytest.raises(ZeroDivisionError, match="k"):
        run()
    assert len(witness.charges()) < 8
    assert batchgen.run(shop, keys=KEYS, yes=True).ok
    assert len(witness.charges()) == 8


def sent_outcomes(project):
    """Return how calls ended; one that was claimed when the run stopped, and never sent, does not count."""
    rows = project.rows("select state, cause from attempts")
    return {row["state"] for row in rows if row["cause"] != "unreached"}


def test_cancelled_run_async_lets_requests_in_flight_end(project, shop, witness):
    async def service():
        task = asyncio.create_task(batchgen.run_async(shop, keys=KEYS, yes=True))
        await arrivals(witness, 3)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(service())
    assert sent_outcomes(project) == {"delivered"}
    assert batchgen.run(shop, keys=KEYS, yes=True).ok
    assert len(witness.charges()) == 8


def test_interrupted_run_lets_requests_in_flight_end(project, shop, witness):
    # The handler is set because tests that were started in the background inherit an ignored SIGINT.
    code = (
        "import batchgen, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        " batchgen.run('m.yaml', yes=True)"
    )
    environment = project.environment() | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.folder, env=environment, stderr=subprocess.PIPE
    )
    wait_for(lambda: witness.arrived >= 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in err
    assert process.returncode == -signal.SIGINT
    assert sent_outcomes(project) == {"delivered"}
    assert batchgen.run(shop, keys=KEYS, yes=True).ok
    assert len(witness.charges()) == 8


def test_options_of_a_run_are_repeated_by_the_command_line(project, shop):
    assert batchgen.run(shop, keys=KEYS, budget="0.5", output="pics", limit=2).images == 2
    assert "batchgen run m.yaml --budget 0.5 --out pics    resumes the 6 pending jobs" in project.run("status").out


def test_spending_needs_a_confirmation(shop, witness):
    with pytest.raises(batchgen.SpendNotConfirmed, match=r"8 requests may cost 0\.\d+ to 0\.\d+ USD") as caught:
        batchgen.run(shop, keys=KEYS)
    assert caught.value.exit_code == 6
    assert witness.arrivals() == []
    high = batchgen.plan(shop, limit=1).usd.high
    reached = batchgen.run(shop, keys=KEYS, budget=high * 2)
    assert (reached.exit_code, reached.exit_code.name) == (7, "OUT_OF_MONEY")
    assert reached.usd <= high * 2
    assert 0 < len(witness.charges()) < 8
    for budget in ("many", -1, True, float("nan")):
        with pytest.raises(batchgen.UsageError, match="budget takes an amount in USD"):
            batchgen.run(shop, keys=KEYS, budget=budget)


def test_keys_come_from_arguments_environment_or_file(project, shop, witness, monkeypatch):
    with pytest.raises(batchgen.KeyMissing, match="no API key for openai"):
        batchgen.run(shop, yes=True)
    with pytest.raises(batchgen.UsageError, match="'opnai' is neither a provider nor its variable"):
        batchgen.run(shop, yes=True, keys={"opnai": CANARY})
    assert batchgen.run(shop, yes=True, limit=1, keys={"OPENAI_API_KEY": CANARY}).images == 1
    (project.folder / ".env").write_text(f"OPENAI_API_KEY={CANARY}\nPATH=/nowhere\nOPENAI_API_KEY_COMMAND=false\n")
    assert batchgen.run(shop, yes=True, limit=1).images == 1
    assert "OPENAI_API_KEY" not in os.environ
    (project.folder / ".env").write_bytes(b"OPENAI_API_KEY=\xff")
    with pytest.raises(batchgen.SettingsError, match="is not UTF-8 text"):
        batchgen.run(shop, yes=True, limit=1)
    (project.folder / ".env").unlink()
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert batchgen.run(shop, yes=True, limit=1).images == 1
    assert len(witness.charges()) == 3


def test_errors_have_the_texts_of_the_command_line(project, shop, witness):
    bad = project.manifest([job("a", qualty="low"), job("b", size="1x1")], name="bad.yaml")
    with pytest.raises(batchgen.ManifestError) as caught:
        batchgen.load(bad)
    first = caught.value.problems[0]
    assert isinstance(first, batchgen.Problem)
    assert (first.line > 0, first.column > 0, "qualty" in first.message) == (True, True, True)
    shown = project.run("validate", "bad.yaml").err
    assert all(problem.message in shown for problem in caught.value.problems)
    with pytest.raises(batchgen.NotFound):
        list(batchgen.jobs(shop))
    for name, call in (("buget", batchgen.run), ("id", batchgen.plan), ("tags", batchgen.load)):
        with pytest.raises(TypeError, match=f"unknown argument '{name}'"):
            call(shop, **{name: 1})
    with pytest.raises(batchgen.UsageError, match="limit takes a whole number"):
        batchgen.plan(shop, limit=0)
    with pytest.raises(batchgen.BatchgenError):
        batchgen.load("-")
    assert witness.arrivals() == []


def test_two_runs_of_one_program_do_not_meet(shop, witness):
    async def service():
        first = asyncio.create_task(batchgen.run_async(shop, keys=KEYS, yes=True))
        await arrivals(witness, 1)
        with pytest.raises(batchgen.AlreadyRunning):
            await batchgen.run_async(shop, keys=KEYS, yes=True)
        return await first

    assert asyncio.run(service()).ok
    assert len(witness.charges()) == 8


def test_failed_jobs_are_results(project, shop):
    manifest = project.manifest([job("a", prompt="[sandbox: refuse] a")], name="f.yaml")
    result = batchgen.run(manifest, keys=KEYS, yes=True)
    assert (result.exit_code, result.failed, result.jobs[0].cause, result.jobs[0].files) == (3, 1, "refused", ())
    assert "batchgen.run(" in project.rows("select command from runs")[0]["command"]
    retried = batchgen.run(manifest, keys=KEYS, yes=True, retry_failed=True, fail_on="never")
    assert (retried.exit_code, retried.jobs[0].attempts) == (0, 2)


def test_example_of_the_help_page_works(bare, monkeypatch, capsys):
    page = (ROOT / "batchgen/help/python.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(bare.folder)
    (bare.folder / "jobs").mkdir()
    (bare.folder / "jobs/shop.yaml").write_text(
        "defaults: {provider: openai, quality: low}\njobs: [{id: cat, prompt: A cat}, {id: dog, prompt: A dog}]\n"
    )
    exec(compile(example.replace("sandbox=True,", "sandbox=True, latency='none',"), "python.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 requests for 0.0")
    assert "2/2 done" in lines[2]
    assert lines[3].split()[:2] == ["cat", "done"]
    assert lines[-1].startswith("OK 0.0")
    signature = {name for function in (api.load, api.plan, api.run) for name in function.__annotations__}
    assert signature >= {"manifest", "return"}
    assert {name for name in api.__all__ if name.islower() and f"{name}(" not in page} == set()
