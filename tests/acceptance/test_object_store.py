"""Runs whose output folder is in an object store (a real S3 server): publishing, outages, kills, second writers."""

from __future__ import annotations

import hashlib
import json
import signal
import time

import pytest

from tests.servers.gate import gate
from tests.servers.s3 import SECRET

from .kit import check_books, finish, wait_for

pytestmark = pytest.mark.slow


def jobs(count=6):
    return [{"id": f"cat-{number}", "prompt": f"cat {number}", "provider": "openai"} for number in range(count)]


@pytest.fixture
def in_store(project, bucket):
    """A project whose images go to the bucket."""
    project.env |= bucket.env
    return project


@pytest.fixture
def door(in_store, s3_server):
    """A gate between the project and its store."""
    with gate(s3_server.port) as opened:
        in_store.env["AWS_ENDPOINT_URL"] = opened.endpoint
        yield opened


def output(bucket, folder="out"):
    return {"output": {"dir": f"{bucket.url}/{folder}"}}


def names(bucket):
    return [name for name in bucket.names() if "/.batchgen/" not in name]


def files(count=6, folder="out"):
    return sorted(f"{folder}/cat-{n}.png{end}" for n in range(count) for end in ("", ".json"))


def check_objects(project, bucket):
    """Assert that the bucket holds exactly what the job database states."""
    rows = project.rows("select path, sha256, bytes from artifacts where superseded_at is null")
    for row in rows:
        data = bucket.read(row["path"].removeprefix(f"{bucket.url}/"))
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
    images = {row["path"].removeprefix(f"{bucket.url}/") for row in rows}
    assert set(names(bucket)) == images | {f"{name}.json" for name in images}
    assert not list((project.state / "spool").glob("*.slot"))


def test_run_publishes_images_with_facts_and_sidecars(in_store, bucket, witness):
    manifest = in_store.manifest(jobs(), output={"dir": f"{bucket.url}/shop/{{{{ name }}}}"})
    done = in_store.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert names(bucket) == files(folder="shop/shop")
    for row in in_store.rows("select path, sha256, bytes, attempt_id from artifacts"):
        name = row["path"].removeprefix(f"{bucket.url}/")
        facts = bucket.facts(name)
        assert facts["Content-Type"] == "image/png"
        assert facts["batchgen-attempt"] == row["attempt_id"]
        assert facts["batchgen-sha256"] == row["sha256"]
        assert facts["batchgen-job"] in name
        assert json.loads(bucket.read(f"{name}.json"))["attempt"] == row["attempt_id"]
    check_objects(in_store, bucket)
    check_books(in_store, witness.charges())
    assert in_store.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 6
    state = "".join(path.read_text(errors="replace") for path in in_store.state.rglob("*") if path.is_file())
    assert SECRET not in done.out + done.err + state


def test_store_that_is_down_for_a_while_costs_no_second_call(in_store, bucket, door, witness):
    manifest = in_store.manifest(jobs(40), **output(bucket), defaults={"provider": "openai"})
    process = in_store.start("run", manifest, "--yes", "-j", "8")
    wait_for(lambda: witness.arrived >= 10, process)
    with door.closed():
        wait_for(lambda: len(list((in_store.state / "spool").glob("*.slot"))) >= 8, process)
        time.sleep(3)
        assert process.poll() is None
    done = finish(process, 60)
    assert done.code == 0, done
    assert "Uploads are tried again" in done.err
    assert "the object store answers again" in done.err
    assert len(witness.charges()) == 40
    assert names(bucket) == files(40)
    check_objects(in_store, bucket)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["refused", "stopped"])
def test_an_outage_of_a_minute_repeats_no_call_and_loses_nothing(in_store, bucket, door, s3_server, witness, how):
    manifest = in_store.manifest(jobs(40), **output(bucket), defaults={"provider": "openai"})
    process = in_store.start("run", manifest, "--yes", "-j", "40")
    wait_for(lambda: witness.arrived, process)
    with door.closed() if how == "refused" else s3_server.paused():
        began = time.monotonic()
        wait_for(lambda: len(witness.charges()) == 40, process, seconds=60)
        time.sleep(max(0.0, began + 60 - time.monotonic()))
        assert process.poll() is None
        assert len(list((in_store.state / "spool").glob("*.slot"))) >= 30
    done = finish(process, 90)
    assert done.code == 0, done
    assert len(witness.charges()) == 40
    assert names(bucket) == files(40)
    check_objects(in_store, bucket)
    check_books(in_store, witness.charges())
    assert in_store.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 40


