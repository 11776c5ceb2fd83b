"""A job database on PostgreSQL: outages of its server under a run, what is refused, and the password."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing

import pytest

from tests.axes import PostgresAxis
from tests.servers import postgres
from tests.servers.postgres import PASSWORD, USER

from .kit import Workspace, check_books, check_files, finish, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WIDE = {"openai": {"limits": {"concurrency": 6}}}
JOBS = [
    {"id": f"job-{number}", "provider": "openai", "quality": "low", "prompt": f"Number {number}"}
    for number in range(60)
]


@pytest.fixture(scope="module")
def latency():
    return "0.15"


@pytest.fixture(scope="module")
def server():
    """A server that syncs, as where money is at stake."""
    with postgres.running(safe=True) as running:
        yield running


@pytest.fixture
def database(server):
    with server.database() as made:
        yield made


@pytest.fixture
def shop(project, tmp_path, database):
    """A project whose job database is on the server."""
    return Workspace(folder=tmp_path, url=project.url, env=project.env, axis=PostgresAxis(tmp_path, database))


def crash(server, database):
    """Kill the server and all its processes, and start it again."""
    server.kill()
    time.sleep(0.5)
    server.start()


def restart(server, database):
    server.restart()


def end_sessions(server, database):
    server.end_sessions(database.name)


def pause(server, database):
    """Let nothing answer for a while."""
    with server.paused():
        time.sleep(2)


@pytest.mark.parametrize("outage", [crash, restart, end_sessions, pause])
def test_outage_under_a_run_costs_no_second_call(shop, server, database, witness, outage):
    manifest = shop.manifest(JOBS, providers=WIDE)
    process = shop.start("run", manifest, "--yes")
    for arrivals in (8, 30):
        wait_for(lambda arrivals=arrivals: witness.arrived >= arrivals, process, seconds=60)
        outage(server, database)
    done = finish(process, seconds=120)
    assert done.code == 0, done.err
    assert {job["state"] for job in shop.jobs().values()} == {"done"}
    charges = witness.charges()
    assert set(Counter(line["prompt"] for line in charges).values()) == {1}
    check_books(shop, charges)
    check_files(shop)
    assert len(shop.ledger()) == len(JOBS)


def test_server_that_is_gone_is_explained_and_nothing_is_bought(shop, server, witness):
    manifest = shop.manifest(JOBS[:3], providers=WIDE)
    server.stop()
    try:
        done = shop.run("run", manifest, "--yes")
        assert shop.run("status").code == 1
    finally:
        server.start()
    assert done.code == 1
    assert "the server cannot be reached" in done.err
    assert witness.arrived == 0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("batchgen:wrong-password@127.0.0.1:{port}/{name}", "the password was refused"),
        ("stranger@127.0.0.1:{port}/{name}", "the password was refused"),
        ("batchgen@127.0.0.1:{port}/missing", "there is no such database"),
        ("batchgen@127.0.0.1:{port}/{name}?options=-csearch_path%3Dmissing", "CREATE SCHEMA"),
        ("batchgen@127.0.0.1:{port}/{name}?sslmode=maybe", "the address cannot be used"),
        ("batchgen@127.0.0.1:{port}/{name}?colour=red", "the address cannot be used"),
        ("batchgen@127.0.0.1:{port}/{name}?options=-cdefault_transaction_read_only%3Don", "it is read-only"),
    ],
    ids=["password", "user", "database", "schema", "value", "option", "standby"],
)
def test_address_that_cannot_be_used_is_explained(shop, database, witness, address, words):
    manifest = shop.manifest(JOBS[:1], providers=WIDE)
    url = "postgresql+psycopg://" + address.format(port=database.port, name=database.name)
    done = shop.run("run", manifest, "--yes", "--db", url)
    assert (done.code, witness.arrived) == (1, 0), done.err
    assert words in done.err
    assert "wrong-password" not in done.err + done.out


def test_missing_password_is_not_called_a_wrong_one(shop, database):
    url = f"postgresql+psycopg://batchgen@127.0.0.1:{database.port}/{database.name}"
    done = shop.run("status", "--db", url, PGPASSWORD="", PGPASSFILE="/dev/null")
    assert (done.code, "the password was refused" in done.err) == (1, False)
    assert "the server asks for a password, and none was given" in done.err


def test_doctor_reports_a_job_database_that_cannot_be_used_once(shop, database):
    manifest = shop.manifest(JOBS[:1], providers=WIDE)
    url = f"postgresql+psycopg://batchgen:wrong-password@127.0.0.1:{database.port}/{database.name}"
    for words in ((), (manifest,)):
        done = shop.run("doctor", *words, "--db", url)
        bad = [line for line in done.out.splitlines() if line.startswith("BAD")]
        assert (done.code, [line.split()[1:3] for line in bad]) == (1, [["job", "database"]]), done.out
        assert "wrong-password" not in done.out + done.err


def test_tables_of_another_program_are_left_alone(shop, database, witness):
    database.rows("create table jobs (id integer)")
    done = shop.run("run", shop.manifest(JOBS[:1], providers=WIDE), "--yes")
    assert (done.code, witness.arrived) == (1, 0)
    assert "tables of another program" in done.err
    assert [
        row["tablename"] for row in database.rows("select tablename from pg_tables where schemaname = 'public'")
    ] == ["jobs"]


def test_projects_share_a_database_in_schemas_of_their_own(project, database, witness):
    for schema in ("north", "south"):
        database.rows(f"create schema {schema}")
        url = f"{database.url}?options=-csearch_path%3D{schema}"
        manifest = project.manifest(JOBS[:2], providers=WIDE, output={"dir": f"output/{schema}"})
        done = project.run("run", manifest, "--yes", "--db", url)
        assert done.code == 0, done.err
        assert project.run("status", "--db", url, "--json").json["jobs"]["done"] == 2
        [row] = database.rows(f"select count(*) as n from {schema}.ledger")
        assert row["n"] == 2
    assert witness.arrived == 4


def test_password_is_nowhere(shop, database):
    manifest = shop.manifest(JOBS[:2], providers=WIDE)
    for command in (
        ("run", manifest, "--yes", "--debug"), ("redo", manifest, "--yes", "--id", "job-1"), ("doctor",), ("report",),
        ("list", "runs"), ("db", "backup", "copy.db"),
    ):  # fmt: skip
        shop.run(*command, "--db", database.url)  # which asserts that nothing printed has it
    for path in shop.folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    with closing(database.connect()) as connection:
        tables = [name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'public'")]
        for table in tables:
            assert PASSWORD not in str(connection.execute(f'select * from "{table}"').fetchall()), table


def test_second_run_of_a_batch_is_refused_and_names_the_first(shop, witness):
    manifest = shop.manifest(
        [job | {"prompt": f"{job['prompt']} [sandbox: slow=3]"} for job in JOBS[:2]], providers=WIDE
    )
    process = shop.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 1, process)
    second = shop.run("run", manifest, "--yes")
    assert second.code == 11, second.err
    assert "Another run uses this batch" in second.err
    assert f"process {process.pid} on " in second.err
    assert finish(process).code == 0
    assert shop.run("run", manifest, "--yes").code == 0
    assert witness.arrived == 2


def test_batch_of_another_project_is_left_alone(shop, project, database, witness, tmp_path):
    assert shop.run("run", shop.manifest(JOBS[:2], providers=WIDE), "--yes").code == 0
    before = database.rows("select * from batches")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Workspace(folder=elsewhere, url=project.url, env=project.env, axis=PostgresAxis(elsewhere, database))
    done = other.run("run", other.manifest(JOBS[5:7], providers=WIDE), "--yes")
    assert (done.code, witness.arrived) == (2, 2)
    assert f"belongs to another project, with the manifest {shop.folder / 'm.yaml'}" in done.err
    assert database.rows("select * from batches") == before


def test_sandbox_runs_do_not_count_as_real_ones(shop, database, witness):
    manifest = shop.manifest(JOBS[:2], providers=WIDE)
    missing = shop.run("status", "--sandbox")
    assert (missing.code, "nothing has run here yet" in missing.err) == (10, True)
    assert shop.run("run", manifest, "--yes", "--sandbox").code == 0
    assert shop.run("pause", "openai", "--sandbox").code == 0
    wrong = shop.run("cancel", "--all")
    assert (wrong.code, "There is a sandbox run of shop: batchgen cancel --all --sandbox" in wrong.err) == (10, True)
    assert shop.run("run", manifest, "--yes").code == 0
    assert witness.arrived == 2
    check_books(shop, witness.charges())
    before = database.rows("select * from jobs")
    assert shop.run("unpause", "openai", "--sandbox").code == 0
    assert shop.run("redo", manifest, "--yes", "--sandbox", "--status", "done").code == 0
    assert (witness.arrived, database.rows("select * from jobs")) == (2, before)
    assert len(database.rows("select * from runs")) == 1
    assert len(database.rows("select * from public_sandbox.runs")) == 2
    assert shop.run("db", "check", "--sandbox").code == 0


def test_right_to_create_the_schema_of_the_sandbox_is_asked_for(shop, database):
    database.rows("create role guest login password 'guest'")
    database.rows("grant all on schema public to guest")
    try:
        url = database.url.replace(f"{USER}:{PASSWORD}", "guest:guest")
        done = shop.run("run", shop.manifest(JOBS[:1], providers=WIDE), "--yes", "--sandbox", "--db", url)
        assert (done.code, "GRANT" in done.err) == (1, True), done.err
        assert "guest:guest" not in done.err
    finally:
        database.rows("drop owned by guest cascade")
        database.rows("drop role guest")


FULL = """
create function fill() returns trigger language plpgsql as $$
begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;
"""


@pytest.mark.parametrize("table", ["attempts", "ledger"])
def test_full_disk_of_the_server_stops_a_run_which_the_next_one_completes(shop, database, witness, table):
    manifest = shop.manifest(JOBS[:12], providers=WIDE)
    assert shop.run("run", manifest, "--yes", "--limit", 1).code == 0
    database.rows(FULL)
    database.rows(f"create trigger full_disk before insert on {table} execute function fill()")
    stopped = shop.run("run", manifest, "--yes")
    assert (stopped.code, "the server's disk is full" in stopped.err) == (1, True), stopped.err
    assert "free some space there and run again" in stopped.err
    database.rows(f"drop trigger full_disk on {table}")
    done = shop.run("run", manifest, "--yes")
    assert done.code == 0, done.err
    charges = witness.charges()
    assert Counter(line["prompt"] for line in charges) == Counter(job["prompt"] for job in JOBS[:12])
    check_books(shop, charges)
    check_files(shop)


def test_missing_extra_is_named_instead_of_a_traceback(tmp_path):
    program = "import sys; sys.modules['psycopg'] = None; from batchgen.cli import main; main()"
    url = "postgresql+psycopg://batchgen@127.0.0.1:1/shop"
    (tmp_path / "one.yaml").write_text("version: 1\njobs: [{id: a, prompt: p, provider: openai}]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", program, "-C", str(tmp_path), "run", "one.yaml", "--yes", "--db", url],
        env=os.environ | {"OPENAI_API_KEY": "sk-none"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "needs the extra postgres: pip install 'batchgen[postgres]'" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
