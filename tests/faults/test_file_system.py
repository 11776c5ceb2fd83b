"""F1 - F26: what a file system can do to a run."""

# ruff: noqa: N802 - a case's id stands first in the name of its test

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest

from tests.acceptance.kit import opened, wait_for

from . import local_kit as kit
from .local_kit import NOBODY, job

sandbox, witness, place = kit.sandbox_fixture, kit.witness_fixture, kit.place_fixture

ONE = 'prompt: "Picture", provider: openai, quality: low'


def refused(done, *words: str) -> None:
    """The run stopped safely, for the stated reason."""
    assert (done.code, done.out) == (1, ""), done.err
    for word in words:
        assert word in done.err


def parts(place) -> list[Path]:
    return list(place.folder.rglob(".bg-*"))


def test_F1_no_space_for_the_answer_shows_before_sending(place, witness):
    disk = place.disk(".batchgen", size="1m", like=("a", "spool"))
    manifest = place.batch(job("a"), job("b"))
    refused(place.do("run", manifest, "--yes"), "No space left", "Nothing was sent", "again")
    assert witness.arrivals() == []
    assert place.slots() == []
    disk.mend()
    place.again(manifest, witness, 2)


def test_F2_no_space_for_the_image_keeps_the_answer(place, witness):
    disk = place.disk("output", size="64k", like=("w", "output"))
    disk.fill()
    manifest = place.batch()
    refused(place.do("run", manifest, "--yes"), "No space left", "kept in the spool", "again")
    assert len(witness.charges()) == 1
    assert len(place.slots()) == 1
    assert parts(place) == []
    disk.mend()
    place.again(manifest, witness, 1)


def fill_after_publishing(ballast: str) -> None:
    from batchgen.files import output

    publish = output.publish

    def publish_and_fill(*arguments: object, **named: object) -> None:
        publish(*arguments, **named)
        kit.fill(ballast)

    output.publish = publish_and_fill


def test_F3_a_disk_that_fills_up_while_the_call_is_out_keeps_all(place, witness):
    """The space of the answer was set aside before; what it did not need is the ground that the commit stands on."""
    disk = place.disk(".batchgen", size="8m", like=("a", "nothing"))
    manifest = place.batch(job(sandbox="slow=0.4"))
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived)
    disk.fill()
    assert run.wait().code in (0, 1)
    disk.mend()
    place.again(manifest, witness, 1)


def test_F3_no_space_for_the_commit_keeps_the_answer(place, witness):
    disk = place.disk(".batchgen", size="8m", like=("p", "batchgen.db-wal"))
    manifest = place.batch()
    done = place.do("run", manifest, "--yes", hook=fill_after_publishing, arguments=(str(disk.folder / "ballast"),))
    refused(done, "disk is full", "run again")
    disk.mend()
    place.again(manifest, witness, 1)


@pytest.mark.parametrize("inodes", [1, 2, 3, 4])
def test_F4_no_inodes_for_the_image_keep_the_answer(place, witness, inodes):
    disk = place.disk("output", inodes=inodes, like=("om", "output"))
    manifest = place.batch(job("in/a"))
    refused(place.do("run", manifest, "--yes"), "No space left", "kept in the spool" if inodes == 4 else "output")
    assert len(witness.charges()) == len(place.slots()) == (inodes == 4)  # else it shows before anything is sent
    assert parts(place) == []
    disk.mend()
    place.again(manifest, witness, 1)


@pytest.mark.parametrize("inodes", [1, 4, 7])
def test_F4_no_inodes_for_the_state_show_before_sending(place, witness, inodes):
    disk = place.disk(".batchgen", inodes=inodes, like=("om", ".batchgen"))
    manifest = place.batch()
    done = place.do("run", manifest, "--yes")
    assert (done.code in (1, 12), done.out) == (True, ""), done.err  # 12: the table could not be made
    assert str(disk.folder) in done.err
    assert witness.arrivals() == []
    disk.mend()
    place.again(manifest, witness, 1)