def test_run_that_is_cut_off_in_an_outage_uploads_from_the_spool(in_store, bucket, door, witness):
    manifest = in_store.manifest(jobs(), **output(bucket))
    door.rule = lambda head: "request" if head.startswith(b"PUT") and b".png" in head.partition(b"\r\n")[0] else None
    process = in_store.start("run", manifest, "--yes", "-j", "3")
    wait_for(lambda: len(door.held) >= 3, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    charged = len(witness.charges())
    assert charged >= 3
    door.rule = lambda _head: None
    done = in_store.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert len(witness.charges()) == 6
    check_objects(in_store, bucket)
    check_books(in_store, witness.charges())


@pytest.mark.parametrize(
    ("ending", "part"),
    [(".png", "request"), (".png", "answer"), (".png.json", "request"), (".png.json", "answer")],
    ids=["before-image", "after-image", "before-sidecar", "after-sidecar"],
)
def test_killed_upload_is_completed_without_another_call(in_store, bucket, door, witness, ending, part):
    manifest = in_store.manifest(jobs(4), **output(bucket))
    line = f"{ending} HTTP/1.1".encode()
    door.rule = lambda head: part if head.startswith(b"PUT") and line in head.partition(b"\r\n")[0] else None
    process = in_store.start("run", manifest, "--yes", "-j", "2")
    wait_for(lambda: len(door.held) >= 2, process)
    if part == "answer":
        wait_for(lambda: sum(name.endswith(ending) for name in bucket.names()) >= 2, process)
    process.kill()
    process.communicate()
    assert len(witness.charges()) == 2
    door.rule = lambda _head: None
    done = in_store.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert len(witness.charges()) == 4
    check_objects(in_store, bucket)
    check_books(in_store, witness.charges())


def test_files_of_others_are_kept_when_a_name_is_taken(in_store, bucket, witness):
    bucket.write("out/cat-0.png", b"not ours")
    manifest = in_store.manifest(jobs(1), **output(bucket))
    assert in_store.run("run", manifest, "--yes").code == 0
    kept = [name for name in names(bucket) if name.startswith("out/.superseded/")]
    assert [bucket.read(name) for name in kept] == [b"not ours"]
    assert bucket.read("out/cat-0.png").startswith(b"\x89PNG")


def test_redo_moves_the_earlier_image_aside(in_store, bucket, witness):
    manifest = in_store.manifest(jobs(2), **output(bucket))
    assert in_store.run("run", manifest, "--yes").code == 0
    before = bucket.read("out/cat-0.png")
    done = in_store.run("redo", manifest, "--id", "cat-0", "--yes")
    assert done.code == 0, done
    kept = {name: bucket.read(name) for name in names(bucket) if name.startswith("out/.superseded/")}
    if bucket.read("out/cat-0.png") != before:
        assert before in kept.values()
        assert len(kept) == 2
    assert len(witness.charges()) == 3


def test_batches_share_a_prefix(in_store, bucket, witness):
    dog = {"id": "dog", "prompt": "dog", "provider": "openai"}
    one = in_store.manifest(jobs(2), "one.yaml", **output(bucket))
    other = in_store.manifest([dog], "two.yaml", **output(bucket))
    other.write_text(other.read_text().replace("name: shop", "name: pets"))
    assert in_store.run("run", one, "--yes").code == 0
    assert in_store.run("run", other, "--yes").code == 0
    assert names(bucket) == sorted([*files(2), "out/dog.png", "out/dog.png.json"])


def test_names_with_every_allowed_character_are_published(in_store, bucket, witness):
    ids = ["with space", "50%25 off", "a#b&c=d+e", "ünïcödé-日本", "x" * 180, "deep/er/name", "q'uote(1)!~$"]
    listed = [{"id": id_, "prompt": f"p {n}", "provider": "openai"} for n, id_ in enumerate(ids)]
    manifest = in_store.manifest(listed, **output(bucket, "odd %41 ü"))
    done = in_store.run("run", manifest, "--yes")
    assert done.code == 0, done
    rows = in_store.rows("select path from artifacts")
    assert {row["path"] for row in rows} == {f"{bucket.url}/{name}" for name in names(bucket) if name.endswith(".png")}
    assert len(rows) == len(ids)
    assert len(witness.charges()) == len(ids)


def test_place_belongs_to_one_job_database(in_store, bucket, witness):
    manifest = in_store.manifest(jobs(2), **output(bucket))
    assert in_store.run("run", manifest, "--yes").code == 0
    refused = in_store.run("run", manifest, "--yes", "--db", "other/jobs.db")
    assert refused.code == 11, refused
    assert f"{bucket.url}/out belongs to another job database" in refused.err
    assert "take it over: batchgen db recover m.yaml --db other/jobs.db" in " ".join(refused.err.split())
    assert "batchgen db recover" in refused.err
    assert len(witness.charges()) == 2
    recovered = in_store.run("db", "recover", manifest, "--db", "other/jobs.db")
    assert recovered.code == 0, recovered
    former = in_store.run("run", manifest, "--yes")
    assert former.code == 11, former


def test_lost_database_at_the_same_path_keeps_its_place(in_store, bucket, witness):
    manifest = in_store.manifest(jobs(2), **output(bucket))
    assert in_store.run("run", manifest, "--yes").code == 0
    for path in in_store.state.glob("batchgen.db*"):
        path.unlink()
    assert "belongs to another" not in in_store.run("run", manifest, "--dry-run").err
    assert in_store.run("run", manifest, "--yes", "--id", "cat-0").code != 11


def test_store_without_conditional_writes_is_named_and_used(project, plain_bucket, witness):
    project.env |= plain_bucket.env
    manifest = project.manifest(jobs(3), **output(plain_bucket))
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert "ignores conditional writes" in done.err
    assert names(plain_bucket) == files(3)
    plain_bucket.write("out/dog.png", b"not ours")
    project.manifest([{"id": "dog", "prompt": "dog", "provider": "openai"}], **output(plain_bucket))
    assert project.run("run", manifest, "--yes").code == 0
    assert b"not ours" in [plain_bucket.read(name) for name in plain_bucket.names() if ".superseded" in name]


def test_provided_file_goes_to_the_store(in_store, bucket, witness):
    manifest = in_store.manifest([{"id": "a", "prompt": "a [sandbox:refused]", "provider": "openai"}], **output(bucket))
    in_store.run("run", manifest, "--yes")
    other = in_store.manifest([{"id": "b", "prompt": "b", "provider": "openai"}], "other.yaml", **output(bucket, "two"))
    other.write_text(other.read_text().replace("name: shop", "name: pets"))
    assert in_store.run("run", other, "--yes").code == 0
    image = in_store.folder / "b.png"
    image.write_bytes(bucket.read("two/b.png"))
    done = in_store.run("unknown", "adopt", "a", image, "--batch", "shop")
    assert done.code == 0, done
    assert bucket.read("out/a.png") == image.read_bytes()
