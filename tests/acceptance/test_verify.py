"""Jobs in doubt, damaged files, a lost or rolled-back job table: the program as its users call it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter

import pytest
from PIL import Image

from .kit import ROOT, check_books, check_files, finish, opened, wait_for

WIDTH = 4
WIDE = {name: {"limits": {"concurrency": WIDTH}} for name in ("openai", "aimlapi")}
JOBS = [
    {"id": f"{provider}-{number}", "provider": provider, "quality": "low", "prompt": f"{provider} {number}"}
    for number in range(12)
    for provider in ("openai", "aimlapi")
] + [{"id": "many", "provider": "openai", "quality": "low", "prompt": "Many", "n": 3, "per_request": 3}]


@pytest.fixture(scope="module")
def latency():
    return "0.15"


def bought(witness) -> Counter[str]:
    return Counter(line["prompt"] for line in witness.charges())


def arrived(project) -> set[str]:
    """Return the prompts of which a whole answer is on disk: as an image, or sealed in the spool."""
    found = {json.loads(path.read_text())["asked"]["prompt"] for path in project.files() if path.suffix == ".json"}
    for slot in project.spool():
        data = slot.read_bytes()
        if b"\nsealed " in data[-95:]:
            found.add(json.loads(data.split(b"\n", 1)[0])["task"]["prompt"])
    return found


# --- a table that was lost ----------------------------------------------------


@pytest.mark.parametrize("by_hand", [True, False], ids=["recover", "run"])
@pytest.mark.parametrize("moment", [0.03, 0.16])
def test_a_lost_table_buys_nothing_again_that_had_arrived(project, witness, by_hand, moment):
    """D8, D9: killed in mid-batch, the job table deleted with all that belongs to it."""
    manifest = project.manifest(JOBS, providers=WIDE)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 13, process)
    time.sleep(moment)
    process.kill()
    finish(process)
    project.lose_database()
    had = arrived(project)
    assert had
    if by_hand:
        done = project.run("db", "recover", manifest, "--json")
        assert done.code == 0, done.err
        assert done.json["taken_in"]["files"] > 0
        assert done.json["aside"] is None
        assert witness.arrived == len(witness.charges())
        again = project.run("db", "recover", manifest, "--json").json["taken_in"]
        assert (again["attempts"], again["files"]) == (0, 0)
    last = project.run("run", manifest, "--yes")
    assert last.code == 0, last.err
    assert ("recovered " in last.err) is not by_hand
    times = bought(witness)
    assert {prompt: times[prompt] for prompt in had} == dict.fromkeys(had, 1)
    assert sum(times.values()) - len(JOBS) <= 2 * WIDTH
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    check_books(project, witness.charges())
    check_files(project)
    assert len(project.images()) == len(JOBS) + 2
    before = witness.arrived
    final = project.run("run", manifest, "--yes")
    assert (final.code, witness.arrived) == (0, before)
    assert "recovered " not in final.err


@pytest.mark.not_on(postgres="removes the log of SQLite")
def test_database_without_its_log_rebuys_nothing_that_arrived(project, witness):
    """D8: SQLite sees nothing wrong with it."""
    manifest = project.manifest(JOBS, providers=WIDE)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 13, process)
    time.sleep(0.16)
    process.kill()
    finish(process)
    (project.state / "batchgen.db-wal").unlink()
    (project.state / "batchgen.db-shm").unlink()
    had = arrived(project)
    assert had
    assert project.run("db", "check").code in {0, 1}
    last = project.run("run", manifest, "--yes")
    assert last.code == 0, last.err
    assert "recovered " in last.err
    times = bought(witness)
    assert {prompt: times[prompt] for prompt in had} == dict.fromkeys(had, 1)
    check_books(project, witness.charges())
    check_files(project)


@pytest.mark.not_on(postgres="damages the file of SQLite")
def test_a_damaged_table_is_moved_aside_and_made_anew(project, witness):
    """D3: nothing is overwritten, nothing bought again."""
    manifest = project.manifest(JOBS[:4], providers=WIDE)
    assert project.run("run", manifest, "--yes").code == 0
    check = project.run("db", "check", "--json")
    assert (check.code, check.json["ok"], check.json["rows"]["jobs"]) == (0, True, 4)
    for path in project.state.glob("batchgen.db-*"):
        path.unlink()
    table = project.state / "batchgen.db"
    damaged = table.read_bytes()[:5000] + b"\xa5" * 9000
    table.write_bytes(damaged)
    check = project.run("db", "check", "--json")
    assert (check.code, check.json["ok"]) == (1, False)
    assert project.run("run", manifest, "--yes").code == 1
    done = project.run("db", "recover", manifest)
    assert done.code == 0, done.err
    [aside] = [path for path in project.state.glob("batchgen.db.damaged-*") if path.name[-4:] not in {"-wal", "-shm"}]
    assert aside.read_bytes() == damaged
    assert aside.name in done.err
    assert project.run("run", manifest, "--yes").code == 0
    assert bought(witness) == Counter(job["prompt"] for job in JOBS[:4])
    assert project.run("db", "check").code == 0
    assert project.run("verify", "--deep").code == 0
    check_books(project, witness.charges())


# --- a table that was put back ------------------------------------------------


@pytest.mark.not_on(postgres="batchgen db backup is for SQLite")
@pytest.mark.parametrize("end", ["orderly", "killed"])
def test_an_old_backup_buys_nothing_again(project, witness, tmp_path, end):
    """D9: a copy from mid-batch, put back after the end."""
    manifest = project.manifest(JOBS, providers=WIDE)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 9, process)
    time.sleep(0.05)
    copy = tmp_path / "old.db"
    made = project.run("db", "backup", copy)
    assert made.code == 0, made.err
    assert copy.stat().st_mode & 0o777 == 0o600
    assert project.run("db", "backup", copy).code == 2
    if end == "killed":
        wait_for(lambda: witness.arrived >= 20 or process.poll() is not None)
        process.kill()
    finish(process)
    had = arrived(project)
    project.lose_database()
    shutil.copyfile(copy, project.state / "batchgen.db")
    last = project.run("run", manifest, "--yes")
    assert last.code == 0, last.err
    times = bought(witness)
    assert {prompt: times[prompt] for prompt in had} == dict.fromkeys(had, 1)
    if end == "orderly":
        assert max(times.values()) == 1
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    check_books(project, witness.charges())
    check_files(project)


@pytest.mark.not_on(postgres="batchgen db backup is for SQLite")
def test_hold_keeps_calls_open_in_an_old_database_from_resending(project, witness, tmp_path):
    slow = {"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=20]"}
    manifest = project.manifest([*JOBS[:4], slow], providers=WIDE, on_unknown="hold")
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 5, process)
    wait_for(lambda: sum(job["state"] == "done" for job in project.jobs().values()) == 4, process)
    copy = tmp_path / "old.db"
    assert project.run("db", "backup", copy).code == 0
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    assert project.jobs()["slow"]["state"] == "unknown"
    project.lose_database()
    shutil.copyfile(copy, project.state / "batchgen.db")
    last = project.run("run", manifest, "--yes")
    assert last.code == 3, last.err
    assert project.jobs()["slow"]["state"] == "unknown"
    assert max(Counter(line["prompt"] for line in witness.now() if line["event"] == "arrival").values()) == 1


# --- files --------------------------------------------------------------------


def test_verify_finds_what_is_gone_cut_or_flipped(project, witness):
    """F20, F21."""
    manifest = project.manifest(JOBS[:6], providers=WIDE)
    assert project.run("run", manifest, "--yes").code == 0
    fine = project.run("verify", "--json")
    assert (fine.code, fine.json["checked"], fine.json["wrong"]) == (0, 6, 0)
    gone, cut, flipped, *_ = project.images()
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-20])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    found = project.run("verify", "--deep", "--json")
    assert found.code == 3
    assert {row["path"]: row["what"] for row in found.json["files"]} == {
        str(path.relative_to(project.folder)): what
        for path, what in ((gone, "missing"), (cut, "size"), (flipped, "hash"))
    }
    assert found.json["requeued"] == []
    plain = project.run("verify")
    assert plain.code == 3
    assert gone.stem in plain.out
    assert "verify --requeue" in plain.err
    # nothing is bought again in silence
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 6
    some = project.run("verify", "--id", gone.stem, "--json")
    assert (some.code, some.json["checked"]) == (3, 1)
    back = project.run("verify", "--requeue", "--json")
    assert (back.code, sorted(back.json["requeued"])) == (3, sorted(path.stem for path in (gone, cut, flipped)))
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 9
    assert project.run("verify", "--deep").code == 0
    aside = project.folder / "output" / "shop" / ".superseded"
    assert bytes(data) in [path.read_bytes() for path in aside.iterdir()]
    check_files(project)
    check_books(project, witness.charges())


# --- jobs in doubt ------------------------------------------------------------


@pytest.fixture
def doubtful(project):
    jobs = [
        {"id": name, "provider": name, "quality": "low", "prompt": f"{name} {project.folder.name} [sandbox: drop x1]"}
        for name in ("openai", "aimlapi")
    ]
    manifest = project.manifest(jobs, providers=WIDE, on_unknown="hold")
    done = project.run("run", manifest, "--yes")
    assert done.code == 3, done.err
    assert "batchgen unknown list" in done.err
    return manifest


def test_unknown_jobs_are_listed_with_what_they_may_have_cost(project, doubtful):
    listed = project.run("unknown", "list", "--json")
    assert listed.code == 0
    lines = {line["id"]: line for line in listed.json["unknown"]}
    assert set(lines) == {"openai", "aimlapi"}
    for name, line in lines.items():
        [attempt] = project.jobs()[name]["attempts"]
        assert line["provider"] == name
        assert float(line["may_have_cost"]["usd"]) == attempt["estimate_usd"] / 1e9
        assert line["attempt"] == attempt["id"]
        assert name in line["hint"]
    plain = project.run("unknown", "list")
    assert "openai" in plain.out
    assert "unknown adopt" in plain.err
    assert len(project.run("unknown", "list", "--id", "open*", "--json").json["unknown"]) == 1


def test_what_was_settled_is_no_longer_unknown_and_stays_booked(project, doubtful):
    assert project.run("unknown", "settle", "openai", "--charged", "0.01").code == 0
    listed = {line["id"]: line["settled"] for line in project.run("unknown", "list", "--json").json["unknown"]}
    assert listed == {"openai": True, "aimlapi": False}
    [row] = [line for line in project.run("unknown", "list").out.splitlines() if line.startswith("openai")]
    assert "settled" in row
    dropped = project.run("unknown", "drop", "--id", "openai", "--not-charged")
    assert "1 job cancelled; what was settled stays as it was booked" in dropped.err
    assert "booked as not charged" not in dropped.err
    assert [row["usd"] for row in project.ledger().values() if row["provider"] == "openai"] == [10_000_000]
    assert "1 job cancelled; booked as not charged\n" in project.run("unknown", "drop", "--not-charged").err


def test_an_unknown_job_is_bought_again_when_the_user_asks(project, doubtful, witness):
    before = project.ledger()
    back = project.run("unknown", "retry", "--id", "openai")
    assert (back.code, back.out) == (0, "")
    assert "1 job pending again" in back.err
    assert "batchgen run m.yaml" in back.err
    assert {key: job["state"] for key, job in project.jobs().items()} == {"openai": "pending", "aimlapi": "unknown"}
    assert project.ledger() == before  # what it may have cost stays
    assert project.run("run", doubtful, "--yes").code == 3
    assert project.jobs()["openai"]["state"] == "done"
    assert len(witness.charges()) == 1
    assert project.run("unknown", "retry", "--id", "openai").code == 10
    assert project.run("unknown", "retry", "--status", "failed").code == 2


def test_an_unknown_job_is_given_up(project, doubtful):
    kept = project.run("unknown", "drop", "--id", "openai", "--json")
    assert (kept.code, kept.json["cancelled"]) == (0, ["openai"])
    free = project.run("unknown", "drop", "--not-charged")
    assert free.code == 0
    jobs, book = project.jobs(), project.ledger()
    assert {job["state"] for job in jobs.values()} == {"cancelled"}
    stays, released = (book[jobs[name]["attempts"][0]["id"]] for name in ("openai", "aimlapi"))
    assert (stays["usd"], stays["charged"]) == (None, "maybe")
    assert stays["at_risk_usd"] > 0
    facts = [released[name] for name in ("usd", "charged", "basis", "at_risk_usd", "at_risk_credits")]
    assert facts == [0, "no", "priced", None, None]
    assert project.run("run", doubtful, "--yes").code == 0
    assert project.run("unknown", "list", "--json").json["unknown"] == []


def test_a_file_that_the_user_fetched_is_adopted(project, doubtful, tmp_path):
    picture, broken = tmp_path / "fetched.png", tmp_path / "broken.png"
    Image.new("RGB", (64, 48), (200, 10, 10)).save(picture)
    broken.write_bytes(picture.read_bytes()[:-9])
    refused = project.run("unknown", "adopt", "openai", broken)
    assert (refused.code, project.jobs()["openai"]["state"], project.images()) == (2, "unknown", [])
    assert project.run("unknown", "adopt", "nobody", picture).code == 10
    # a stranger's file has the name
    folder = project.folder / "output" / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openai.png").write_bytes(b"a stranger's")
    done = project.run("unknown", "adopt", "openai", picture, "--json")
    assert done.code == 0, done.err
    assert done.json["state"] == "done"
    assert opened(folder / "openai.png") == (64, 48)
    assert [path.read_bytes() for path in (folder / ".superseded").iterdir()] == [b"a stranger's"]
    job = project.jobs()["openai"]
    [attempt] = job["attempts"]
    row = project.ledger()[attempt["id"]]
    assert (job["state"], job["delivered"], attempt["state"]) == ("done", 1, "delivered")
    assert (row["usd"], row["charged"], row["basis"]) == (attempt["estimate_usd"], "yes", "estimated")
    assert (row["at_risk_usd"], row["images"]) == (None, 1)
    assert json.loads((folder / "openai.png.json").read_text())["attempt"] == attempt["id"]
    assert project.run("unknown", "adopt", "openai", picture).code == 2
    assert project.run("verify", "--deep").code == 0
    check_files(project)


# --- rules of the house -------------------------------------------------------


@pytest.mark.not_on(postgres="asks for the path of the file")
def test_what_writes_waits_its_turn_and_what_is_not_there_is_stated(project, witness, tmp_path):
    for words in (["unknown", "list"], ["unknown", "retry"], ["verify"], ["db", "check"], ["db", "backup", "x"]):
        done = project.run(*words)
        assert (done.code, done.out) == (10, ""), words
    assert not list(project.state.glob("batchgen.db*"))
    assert project.run("db", "path", "--json").json["exists"] is False
    manifest = project.manifest([{"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=60]"}])
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived, process)
    picture = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(picture)
    adopting = ["unknown", "adopt", "slow", picture]
    for words in (["unknown", "drop"], adopting, ["verify", "--requeue"], ["db", "upgrade"]):
        assert project.run(*words).code == 11, words
    assert project.run("verify").code == 0
    assert project.run("db", "check").code == 0
    process.kill()
    finish(process)
    newest = max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("0*.py"))
    assert project.run("db", "upgrade", "--json").json == {"schema_version": 1, "before": newest, "after": newest}
    assert project.run("db", "path").out.strip() == str(project.state / "batchgen.db")
    assert project.run("verify", "--batch", "nobody").code == 10
