"""A paid answer on disk: whole and proven, or told apart from one that is not."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path

import pytest

from batchgen.errors import StoreError
from batchgen.files.slot import Slot
from batchgen.files.spool import KEPT_SUFFIX, Spool

from ..timing import patience

ROOT = Path(__file__).parents[2]
ID = "0123456789abcdef" * 2
ORDER = {"id": ID, "batch": "autumn", "task": {"prompt": 'Zoë\n"quoted" \ud800 {'}}
HEADERS = {"content-type": "application/json", "x-request-id": "r-1"}
SPACE = 100_000


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "state" / "spool")


def path_of(spool: Spool) -> Path:
    return next(spool._folder.glob("*.slot"))


def keep(spool: Spool, *pieces: bytes, status: int = 200, seal: bool = True, space: int = SPACE) -> None:
    with spool.open(ID, ORDER, space) as slot:
        slot.keep_head(status, HEADERS)
        for piece in pieces:
            slot.write(piece)
        if seal:
            slot.seal()
            slot.sync()


BODIES = {
    "empty": (b"",),
    "small": (b'{"data": ', b"[1]}"),
    "larger than the space": (random.Random(1).randbytes(60_000), random.Random(2).randbytes(60_000)),
    "newlines": (b"\n\n{}\n", b"\nsealed 1\n"),
    "looks like a seal": (b"\nsealed " + b"%020d %s\n" % (3, b"0" * 64),),
    "looks like a right seal": (b"ab\nsealed " + b"%020d crc32:%08x\n" % (3, zlib.crc32(b"abc")),),
}


@pytest.mark.parametrize("pieces", BODIES.values(), ids=BODIES)
def test_a_sealed_answer_comes_back_as_it_was(spool, pieces):
    keep(spool, *pieces)
    found = spool.find(ID)
    assert found is not None
    assert found.sealed
    assert (found.status, found.headers, found.body) == (200, HEADERS, b"".join(pieces))
    assert found.order == json.loads(json.dumps(ORDER))


@pytest.mark.parametrize("pieces", BODIES.values(), ids=BODIES)
def test_an_unsealed_answer_comes_back_as_far_as_it_came(spool, pieces):
    keep(spool, *pieces, seal=False)
    found = spool.find(ID)
    assert found is not None
    assert not found.sealed
    assert (found.status, found.headers, found.body) == (200, HEADERS, b"".join(pieces))


@pytest.mark.parametrize("space", [0, 1, 5, 11, 12, 13, 14, 1000])
@pytest.mark.parametrize("seal", [False, True])
def test_an_open_slot_has_its_body_whatever_space_was_left(spool, space, seal):
    body = b'{"data": [1]}'
    assert len(body) == 13
    with spool.open(ID, ORDER, space) as slot:
        slot.keep_head(200, {})
        slot.write(body[:5])
        assert slot.body() == body[:5]
        slot.write(body[5:])
        if seal:
            slot.seal()
        assert slot.body() == body


@pytest.mark.parametrize("body", [b"", b"x" * 130])
def test_open_slot_reports_a_body_of_exactly_its_space(spool, body):
    head = len(json.dumps({"status": 200, "headers": {}}, separators=(",", ":"))) + 1
    with spool.open(ID, ORDER, head + len(body)) as slot:
        slot.keep_head(200, {})
        slot.write(body)
        assert slot.body() == body


def test_the_tail_of_unused_space_is_no_part_of_an_unsealed_body(spool):
    keep(spool, b'{"data": 1}', seal=False)
    raw = path_of(spool).read_bytes()
    assert len(raw) > SPACE
    assert raw.endswith(b"\0" * 1000)
    assert spool.find(ID).body == b'{"data": 1}'


def test_a_sealed_slot_gives_the_space_back(spool):
    keep(spool, b"x" * 10)
    assert path_of(spool).stat().st_size < 1000


def test_a_slot_without_an_answer_has_an_order_and_no_status(spool):
    spool.open(ID, ORDER, SPACE).close()
    found = spool.find(ID)
    assert (found.status, found.body, found.sealed) == (None, b"", False)
    assert found.order["batch"] == "autumn"


def test_the_space_is_taken_before_anything_is_sent(spool):
    with spool.open(ID, ORDER, 2_000_000):
        assert path_of(spool).stat().st_blocks * 512 >= 2_000_000


def test_every_torn_prefix_reads_as_an_unsealed_slot(spool):
    keep(spool, b'{"data": [' + b"1" * 50 + b"]}")
    path, raw = path_of(spool), path_of(spool).read_bytes()
    for cut in range(len(raw)):
        for tail in (b"", b"\0" * 64):
            path.write_bytes(raw[:cut] + tail)
            found = spool.find(ID)
            assert not found.sealed, cut
            assert found.status in (None, 200)
            assert found.body in raw


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_in_a_slot_never_read_as_sealed_and_never_crash(spool, seed):
    chance = random.Random(seed)
    keep(spool, b"x")
    start = chance.choice(
        [b"", b"{}\n", b"[]\n", b"{}\n{}\n", b'{}\n{"status":200}\n', b'{}\n{"status":null,"headers":1}\n']
    )
    path_of(spool).write_bytes(start + chance.randbytes(chance.randrange(300)))
    assert not spool.find(ID).sealed


def test_a_flipped_byte_breaks_the_seal(spool):
    keep(spool, b'{"data": [1, 2, 3]}')
    path, raw = path_of(spool), path_of(spool).read_bytes()
    start = raw.index(b'{"data"')
    for position in range(start, len(raw)):
        broken = bytearray(raw)
        broken[position] ^= 1
        path.write_bytes(bytes(broken))
        assert not spool.find(ID).sealed, position


def forged(body: bytes, length: bytes, digest: str) -> bytes:
    return b'{"id":"x"}\n{"status":200,"headers":{}}\n' + body + b"\nsealed " + length + b" " + digest.encode() + b"\n"


@pytest.mark.parametrize("digest", [hashlib.sha256(b"12345").hexdigest(), f"crc32:{zlib.crc32(b'12345'):08x}"])
@pytest.mark.parametrize(
    "length", [b"%020d" % 4, b"%020d" % 6, b"x" * 20, b" " * 20, b"-0000000000000000005", b"0_000000000000000005"[:20]]
)
def test_a_seal_with_another_length_is_refused(spool, length, digest):
    keep(spool, b"x")
    path_of(spool).write_bytes(forged(b"12345", length, digest))
    assert not spool.find(ID).sealed


CHECKSUM = f"crc32:{zlib.crc32(b'12345'):08x}"


@pytest.mark.parametrize(
    "digest",
    [
        hashlib.sha256(b"54321").hexdigest(),
        f"crc32:{zlib.crc32(b'54321'):08x}",
        CHECKSUM.upper().replace("CRC", "crc"),
        CHECKSUM[:-1],
        CHECKSUM.removeprefix("crc32:"),
        f"sha256:{CHECKSUM[6:]}",
        "0" * 64,
        "é" * 32,
        "",
    ],
)
def test_a_seal_with_another_checksum_is_refused(spool, digest):
    keep(spool, b"x")
    path_of(spool).write_bytes(forged(b"12345", b"%020d" % 5, digest))
    assert not spool.find(ID).sealed


@pytest.mark.parametrize("digest", [CHECKSUM, hashlib.sha256(b"12345").hexdigest()], ids=["this version", "older ones"])
def test_a_right_seal_is_accepted(spool, digest):
    keep(spool, b"x")
    path_of(spool).write_bytes(forged(b"12345", b"%020d" % 5, digest))
    assert (spool.find(ID).sealed, spool.find(ID).body) == (True, b"12345")


@pytest.mark.parametrize("end", [b"", b"\n", b"x", b"\nsealed ", b"\nsealed 00000000000000000005 crc32:00000000\n"])
def test_bytes_after_a_seal_break_it(spool, end):
    keep(spool, b"x")
    seal = forged(b"12345", b"%020d" % 5, CHECKSUM)
    path_of(spool).write_bytes(seal + end)
    assert spool.find(ID).sealed == (not end)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_slots_are_for_their_owner_only_whatever_the_umask(tmp_path, mask):
    old = os.umask(mask)
    try:
        spool = Spool(tmp_path / "spool")
        keep(spool, b"x")
        mode = stat.S_IMODE(path_of(spool).stat().st_mode)
        folder = stat.S_IMODE((tmp_path / "spool").stat().st_mode)
    finally:
        os.umask(old)
    assert (mode, folder) == (0o600, 0o700)


def test_a_slot_is_never_opened_twice_nor_through_a_link(spool, tmp_path):
    keep(spool, b"first")
    with pytest.raises(StoreError, match="Nothing was sent"):
        spool.open(ID, ORDER, 10)
    assert spool.find(ID).body == b"first"
    spool.release(ID, delivered=True)
    (spool._folder / f"{ID}.slot").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError):
        spool.open(ID, ORDER, 10)
    assert not (tmp_path / "victim").exists()


def test_a_success_is_removed_only_when_it_is_delivered(spool):
    keep(spool, b"x")
    assert list(spool.leftover_ids()) == [ID]
    spool.release(ID, delivered=False)
    assert list(spool.leftover_ids()) == []
    assert spool.find(ID) is None
    kept = spool._folder / f"{ID}{KEPT_SUFFIX}"
    assert b"\nsealed " in kept.read_bytes()
    keep(spool, b"y")
    spool.release(ID, delivered=True)
    assert list(spool.leftover_ids()) == []
    assert kept.exists()
    spool.release(ID, delivered=True)
    spool.release(ID, delivered=False)
    spool.set_aside(ID)


@pytest.mark.parametrize("status", [None, 302, 400, 429, 500])
def test_an_answer_without_success_is_not_kept(spool, status):
    with spool.open(ID, ORDER, SPACE) as slot:
        if status is not None:
            slot.keep_head(status, {})
            slot.seal()
    spool.release(ID, delivered=False)
    assert list(spool._folder.iterdir()) == []


@pytest.mark.parametrize("body", [b"", b"half an answ"])
def test_a_success_that_broke_off_is_kept(spool, body):
    with spool.open(ID, ORDER, SPACE) as slot:
        slot.keep_head(200, {})
        slot.write(body)
    spool.release(ID, delivered=False)
    assert [path.suffix for path in spool._folder.iterdir()] == [KEPT_SUFFIX]


def test_a_slot_that_was_rewound_proves_its_second_answer_only(spool):
    with spool.open(ID, ORDER, SPACE) as slot:
        slot.keep_head(200, {})
        slot.write(b"the first answer, which broke off")
        slot.rewind()
        slot.keep_head(201, {})
        slot.write(b"the second")
        slot.seal()
    kept = spool.find(ID)
    assert (kept.status, kept.body, kept.sealed) == (201, b"the second", True)


def test_discard_removes_the_slot(spool):
    slot = spool.open(ID, ORDER, SPACE)
    slot.discard()
    assert list(spool._folder.iterdir()) == []
    slot.close()


def test_what_was_never_there_is_none(spool):
    assert spool.find(ID) is None
    assert list(spool.leftover_ids()) == []


FULL = """
    import json, os, resource, sys
    from pathlib import Path
    from batchgen.errors import StoreError
    from batchgen.files.spool import Spool
    limit = int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    spool = Spool(Path(sys.argv[1]) / "spool")
    said = ""
    try:
        spool.open("a" * 32, {"id": "a"}, 400_000)
    except StoreError as error:
        said = str(error)
    print(json.dumps([said, os.listdir(sys.argv[1] + "/spool")]))
    """


def child(code: str, *arguments: object, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrap, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def small_disk(folder: Path) -> tuple[str, ...] | None:
    """Return what runs a command with 200 kB of disk at *folder*; None where this user may mount nothing."""
    if shutil.which("unshare") is None:
        return None
    space = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
    wrap = (*space, "sh", "-c", f'mount -t tmpfs -o size=200k tmpfs "{folder}" && exec "$@"', "sh")
    return wrap if subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode == 0 else None


@pytest.mark.parametrize("limited", [False, True])
def test_no_space_shows_before_anything_is_sent_and_leaves_nothing(tmp_path, limited):
    wrap = None if limited else small_disk(tmp_path)
    done = child(FULL, tmp_path, 0 if wrap else 50_000, wrap=wrap or ())
    assert done.returncode == 0, done.stderr
    said, left = json.loads(done.stdout)
    assert ("No space left" if wrap else "File too large") in said
    assert "Nothing was sent" in said
    assert left == []


def test_kills_at_random_moments_leave_true_slots(tmp_path):
    code = """
        import hashlib, sys
        from pathlib import Path
        from batchgen.files.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        print("ready", flush=True)
        for number in range(100_000):
            body = number.to_bytes(4, "big") * 2_000
            name = f"{sys.argv[2]}-{number}"
            with spool.open(name, {"sha256": hashlib.sha256(body).hexdigest()}, 10_000) as slot:
                slot.keep_head(200, {"n": str(number)})
                for start in range(0, len(body), 1000):
                    slot.write(body[start:start + 1000])
                slot.seal()
                slot.sync()
        """
    chance = random.Random(5)
    spool = Spool(tmp_path / "spool")
    for life in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "spool"), str(life)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.03, 0.15))
            process.send_signal(signal.SIGKILL)
    found = [spool.find(name) for name in spool.leftover_ids()]
    assert len(found) > 4
    assert sum(not slot.sealed for slot in found) <= 4
    for slot in found:
        assert slot.order, "a slot without its order would count as a call that was sent"
        if slot.sealed:
            assert hashlib.sha256(slot.body).hexdigest() == slot.order["sha256"]


@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate", "rename"])
def test_a_run_that_is_killed_while_it_makes_a_slot_leaves_none(tmp_path, call):
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from batchgen.files.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        os.{call} = lambda *_args, **_kwargs: os.kill(os.getpid(), signal.SIGKILL)
        spool.open("a" * 32, {{"id": "a"}}, 1000)
        """
    assert child(code, tmp_path / "spool").returncode == -signal.SIGKILL
    spool = Spool(tmp_path / "spool")
    assert not spool.holds("a" * 32), "its call was not sent"
    assert list(spool.leftover_ids()) == []
    spool = Spool.take_over(tmp_path / "spool")
    assert list(spool._folder.iterdir()) == []
    with spool.open("a" * 32, {"id": "a"}, 1000):
        assert spool.find("a" * 32).order == {"id": "a"}