def test_F5_a_limit_on_file_sizes_shows_before_sending(place, witness):
    manifest = place.batch()
    refused(place.do("run", manifest, "--yes", limits={"fsize": 1_000_000}), "File too large", "Nothing was sent")
    assert witness.arrivals() == []
    place.again(manifest, witness, 1)


def test_F5_answer_larger_than_the_file_size_limit_is_delivered(place, witness):
    manifest = place.batch(job(sandbox="big=8 x1"))
    refused(place.do("run", manifest, "--yes", limits={"fsize": 5_000_000}), "File too large")
    assert len(witness.charges()) == 1
    place.again(manifest, witness, 1)


EIO = {
    "answer": ("p", ".slot", 2),
    "seal": ("d", ".slot", 1),
    "image": ("w", ".part", 1),
    "image synced": ("f", ".part", 1),
    "name": ("l", "a.png", 1),
    "sidecar": ("w", ".part", 2),
    "folder": ("f", "output/shop", 3),
}


@pytest.mark.parametrize(("step", "lasting"), [*((step, True) for step in EIO), ("seal", False), ("image", False)])
def test_F6_a_disk_error_stops_the_run_and_loses_nothing(place, witness, step, lasting):
    ops, part, number = EIO[step]
    manifest = place.batch(job("a"), job("b"), providers={"openai": {"limits": {"concurrency": 1}}})
    trace = place.folder / "trace"
    fault = place.fault(ops, errno.EIO, part=part, number=number, lasting=lasting, trace=str(trace))
    refused(place.do("run", manifest, "--yes", fault=fault), "Input/output error")
    synced = trace.read_text().splitlines() if ops in "fd" else []
    files = [line.split()[2] for line in synced if line.endswith((".slot", ".part"))]
    assert len(files) == len(set(files)), "what failed once was synced again"
    trace.unlink()
    sent = len(witness.charges())
    assert sent <= 2
    place.again(manifest, witness, 2)


def lose_the_disk(fault: str) -> None:
    from batchgen.files.slot import Slot

    keep_head = Slot.keep_head

    def keep_head_without_disk(slot: Slot, *arguments: object) -> None:
        kit.arm(fault)
        keep_head(slot, *arguments)

    Slot.keep_head = keep_head_without_disk


def test_F6_a_disk_that_is_lost_while_the_answer_comes_buys_nothing_again(place, witness):
    """The images are on another disk; neither the answer nor the commit is on the one that is lost."""
    manifest = place.batch()
    fault = place.fault("pwdfl", errno.EIO, part=f"{place.state}/", lasting=True)
    refused(place.do("run", manifest, "--yes", hook=lose_the_disk, arguments=(fault,)), "Input/output error")
    assert len(witness.charges()) == len(place.slots()) == 1
    place.again(manifest, witness, 1)
    assert not list((place.folder / "output").rglob(".batchgen/attempts/*"))


def test_F7_a_read_only_state_is_found_before_sending(place, witness):
    disk = place.disk(".batchgen", like=("om", ".batchgen"))
    disk.protect()
    manifest = place.batch()
    refused(place.do("run", manifest, "--yes"), "batchgen.db", "Read-only")
    assert witness.arrivals() == []
    disk.mend()
    place.again(manifest, witness, 1)


def test_F7_a_read_only_output_is_found_before_sending(place, witness):
    disk = place.disk("output", like=("om", "output"))
    disk.protect()
    manifest = place.batch()
    refused(place.do("run", manifest, "--yes"), "output", "Read-only")
    assert witness.arrivals() == []
    disk.mend()
    place.again(manifest, witness, 1)


