"""The output tree in an object store, against a real S3 server."""

import hashlib
import subprocess
import sys
import threading

import anyio
import pytest

from batchgen.files.object_errors import StoreRefusal
from batchgen.files.object_store import ObjectStore
from batchgen.files.object_tree import ObjectTree
from batchgen.files.output_tree import open_file, output_tree
from batchgen.files.tree_file import Label
from batchgen.object_url import ObjectUrl
from tests.servers.gate import gate

LABEL = Label(job="кот 1", attempt="a" * 32)


@pytest.fixture
def tree(bucket, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return output_tree(ObjectUrl.parse(f"{bucket.url}/out"))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_published_file_has_facts_and_is_read_back(tree, bucket, tmp_path):
    tree.publish("a/ü #1%.png", b"image", sidecar=b"{}", label=LABEL)
    facts = bucket.facts("out/a/ü #1%.png")
    assert facts["Content-Type"] == "image/png"
    assert facts["batchgen-sha256"] == sha(b"image")
    assert facts["batchgen-attempt"] == LABEL.attempt
    assert facts["batchgen-job"].isascii()
    assert [file.name for file in tree.files()] == ["a/ü #1%.png", "a/ü #1%.png.json"]
    file = open_file(tmp_path, f"{bucket.url}/out/a/ü #1%.png")
    assert (file.exists(), file.size(), file.digest(), file.read()) == (True, 5, sha(b"image"), b"image")
    file.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"image"


def test_missing_file_is_missing_in_every_way(tree, bucket, tmp_path):
    file = open_file(tmp_path, f"{bucket.url}/out/gone.png")
    assert not file.exists()
    for question in (file.size, file.digest, file.read):
        with pytest.raises(FileNotFoundError):
            question()


def test_same_bytes_are_left_and_others_kept(tree, bucket):
    tree.publish("a.png", b"one")
    before = bucket.facts("out/a.png")
    tree.publish("a.png", b"one", label=LABEL)
    assert bucket.facts("out/a.png") == before
    tree.publish("a.png", b"two")
    assert bucket.read("out/a.png") == b"two"
    assert bucket.read(f"out/.superseded/a.{sha(b'one')[:8]}.png") == b"one"


async def test_late_second_writer_loses_nothing(tree, bucket):
    first, second = (tree.upload("a.png", data, label=LABEL).parts[0] for data in (b"one", b"two"))
    await tree.put_soon(first, lambda: False)
    await tree.put_soon(second, lambda: False)
    await tree.put_soon(second, lambda: False)
    assert bucket.read("out/a.png") == b"two"
    assert bucket.read(f"out/.superseded/a.{sha(b'one')[:8]}.png") == b"one"
    assert len(bucket.names()) == 2


async def test_object_of_a_later_attempt_stays(tree, bucket):
    later, late = (tree.upload("a.png", data, label=LABEL).parts[0] for data in (b"later", b"late"))
    await tree.put_soon(later, lambda: True)
    await tree.put_soon(late, lambda: True)
    await tree.put_soon(late, lambda: True)
    assert bucket.read("out/a.png") == b"later"
    assert bucket.read(f"out/.superseded/a.{sha(b'late')[:8]}.png") == b"late"
    assert len(bucket.names()) == 2


async def put_at_once(tree, name, pictures):
    async with anyio.create_task_group() as tasks:
        for data in pictures:
            tasks.start_soon(tree.put_soon, tree.upload(name, data, label=LABEL).parts[0], lambda: False)


@pytest.mark.parametrize("size", [50_000, 17_000_000])
async def test_of_two_writers_at_the_same_moment_neither_loses(tree, bucket, size):
    pictures = [bytes([number]) * size for number in range(2)]
    await put_at_once(tree, "new.png", pictures)
    assert sorted(bucket.read(name) for name in bucket.names()) == pictures


@pytest.mark.parametrize("size", [50_000, 17_000_000])
async def test_of_three_who_replace_at_the_same_moment_none_loses(tree, bucket, size):
    first, *others = pictures = [bytes([number]) * size for number in range(4)]
    tree.publish("a.png", first)
    await put_at_once(tree, "a.png", others)
    assert sorted(bucket.read(name) for name in bucket.names()) == pictures


async def test_large_file_is_one_upload(tree, bucket):
    large = bytes(70_000_000)
    [part] = tree.upload("big.png", large, label=LABEL).parts
    await tree.put_soon(part, lambda: False)
    await tree.put_soon(part, lambda: False)
    assert bucket.sizes() == {"out/big.png": len(large)}
    assert bucket.facts("out/big.png")["batchgen-sha256"] == sha(large)
    assert "-" not in ObjectStore(tree.folder).head("big.png").etag  # that of an upload in parts has one


async def test_another_writer_in_between_is_noticed(tree, bucket, monkeypatch):
    replace, others = ObjectStore.replace, [b"other"]

    def lose_once(store, *arguments):
        if others:
            bucket.write("out/a.png", others.pop())
        return replace(store, *arguments)

    monkeypatch.setattr(ObjectStore, "replace", lose_once)
    tree.publish("a.png", b"one")
    tree.publish("a.png", b"two")
    assert bucket.read("out/a.png") == b"two"
    kept = {f"out/.superseded/a.{sha(data)[:8]}.png": data for data in (b"one", b"other")}
    assert {name: bucket.read(name) for name in bucket.names("out/.superseded/")} == kept


async def test_object_that_is_removed_before_it_is_replaced_is_created(tree, bucket, monkeypatch):
    replace = ObjectStore.replace

    def lose(store, *arguments):
        bucket.delete("out/a.png")
        return replace(store, *arguments)

    monkeypatch.setattr(ObjectStore, "replace", lose)
    tree.publish("a.png", b"one")
    tree.publish("a.png", b"two")
    assert bucket.read("out/a.png") == b"two"


def test_withdrawn_file_is_kept_aside_with_its_sidecar(tree, bucket):
    tree.publish("a.png", b"one", sidecar=b'{"attempt": "%s"}' % LABEL.attempt.encode(), label=LABEL)
    tree.withdraw("a.png", sha(b"two"), LABEL.attempt, bare=lambda: True)
    tree.withdraw("a.png", sha(b"one"), "b" * 32, bare=lambda: True)
    assert "out/a.png" in bucket.names()
    tree.withdraw("a.png", sha(b"one"), LABEL.attempt, bare=lambda: False)
    tree.withdraw("a.png", sha(b"one"), LABEL.attempt, bare=lambda: False)
    assert [name for name in bucket.names() if not name.startswith("out/.superseded/")] == []
    assert sorted(map(bucket.read, bucket.names())) == sorted([b"one", b'{"attempt": "%s"}' % LABEL.attempt.encode()])


def test_outage_only_delays_a_withdrawal(tree, bucket, s3_server, monkeypatch):
    tree.publish("a.png", b"one", label=LABEL)
    with gate(s3_server.port) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.endpoint)
        away = output_tree(tree.folder)
        door.close()
        reopen = threading.Timer(2.0, door.open)
        reopen.start()
        away.withdraw("a.png", sha(b"one"), LABEL.attempt, bare=lambda: True)
        reopen.join()
    assert bucket.names() == [f"out/.superseded/a.{sha(b'one')[:8]}.png"]