def test_slot_that_another_process_is_making_is_left_alone(spool):
    with subprocess.Popen(["sleep", "60"]) as other:
        part = spool._folder / f"{'a' * 32}.{other.pid}.part"
        part.touch()
        Spool.take_over(spool._folder)
        assert part.exists()
        other.kill()
        other.wait()
        Spool.take_over(spool._folder)
        assert not part.exists()


def test_a_killed_write_keeps_what_had_arrived(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from batchgen.files.spool import Spool
        slot = Spool(Path(sys.argv[1])).open("a" * 32, {"id": "a"}, 100_000)
        slot.keep_head(200, {"x-request-id": "r"})
        slot.write(b'{"data":' + b"1" * 5000)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    assert child(code, tmp_path / "spool").returncode == -signal.SIGKILL
    found = Spool(tmp_path / "spool").find("a" * 32)
    assert (found.status, found.headers, found.sealed) == (200, {"x-request-id": "r"}, False)
    assert found.body == b'{"data":' + b"1" * 5000


def test_a_scratch_starts_over_and_leaves_no_name(spool):
    with spool.scratch() as scratch:
        scratch.keep_head(200, {})
        scratch.write(b"a long first try")
        scratch.keep_head(200, {})
        scratch.write(b"second")
        scratch.seal()
        assert scratch.body() == b"second"
        assert list(spool.leftover_ids()) == []
    assert list(spool._folder.iterdir()) == []


# --- slots made in groups, and released by a thread ------------------------------------------------------------------


async def in_group(spool: Spool, names: list[str], space: int = SPACE) -> list[Slot | BaseException]:
    return await asyncio.gather(*(spool.open_soon(name, {"id": name}, space) for name in names), return_exceptions=True)


async def test_slots_of_a_group_share_the_sync_of_the_folder_which_comes_last(spool, monkeypatch):
    at_sync, syncing, go = list[list[str]](), threading.Event(), threading.Event()

    def sync(folder: Path) -> None:
        at_sync.append(sorted(path.stem for path in folder.iterdir()))
        syncing.set()
        assert go.wait(patience(10))

    monkeypatch.setattr("batchgen.files.spool.sync_folder", sync)
    first = spool.open_soon("first", {"id": "first"}, SPACE)
    assert await asyncio.to_thread(syncing.wait, patience(10))
    names = [f"{number:02}" for number in range(30)]
    waiting = asyncio.create_task(in_group(spool, names))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # they are queued now, while the first sync lasts
    go.set()
    opened = await waiting
    assert at_sync == [["first"], sorted(["first", *names])]
    for slot, name in zip([await first, *opened], ["first", *names], strict=True):
        assert spool.find(name).order == {"id": name}
        slot.close()


async def test_a_slot_that_cannot_be_made_fails_alone(spool):
    spool.open("taken", {"id": "taken"}, 10).close()
    one, taken, other = await in_group(spool, ["one", "taken", "other"])
    assert isinstance(taken, StoreError)
    assert "Nothing was sent" in str(taken)
    assert sorted(spool.leftover_ids()) == ["one", "other", "taken"]
    one.close()
    other.close()


async def test_an_order_that_cannot_be_written_fails_alone(spool, monkeypatch):
    syncing, go = threading.Event(), threading.Event()

    def sync(_folder: Path) -> None:
        syncing.set()
        assert go.wait(patience(10))

    monkeypatch.setattr("batchgen.files.spool.sync_folder", sync)
    first = spool.open_soon("first", {}, 10)
    assert await asyncio.to_thread(syncing.wait, patience(10))
    group = [spool.open_soon(name, content, 10) for name, content in (("one", {}), ("odd", {"x": {1j}}), ("other", {}))]
    go.set()
    opened = [await first, *await asyncio.gather(*group, return_exceptions=True)]
    assert [type(slot) for slot in opened] == [Slot, Slot, TypeError, Slot]
    assert sorted(spool.leftover_ids()) == ["first", "one", "other"]
    for slot in (opened[0], opened[1], opened[3]):
        slot.close()


async def test_a_group_whose_names_are_not_durable_leaves_no_slot(spool, monkeypatch):
    spool.open("again", {"id": "again"}, 10).close()

    def broken(_folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("batchgen.files.spool.sync_folder", broken)
    errors = await asyncio.gather(
        spool.open_soon("a", {}, 10),
        spool.open_soon("b", {}, 10),
        spool.open_soon("again", {"id": "again"}, 10, replace=True),
        return_exceptions=True,
    )
    assert all(isinstance(error, StoreError) and "Input/output error" in str(error) for error in errors)
    assert list(spool.leftover_ids()) == ["again"], "its first call may have been sent"


async def test_a_slot_released_soon_is_gone_when_the_spool_is_closed(spool):
    for number, status in enumerate((200, 200, 500)):
        with spool.open(f"{number}", {"id": number}, SPACE) as slot:
            slot.keep_head(status, {})
            slot.seal()
    alarms: list[Exception] = []
    for number, delivered in enumerate((True, False, False)):
        spool.release_soon(f"{number}", delivered, alarms.append)
    await asyncio.to_thread(spool.close)
    await asyncio.sleep(0)
    assert [path.name for path in spool._folder.iterdir()] == ["1.kept"]
    assert alarms == []


async def test_a_release_that_the_disk_refuses_is_reported_and_leaves_the_slot(spool, monkeypatch):
    keep(spool, b"x")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "rename", broken)
    alarms: list[Exception] = []
    spool.release_soon(ID, False, alarms.append)
    await asyncio.to_thread(spool.close)
    await asyncio.sleep(0)
    assert [str(error) for error in alarms] == ["[Errno 5] Input/output error"]
    assert list(spool.leftover_ids()) == [ID]


async def test_no_slot_is_made_where_no_thread_can_be_started(spool, monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StoreError, match="Nothing was sent: allow more processes"):
        spool.open_soon(ID, ORDER, SPACE)
    assert list(spool.leftover_ids()) == []


def test_an_answer_has_its_seal_before_it_is_durable(spool):
    """A kill between the last byte and the sync loses nothing: the kernel has the seal."""
    slot = spool.open(ID, ORDER, SPACE)
    slot.keep_head(200, HEADERS)
    slot.write(b"{}")
    slot.seal()
    assert spool.find(ID).sealed
    slot.sync()
    slot.sync()
    assert spool.find(ID).sealed
    slot.close()


ODD = {
    "half a pair": {"prompt": "\ud800"},
    "a huge number": {"seed": 2**70},
    "keys that are no texts": {"extra": {1: "a"}},
}


@pytest.mark.parametrize("content", [*ODD.values(), {"prompt": "Zoë\n\0"}], ids=[*ODD, "usual"])
def test_an_order_comes_back_as_json_has_it(spool, content):
    spool.open(ID, content, 10).close()
    assert spool.find(ID).order == json.loads(json.dumps(content))
