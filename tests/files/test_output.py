"""Every file whole or not at all, never one over another, and never outside the tree."""

from __future__ import annotations

import errno
import fcntl
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
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchgen.errors import StoreError
from batchgen.files import output
from batchgen.files.atomic import write_atomic
from batchgen.files.output import SUPERSEDED, digest, make_private, publish, sweep

ROOT = Path(__file__).parents[2]


def tree(root: Path) -> dict[str, bytes | None]:
    """All below *root*: the bytes of a file, None for a link."""
    found = sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(root)): None if path.is_symlink() else path.read_bytes() for path in found}


def child(code: str, *arguments: object, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run *code* as a process of its own, to be killed, limited or put on another file system."""
    return subprocess.run(
        [*wrap, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


DEADLY = """
import os, signal
import batchgen.files.output  # before the count begins
count, real = 0, os.{call}

def deadly(*args, **kwargs):
    global count
    count += 1
    if count == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)

os.{call} = deadly
"""


def killed_at(call: str, nth: int, code: str, *arguments: object, first: str = "") -> None:
    """Run *code* as a process that is killed at its *nth* call of that function of ``os``; *first* prepares it."""
    parts = (first, DEADLY.format(call=call, nth=nth), code, "print('survived')")
    done = child("\n".join(map(textwrap.dedent, parts)), *arguments)
    assert done.returncode == -signal.SIGKILL or "survived" in done.stdout, done.stderr


def with_mount(options: str, folder: Path) -> tuple[str, ...] | None:
    """Return what runs a command with a tmpfs at *folder*, seen by it alone; None where this user may mount nothing."""
    if shutil.which("unshare") is None:
        return None
    space = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
    wrap = (*space, "sh", "-c", f'mount -t tmpfs -o {options} tmpfs "{folder}" && exec "$@"', "sh")
    probe = subprocess.run([*wrap, "true"], capture_output=True, timeout=30, check=False)
    return wrap if probe.returncode == 0 else None


def test_a_file_appears_whole_with_folders_as_needed(tmp_path):
    root = tmp_path / "new" / "out"
    publish(root, "paris/ink/poster.png", b"picture")
    assert tree(root) == {"paris/ink/poster.png": b"picture"}
    assert digest(root / "paris/ink/poster.png") == hashlib.sha256(b"picture").hexdigest()


def test_an_empty_and_a_large_file_arrive_byte_for_byte(tmp_path):
    large = random.Random(1).randbytes(5_000_000)
    publish(tmp_path, "empty", b"")
    publish(tmp_path, "large", large)
    assert tree(tmp_path) == {"empty": b"", "large": large}


def test_the_same_bytes_twice_are_a_success_and_touch_nothing(tmp_path):
    publish(tmp_path, "a/cat.png", b"same")
    before = (tmp_path / "a/cat.png").stat()
    publish(tmp_path, "a/cat.png", b"same")
    after = (tmp_path / "a/cat.png").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert tree(tmp_path) == {"a/cat.png": b"same"}


def test_other_bytes_that_were_there_are_kept_aside(tmp_path):
    for content in (b"first", b"second", b"first", b"third"):
        publish(tmp_path, "a/cat.png", content)
    found = tree(tmp_path)
    assert found.pop("a/cat.png") == b"third"
    assert sorted(found.values()) == [b"first", b"second"]
    for name, content in found.items():
        assert name == f"{SUPERSEDED}/a/cat.{hashlib.sha256(content).hexdigest()[:8]}.png"


def test_a_file_mode_is_left_to_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        publish(tmp_path, "cat.png", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "cat.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("size", [255, 254, 251])
def test_names_of_255_bytes_work_new_repeated_and_replaced(tmp_path, size):
    name = "é" * ((size - 5) // 2) + "x" * ((size - 5) % 2) + ".json"
    assert len(name.encode()) == size
    for content in (b"one", b"one", b"two", b"three"):
        publish(tmp_path, name, content)
    found = tree(tmp_path)
    assert found.pop(name) == b"three"
    assert sorted(found.values()) == [b"one", b"two"]
    assert all(path.endswith(".json") for path in found)


def test_a_name_that_is_too_long_is_refused_with_a_reason(tmp_path):
    with pytest.raises(StoreError, match="File name too long"):
        publish(tmp_path, "x" * 256, b"x")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/etc/batchgen-test.png"])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    root = tmp_path / "tree"
    root.mkdir()
    with pytest.raises(StoreError, match="out of"):
        publish(root, name, b"x")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("depth", ["a", "a/b", ""])
def test_a_link_inside_the_tree_is_never_followed(tmp_path, depth):
    outside, root = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (root / depth).mkdir(parents=True)
    (root / depth / "link").symlink_to(outside)
    with pytest.raises(StoreError, match="cannot write"):
        publish(root, f"{depth}/link/sub/cat.png".lstrip("/"), b"x")
    assert list(outside.iterdir()) == []


def test_a_link_back_into_the_tree_is_not_followed_either(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(StoreError):
        publish(tmp_path, "link/cat.png", b"x")
    assert list((tmp_path / "real").iterdir()) == []


def test_the_output_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    publish(tmp_path / "out", "cat.png", b"x")
    assert (tmp_path / "disk/cat.png").read_bytes() == b"x"


@pytest.mark.parametrize("content", [b"victim", b"other"])
def test_target_link_is_replaced_and_not_followed(tmp_path, content):
    victim, root = tmp_path / "victim", tmp_path / "tree"
    victim.write_bytes(b"victim")
    root.mkdir()
    (root / "cat.png").symlink_to(victim)
    publish(root, "cat.png", content)
    assert victim.read_bytes() == b"victim"
    assert tree(root) == {"cat.png": content}


def test_a_dangling_link_as_target_makes_nothing_elsewhere(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    (root / "cat.png").symlink_to(tmp_path / "not-there")
    publish(root, "cat.png", b"x")
    assert not (tmp_path / "not-there").exists()
    assert tree(root) == {"cat.png": b"x"}


def test_a_folder_in_the_place_of_the_file_is_refused_and_stays(tmp_path):
    (tmp_path / "cat.png").mkdir()
    (tmp_path / "cat.png/inside").write_bytes(b"x")
    with pytest.raises(StoreError):
        publish(tmp_path, "cat.png", b"y")
    assert tree(tmp_path) == {"cat.png/inside": b"x"}


def test_a_pipe_in_the_place_of_the_file_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "cat.png")
    publish(tmp_path, "cat.png", b"y")
    assert (tmp_path / "cat.png").read_bytes() == b"y"


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(StoreError, match="Not a directory"):
        publish(tmp_path, "a/cat.png", b"y")
    assert tree(tmp_path) == {"a": b"x"}


def test_a_deleted_output_folder_is_made_again(tmp_path):
    root = tmp_path / "out"
    publish(root, "a/cat.png", b"x")
    shutil.rmtree(root)
    publish(root, "a/cat.png", b"x")
    assert tree(root) == {"a/cat.png": b"x"}


def test_a_read_only_folder_gives_an_error_that_says_what_to_do(tmp_path):
    tmp_path.chmod(0o500)
    wrap = with_mount("ro", tmp_path) if os.geteuid() == 0 else ()
    code = """
        import sys
        from pathlib import Path
        from batchgen.errors import StoreError
        from batchgen.files.output import publish
        if {limited}:  # root that may not mount anything: it cannot make a file at all then
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            publish(Path(sys.argv[1]), "cat.png", b"x")
        except StoreError as error:
            print(error)
        """
    done = child(code.format(limited=wrap is None), tmp_path, wrap=wrap or ())
    tmp_path.chmod(0o700)
    assert "cannot write" in done.stdout, done.stderr
    assert "cat.png" in done.stdout
    assert "run the same command again" in done.stdout
    assert tree(tmp_path) == {}


FULL = """
    import json, resource, sys
    from pathlib import Path
    from batchgen.errors import StoreError
    from batchgen.files.output import publish
    root, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    publish(root, "small.png", b"s" * 1000)
    said = ""
    try:
        publish(root, "a/large.png", b"l" * 400_000)
    except StoreError as error:
        said = str(error)
    publish(root, "after.png", b"s" * 1000)
    print(json.dumps([said, sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())]))
    """


def test_a_full_disk_leaves_no_piece_of_a_file(tmp_path):
    wrap = with_mount("size=200k", tmp_path)
    done = child(FULL, tmp_path, 0 if wrap else 50_000, wrap=wrap or ())
    assert done.returncode == 0, done.stderr
    said, left = json.loads(done.stdout)
    assert ("No space left" if wrap else "File too large") in said
    assert "nothing is lost" in said
    assert left == ["after.png", "small.png"]


def test_a_limit_on_file_size_leaves_no_piece_of_a_file(tmp_path):
    done = child(FULL, tmp_path, 50_000)
    assert done.returncode == 0, done.stderr
    said, left = json.loads(done.stdout)
    assert "File too large" in said
    assert left == ["after.png", "small.png"]


def test_a_replaced_file_stays_where_it_is_when_the_disk_is_full(tmp_path):
    code = """
        import resource, sys
        from pathlib import Path
        from batchgen.errors import StoreError
        from batchgen.files.output import publish
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            publish(Path(sys.argv[1]), "cat.png", b"n" * 60_000)
        except StoreError:
            print("refused")
        """
    publish(tmp_path, "cat.png", b"old")
    assert child(code, tmp_path).stdout == "refused\n"
    assert tree(tmp_path) == {"cat.png": b"old"}


@pytest.mark.parametrize("there_before", [False, True])
@pytest.mark.parametrize(
    ("call", "nth"), [("fsync", 1), ("link", 1), ("link", 2), ("rename", 1), ("unlink", 1), ("fsync", 2), ("fsync", 3)]
)
def test_kill_at_any_step_leaves_old_or_new_file_whole(tmp_path, there_before, call, nth):
    new, old = b"new" * 100_000, b"old" * 1000
    if there_before:
        publish(tmp_path, "cat.png", old)
    code = """
        import sys
        from pathlib import Path
        from batchgen.files.output import publish
        publish(Path(sys.argv[1]), "cat.png", b"new" * 100_000)
        """
    killed_at(call, nth, code, tmp_path)
    found = tree(tmp_path)
    parts = [name for name in found if name.startswith(".bg-") and name.endswith(".part")]
    assert len(parts) <= 1
    whole = {name: content for name, content in found.items() if name not in parts}
    assert whole.get("cat.png", old) in (old, new)
    assert there_before <= ("cat.png" in whole)
    assert sweep(tmp_path) == len(parts)
    assert tree(tmp_path) == whole
    publish(tmp_path, "cat.png", new)
    found = tree(tmp_path)
    assert found.pop("cat.png") == new
    assert list(found.values()) == ([old] if there_before else [])


def test_kills_at_random_moments_never_leave_a_torn_file(tmp_path):
    code = """
        import hashlib, sys
        from pathlib import Path
        from batchgen.files.output import publish
        print("ready", flush=True)
        for number in range(100_000):
            data = number.to_bytes(4, "big") * 100_000
            publish(Path(sys.argv[1]), f"d{number % 3}/{hashlib.sha256(data).hexdigest()}", data)
        """
    chance = random.Random(3)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.02, 0.2))
            process.kill()
        for path in tmp_path.rglob("*"):
            if path.is_file() and not path.name.startswith(".bg-"):
                assert digest(path) == path.name
    sweep(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left
    assert all(digest(path) == path.name for path in left)


def test_sweep_takes_only_its_own_and_never_through_a_link(tmp_path):
    root, outside = tmp_path / "tree", tmp_path / "outside"
    own = ".bg-0123456789abcdef.part"
    for folder in (root / "a/b", outside):
        folder.mkdir(parents=True)
        (folder / own).write_bytes(b"x")
    for name in ("cat.part", ".bg-notes.part", "bg-0123456789abcdef.part", f"{own}.png"):
        (root / name).write_bytes(b"mine")
    (root / "folder" / own).mkdir(parents=True)
    (root / "link").symlink_to(outside)
    before = tree(root)
    assert sweep(root) == 1
    after = tree(root)
    assert set(before) - set(after) == {f"a/b/{own}"}
    assert (outside / own).exists()
    assert (root / "folder" / own).is_dir()


def test_sweep_of_a_folder_that_is_not_there_is_nothing(tmp_path):
    assert sweep(tmp_path / "nowhere") == 0


def test_a_private_folder_is_for_its_owner_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        folder = make_private(tmp_path / "a" / "state")
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make_private(folder) == folder


REPLACE = """
    import os, signal, sys
    from contextlib import suppress
    from pathlib import Path
    from batchgen.files.atomic import write_atomic
    call, what, calls = sys.argv[2], sys.argv[3], ("open", "fsync", "replace", "unlink")
    broken = False
    def guard(name):
        real = getattr(os, name)
        def guarded(*args, **kwargs):
            global broken
            broken = broken or (name == call and ".part" in str(args[0]) or name == call == "fsync")
            if broken and what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if broken:
                raise OSError(5, "Input/output error")
            return real(*args, **kwargs)
        setattr(os, name, guarded)
    for name in calls:
        guard(name)
    try:
        write_atomic(Path(sys.argv[1], "note"), b"new")
    except OSError as error:
        print(error.strerror)
    """


@pytest.mark.parametrize("what", ["kill", "disk fails from then on"])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_repeated_writes_leave_no_temporary_files(tmp_path, call, what):
    write_atomic(tmp_path / "note", b"old")
    done = child(REPLACE, tmp_path, call, what)
    assert (done.returncode, done.stdout) == ((-9, "") if what == "kill" else (0, "Input/output error\n")), done.stderr
    left = tree(tmp_path)
    assert left.pop("note") == b"old"
    assert set(left) <= {".note.part"}
    write_atomic(tmp_path / "note", b"again")
    assert tree(tmp_path) == {"note": b"again"}
    assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o600


def test_a_link_in_the_place_of_the_temporary_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / ".note.part").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomic(tmp_path / "note", b"new")
    assert tree(tmp_path) == {"victim": b"mine"}


@pytest.mark.parametrize("left", [b"", b"\0" * 40, b'{\n  "schema', b'{\n  "schema_version": 1,\n  "batch": "x"\0\0'])
def test_a_sidecar_that_was_cut_off_is_replaced_and_not_kept(tmp_path, left):
    (tmp_path / "a.png.json").write_bytes(left)
    publish(tmp_path, "a.png", b"image", sidecar=b'{"schema_version": 1}')
    assert tree(tmp_path) == {"a.png": b"image", "a.png.json": b'{"schema_version": 1}'}


@pytest.mark.parametrize(
    "mine", [b"notes", b"{}", b'{"schema_version": 1}', b'{\n  "schema_version": 1,\n  "a": 2\n}\n']
)
def test_another_file_with_the_name_of_a_sidecar_is_kept(tmp_path, mine):
    (tmp_path / "a.png.json").write_bytes(mine)
    publish(tmp_path, "a.png", b"image", sidecar=b"{}\n")
    found = tree(tmp_path)
    assert found.pop("a.png") == b"image"
    assert found.pop("a.png.json") == b"{}\n"
    assert list(found.values()) == [mine]


def test_names_of_many_files_are_synced_once_a_folder_and_fail_for_those_in_it(tmp_path, monkeypatch):
    synced: list[Path] = []

    def sync(folder: Path) -> None:
        synced.append(folder)
        if folder.name == "bad":
            raise OSError(errno.EIO, "Input/output error")

    files = [tmp_path / name for name in ("a/1.png", "a/2.png", "bad/3.png", "a/4.png", "bad/5.png")]
    monkeypatch.setattr(output, "sync_folder", sync)
    errors = output.sync_names(files)
    assert sorted(synced) == [tmp_path / "a", tmp_path / "bad"]
    assert [error is not None for error in errors] == [False, False, True, False, True]
    assert "bad/3.png: Input/output error. The answer is kept in the spool" in str(errors[2])


def test_a_file_that_is_not_to_be_durable_yet_leaves_its_folder_unsynced(tmp_path, monkeypatch):
    folders: list[int] = []
    monkeypatch.setattr(output, "sync", folders.append)
    publish(tmp_path, "a.png", b"a", durable=False)
    assert folders == []
    publish(tmp_path, "b.png", b"b")
    assert len(folders) == 1


def test_writers_of_one_file_never_disturb_each_other(tmp_path):
    path = tmp_path / "note"

    def write(letter):
        for number in range(1, 100):
            write_atomic(path, letter * number * 100)
            data = path.read_bytes()
            assert len(set(data)) == 1
            assert len(data) % 100 == 0

    with ThreadPoolExecutor() as writers:
        list(writers.map(write, (b"a", b"b", b"c")))
    assert [each.name for each in tmp_path.iterdir()] == ["note"]


def test_a_writer_that_was_stopped_holds_up_no_other(tmp_path):
    path, part = tmp_path / "note", tmp_path / ".note.part"
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"half")
        write_atomic(path, b"whole")
        assert path.read_bytes() == b"whole"
        part.replace(path)
    write_atomic(path, b"later")
    assert (path.read_bytes(), [each.name for each in tmp_path.iterdir()]) == (b"later", ["note"])