def test_writable_store_is_left_clean_and_long_names_refused(tree, bucket):
    assert tree.require_writable(["a.png", "b/c.png"])
    assert bucket.names() == []
    with pytest.raises(StoreRefusal, match="too long for an object store"):
        tree.require_writable(["x/" * 500])


def test_many_objects_are_listed_page_by_page(tree, bucket):
    for number in range(1_010):
        bucket.write(f"out/many/{number:04}", b"")
    assert [file.name for file in tree.files("many")] == [f"many/{number:04}" for number in range(1_010)]
    bucket.write("out/many-others", b"")
    assert len(list(tree.files("many"))) == 1_010


def test_store_without_conditional_writes_is_written_after_a_look(plain_bucket, monkeypatch):
    for name, value in plain_bucket.env.items():
        monkeypatch.setenv(name, value)
    tree = ObjectTree(ObjectUrl.parse(f"{plain_bucket.url}/out"))
    assert not tree.require_writable()
    assert tree.store.put_new("a.png", b"one", {})
    assert not tree.store.put_new("a.png", b"two", {})
    assert plain_bucket.read("out/a.png") == b"one"
    tree.publish("a.png", b"two")
    assert plain_bucket.read("out/a.png") == b"two"


#: Ends as soon as its last upload has.
LAST = """
import asyncio, sys
from batchgen.files.object_store import ObjectStore
from batchgen.object_url import ObjectUrl
store = ObjectStore(ObjectUrl.parse(sys.argv[1]))
async def main():
    await asyncio.gather(*(store.put_new_soon(f"{sys.argv[2]}-{n}", bytes(100_000), {}) for n in range(24)))
asyncio.run(main())
"""


def test_process_that_ends_with_its_last_upload_is_not_aborted(tree, bucket):
    ends = [subprocess.run([sys.executable, "-c", LAST, str(tree.folder), str(n)], check=False) for n in range(8)]
    assert [end.returncode for end in ends] == [0] * 8