@pytest.fixture
def shared(place):
    """A folder that belongs to somebody without rights, on a path that everybody may walk."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    place.move_to(folder)
    yield place
    place.end()
    shutil.rmtree(folder)


@pytest.mark.parametrize("below", [".batchgen", "output"])
def test_F8_a_folder_of_somebody_else_is_found_before_sending(shared, witness, below):
    manifest = shared.batch()
    (shared.folder / below).mkdir(mode=0o755)
    refused(shared.do("run", manifest, "--yes", user=NOBODY), below, "Permission denied")
    assert witness.arrivals() == []
    os.chown(shared.folder / below, NOBODY, NOBODY)
    shared.again(manifest, witness, 1, user=NOBODY)


def test_F9_few_open_files_make_few_calls_at_a_time(place, witness):
    jobs = [job(f"j{number}", sandbox="slow=0.2") for number in range(12)]
    manifest = place.batch(*jobs)
    done = place.do("run", manifest, "--yes", "-j", "100", limits={"nofile": 80})
    assert done.code == 0, done.err
    at_once = most = 0
    for line in witness.lines():
        at_once += (line["event"] == "arrival") - (line["event"] == "answer")
        most = max(most, at_once)
    assert 1 <= most <= 5
    place.settled(witness, 12)


@pytest.mark.parametrize("files", [8, 16, 24])
def test_F9_too_few_open_files_stop_the_run_safely(place, witness, files):
    manifest = place.batch(job("a"), job("b"))
    done = place.do("run", manifest, "--yes", limits={"nofile": files})
    assert done.code in (0, 1, 8), done.err
    place.again(manifest, witness, 2)


def test_F10_a_file_that_is_there_already(place, witness):
    """The same bytes are a success, others are kept aside: never overwritten, never bought again for it."""
    manifest = place.batch()
    output = place.folder / "output" / "shop"
    output.mkdir(parents=True)
    (output / "a.png").write_bytes(b"somebody's")
    place.again(manifest, witness, 1)
    [aside] = (output / ".superseded").glob("a.*.png")
    assert aside.read_bytes() == b"somebody's"
    [row] = place.rows("select sha256 from artifacts")
    place.again(manifest, witness, 1)
    assert row == place.rows("select sha256 from artifacts")[0]


def test_F10_the_same_file_again_is_a_success(place, witness):
    """A run that died after publishing publishes the same bytes once more."""
    manifest = place.batch()
    assert place.do("run", manifest, "--yes", hook=kit.die_after_publishing).code == -signal.SIGKILL
    [image] = place.images()
    before = image.stat()
    place.again(manifest, witness, 1)
    assert image.stat().st_ino == before.st_ino
    assert not (image.parent / ".superseded").exists()


def rejected(place, witness, names: list[str], *words: str) -> str:
    """Each of the ids is a mistake of its own, told with its line; nothing is sent or written."""
    lines = ["name: shop", "jobs:", *(f"  - {{id: {name}, {ONE}}}" for name in names)]
    manifest = place.folder / "m.yaml"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    place.env = {}  # no key: what is not refused must not get out either
    done = place.do("run", manifest, "--yes")
    assert (done.code, done.out) == (4, ""), done.err
    for number in range(len(names)):
        assert f"m.yaml:{number + 3}:" in done.err, names[number]
    for word in words:
        assert word in done.err
    assert witness.arrivals() == []
    assert [path.name for path in place.folder.iterdir()] == ["m.yaml"]
    return done.err


def test_F11_names_that_lead_out(place, witness):
    names = ["../x", "/etc/x", "a/../../b", r'"C:\\x"', r'"\\\\srv\\x"', "'~'", "~/x", r'"a\0b"', "a/./b", "C:x"]
    rejected(place, witness, names, "absolute path", "..")


def test_F12_names_that_are_too_long_in_bytes(place, witness):
    names = ["é" * 128, "x" * 192, "a/" * 250 + "b", "𝒳" * 64]
    rejected(place, witness, names, "longer than", "500 characters")


def test_F12_longest_file_name_can_be_written_and_replaced(place, witness):
    name = "é" * 95
    place.again(place.batch(job(name)), witness, 1)
    place.again(place.batch(job(name, prompt="Another")), witness, 2)


def test_F13_names_that_one_disk_takes_for_one(place, witness):
    names = ["Café", "Cafe\u0301", "cafÉ", "straße", "STRASSE", "cat", "CAT"]
    lines = [f"  - {{id: {name}, {ONE.replace('Picture', f'P{number}')}}}" for number, name in enumerate(names)]
    manifest = place.folder / "m.yaml"
    manifest.write_text("\n".join(["jobs:", *lines]) + "\n", encoding="utf-8")
    place.env = {}
    done = place.do("run", manifest, "--yes")
    assert done.code == 4
    for line in (3, 4, 6, 8):
        assert f"m.yaml:{line}:" in done.err
    assert done.err.count("same file") == 4
    assert witness.arrivals() == []


def test_F14_names_that_windows_does_not_take(place, witness):
    names = [
        "CON",
        "prn",
        "Aux",
        "NUL.tar",
        "COM1",
        "LPT9",
        "'dot.'",
        "'space '",
        *(f"'a{char}b'" for char in '<>:"|?*'),
    ]
    rejected(place, witness, names, "Windows")


def test_F15_names_that_steer(place, witness):
    names = ["'-rf'", r'"a\nb"', r'"\e[31mred"', r'"abc\u202Egnp"', r'"a\u200Bb"', "'.hidden'"]
    said = rejected(place, witness, names)
    assert all(char == "\n" or char.isprintable() for char in said)


@pytest.mark.parametrize("target", ["outside", "output/shop/real"])
def test_F16_a_link_inside_the_output_tree_is_not_followed(place, witness, target):
    there = place.folder / target
    there.mkdir(parents=True)
    link = place.folder / "output" / "shop" / "in"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(there)
    manifest = place.batch(job("in/a"))
    refused(place.do("run", manifest, "--yes"), "kept in the spool")
    assert list(there.iterdir()) == []
    assert len(witness.charges()) == 1
    link.unlink()
    place.again(manifest, witness, 1)


def test_F17_a_link_in_the_place_of_the_file_is_replaced(place, witness):
    victim = place.folder / "victim"
    victim.write_bytes(b"precious")
    link = place.folder / "output" / "shop" / "a.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    place.again(place.batch(), witness, 1)
    assert victim.read_bytes() == b"precious"
    assert not link.is_symlink()
    opened(link)


@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "moved"])
def test_F18_an_output_tree_that_goes_away_is_made_again(place, witness, moved):
    manifest = place.batch(job("a"), job("b", sandbox="slow=0.5"))
    run = place.go("run", manifest, "--yes")
    first = place.folder / "output" / "shop" / "a.png.json"
    wait_for(first.exists)
    wait_for(lambda: place.rows("select state from jobs where key = 'a'")[0]["state"] == "done")
    if moved:
        (place.folder / "output").rename(place.folder / "elsewhere")
    else:
        shutil.rmtree(place.folder / "output")
    assert run.wait().code == 0
    assert [path.name for path in place.images()] == ["b.png"]
    opened(place.images()[0])
    done = place.do("run", manifest, "--yes")
    assert done.code in (0, 3)
    assert len(witness.charges()) == 2


def test_F19_leftovers_of_a_killed_run_go_and_those_of_others_stay(place, witness):
    output = place.folder / "output" / "shop"
    (output / "in").mkdir(parents=True)
    (output / "in" / ".bg-0123456789abcdef.part").write_bytes(b"half")
    strangers = [output / ".bg-mine.part", output / "x.part"]
    for path in strangers:
        path.write_bytes(b"a stranger's")
    manifest = place.batch()
    assert place.do("run", manifest, "--yes").code == 0
    assert not (output / "in" / ".bg-0123456789abcdef.part").exists()
    for path in strangers:
        assert path.read_bytes() == b"a stranger's"
        path.unlink()
    place.settled(witness, 1)


def test_F20_a_deleted_file_is_not_bought_again_by_itself(place, witness):
    manifest = place.batch()
    place.again(manifest, witness, 1)
    [image] = place.images()
    image.unlink()
    done = place.do("run", manifest, "--yes")
    assert done.code in (0, 3)
    assert len(witness.charges()) == 1
    exported = place.do("export").json
    assert exported["files"][0]["path"] == str(image.relative_to(place.folder))


def test_F21_a_flipped_bit_shows_beside_the_recorded_hash(place, witness):
    manifest = place.batch()
    place.again(manifest, witness, 1)
    [image] = place.images()
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    assert place.do("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 1
    [file] = place.do("export").json["files"]
    assert file["bytes"] == len(data)
    assert file["sha256"] != hashlib.sha256(data).hexdigest()


def test_F22_output_on_another_file_system(place, witness):
    place.disk("output", like=("", ""))
    place.again(place.batch(job("a"), job("in/b")), witness, 2)


def without_links(code: int) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    os.link = link


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL])
def test_F22_output_on_a_file_system_without_hard_links(place, witness, code):
    hook = {"hook": without_links, "arguments": (code,)}
    manifest = place.batch(job("a"), job("in/b"))
    assert place.do("run", manifest, "--yes", **hook).code == 0
    place.settled(witness, 2)
    shown = place.do("doctor", **hook).out
    assert "exclusive renames (the file system has no hard links)" in shown
    assert parts(place) == []

    place.batch(job("a", prompt="Another"), job("in/b"))
    assert place.do("run", manifest, "--yes", **hook).code == 0
    place.settled(witness, 3)
    aside = [path for path in place.folder.rglob("*.png") if ".superseded" in path.parts]
    assert [path.name.partition(".")[0] for path in aside] == ["a"]
    assert place.do("verify", "--deep", **hook).code == 0


def test_F22_unusable_file_names_show_before_sending(place, witness):
    manifest = place.batch(job("caf\u00e9"))
    refused(place.do("run", manifest, "--yes", hook=only_ascii), "in file names", "\u00e9", "Nothing was sent")
    assert witness.arrivals() == []
    place.again(manifest, witness, 1)


def only_ascii() -> None:
    without_links(errno.EPERM)
    real = os.open

    def strict(name: object, *arguments: object, **named: object) -> int:
        if not str(name).isascii():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(name, *arguments, **named)

    os.open = strict


def on_a_network_share(kind: str) -> None:
    from batchgen.app import preflight

    preflight._mounts = lambda: f"22 1 0:21 / / rw - {kind} server:/share rw\n"


@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_F23_state_on_a_network_share_is_refused(place, witness, kind):
    manifest = place.batch()
    hook = {"hook": on_a_network_share, "arguments": (kind,)}
    refused(place.do("run", manifest, "--yes", **hook), kind, "--db")
    assert witness.arrivals() == []
    if kind == "nfs4":
        place.again(manifest, witness, 1, **hook, BATCHGEN_ALLOW_NETWORK_STATE="1")


def slow_disk(seconds: float) -> None:
    def slowed(call):
        def sync(descriptor: int) -> None:
            time.sleep(seconds)
            call(descriptor)

        return sync

    os.fsync, os.fdatasync = slowed(os.fsync), slowed(os.fdatasync)


def test_F25_a_slow_disk_makes_no_call_late(place, witness):
    jobs = [job(f"j{number}", sandbox="slow=0.2") for number in range(4)]
    manifest = place.batch(*jobs, providers={"openai": {"timeout": {"connect": 1, "total": 1}}})
    done = place.do("run", manifest, "--yes", hook=slow_disk, arguments=(0.3,))
    assert done.code == 0, done.err
    assert done.seconds > 1.2
    place.settled(witness, 4)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_F26_state_is_private_whatever_the_umask(place, witness, umask):
    manifest = place.batch(job("a"), job("b", sandbox="truncated x1"))
    run = place.go("run", manifest, "--yes", umask=umask)
    assert run.wait().code == 0
    for path in (place.state, *place.state.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    for path in place.files():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert list((place.state / "spool").glob("*.kept"))
    place.again(manifest, witness, 3)


ELSEWHERE: dict[str, str] = {}

NOT_HERE = {
    "F24": "power cuts need a disk of their own, cut off while unsynced data is in flight: tests/torture/power.py",
}
