"""Output folders on file systems without hard links (exFAT, SMB, FUSE): the same promises by exclusive renames."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchgen.errors import StoreError
from batchgen.files import atomic
from batchgen.files.atomic import NO_LINKS, place, sync
from batchgen.files.output import SUPERSEDED, publish, require_writable, supports_links, sweep, withdraw

from .test_output import ROOT, killed_at, tree

NO_LINK_LIBRARY = """
    #include <errno.h>
    int linkat(int a, const char *b, int c, const char *d, int e) { errno = EPERM; return -1; }
    int link(const char *a, const char *b) { errno = EPERM; return -1; }
    """
MINE = "0123456789abcdef" * 2
SAID = f'{{"attempt": "{MINE}"}}'.encode()


def refusing(code: int):
    def link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return link


#: Who finds out whether a name is free: the kernel, or a look just before (0 would be success).
RENAMES = {"kernel": None, "look": lambda *_: errno.EINVAL, "absent": None}


@pytest.fixture(params=RENAMES)
def linkless(request, monkeypatch):
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    if request.param == "absent":
        monkeypatch.setattr(atomic, "_renameat2", lambda: None)
    elif (rename := RENAMES[request.param]) is not None:
        monkeypatch.setattr(atomic, "_renameat2", lambda: rename)
    return request.param


def test_a_file_appears_whole_and_nothing_else(linkless, tmp_path):
    publish(tmp_path / "out", "paris/cat.png", b"picture", sidecar=b"{}")
    assert tree(tmp_path) == {"out/paris/cat.png": b"picture", "out/paris/cat.png.json": b"{}"}


def test_the_same_bytes_twice_touch_nothing(linkless, tmp_path):
    publish(tmp_path, "a/cat.png", b"same")
    before = (tmp_path / "a/cat.png").stat()
    publish(tmp_path, "a/cat.png", b"same")
    after = (tmp_path / "a/cat.png").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert tree(tmp_path) == {"a/cat.png": b"same"}


def test_other_bytes_are_kept_aside(linkless, tmp_path):
    for content in (b"first", b"second", b"first", b"third"):
        publish(tmp_path, "a/cat.png", content)
    found = tree(tmp_path)
    assert found.pop("a/cat.png") == b"third"
    assert found == {
        f"{SUPERSEDED}/a/cat.{hashlib.sha256(content).hexdigest()[:8]}.png": content
        for content in (b"first", b"second")
    }


def test_a_file_of_an_earlier_form_goes_aside(linkless, tmp_path):
    publish(tmp_path, "a/cat.jpg", b"old", sidecar=SAID)
    for _ in range(2):
        withdraw(tmp_path, "a/cat.jpg", hashlib.sha256(b"old").hexdigest(), MINE, bare=lambda: False)
    assert sorted(tree(tmp_path).values()) == sorted([b"old", SAID])
    assert all(name.startswith(SUPERSEDED) for name in tree(tmp_path))


def test_link_at_the_target_is_replaced_and_not_followed(linkless, tmp_path):
    victim, root = tmp_path / "victim", tmp_path / "tree"
    victim.write_bytes(b"victim")
    root.mkdir()
    (root / "cat.png").symlink_to(victim)
    (root / "dog.png").symlink_to(tmp_path / "not-there")
    publish(root, "cat.png", b"x")
    publish(root, "dog.png", b"y")
    assert victim.read_bytes() == b"victim"
    assert tree(root) == {"cat.png": b"x", "dog.png": b"y"}
    assert not (tmp_path / "not-there").exists()


@pytest.mark.parametrize("code", sorted(NO_LINKS), ids=errno.errorcode.get)
def test_whatever_the_refusal_of_a_link_is_called(monkeypatch, tmp_path, code):
    monkeypatch.setattr(os, "link", refusing(code))
    assert require_writable(tmp_path) is False
    publish(tmp_path, "cat.png", b"old")
    publish(tmp_path, "cat.png", b"new")
    assert sorted(tree(tmp_path).values()) == [b"new", b"old"]
    assert (tmp_path / "cat.png").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_disk_that_fails_is_not_one_without_links(monkeypatch, tmp_path, code):
    monkeypatch.setattr(os, "link", refusing(code))
    with pytest.raises(StoreError, match=os.strerror(code)):
        publish(tmp_path, "cat.png", b"x")
    with pytest.raises(StoreError, match="Nothing was sent"):
        require_writable(tmp_path)
    assert tree(tmp_path) == {}


def test_a_file_that_comes_at_the_last_moment_is_never_overwritten(linkless, monkeypatch, tmp_path):
    """Somebody saves a file under the name between the try of a link and the rename."""

    def link(*_: object, **__: object) -> None:
        if not (tmp_path / "cat.png").exists():
            (tmp_path / "cat.png").write_bytes(b"somebody's")
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", link)
    publish(tmp_path, "cat.png", b"ours")
    assert sorted(tree(tmp_path).values()) == [b"ours", b"somebody's"]
    assert (tmp_path / "cat.png").read_bytes() == b"ours"


def test_many_threads_and_one_name_lose_nothing(linkless, tmp_path):
    parts = [tmp_path / f"part{number}" for number in range(24)]
    for part in parts:
        part.write_bytes(part.name.encode())
    start = threading.Barrier(12)

    def run(mine: list[Path]) -> list[Path]:
        start.wait()
        won = []
        for part in mine:
            try:
                place(str(part), str(tmp_path / "name"))
                won.append(part)
            except FileExistsError:
                pass
        return won

    with ThreadPoolExecutor(12) as threads:
        [winner] = [part for won in threads.map(run, [parts[at::12] for at in range(12)]) for part in won]
    assert (tmp_path / "name").read_bytes() == winner.name.encode()
    assert sum(part.exists() for part in parts) == 23


def test_a_file_system_that_cannot_sync_folders_is_used_all_the_same(monkeypatch, tmp_path):
    real = os.fsync
    for code in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):

        def fsync(descriptor: int, code: int = code) -> None:
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
                raise OSError(code, os.strerror(code))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        publish(tmp_path, f"a{code}/cat.png", b"x")
        assert (tmp_path / f"a{code}/cat.png").read_bytes() == b"x"
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync(0)


# --- before anything is sent ------------------------------------------------------------------------------------------


def test_a_try_leaves_nothing_behind(linkless, tmp_path):
    assert require_writable(tmp_path / "out", ["a/é", "b: c?"]) is False
    assert supports_links(tmp_path / "out") is False
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_hard_links_are_found_where_there_are_some(tmp_path):
    assert require_writable(tmp_path / "out") is True
    assert supports_links(tmp_path / "out") is True
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_a_folder_that_only_renames_refuse_is_found_out(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "rename", refusing(errno.EACCES))
    with pytest.raises(StoreError, match="Nothing was sent"):
        require_writable(tmp_path)
    assert tree(tmp_path) == {}


def test_characters_that_the_file_system_refuses_are_found_out(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    real = os.open

    def strict(name: object, *arguments: object, **named: object) -> int:
        if ":" in str(name) or "漢" in str(name):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(name, *arguments, **named)

    monkeypatch.setattr(os, "open", strict)
    assert require_writable(tmp_path, ["a/b", "é", "x" * 100]) is False
    for name in ("a:b", "a/漢字"):
        with pytest.raises(StoreError, match=r"these characters.*Nothing was sent"):
            require_writable(tmp_path, ["ok", name])
    many = [chr(0x4E00 + number) for number in range(500)]
    assert require_writable(tmp_path, many) is False
    with pytest.raises(StoreError, match="漢"):
        require_writable(tmp_path, [*many, "漢"])
    assert tree(tmp_path) == {}


def test_names_that_are_too_long_for_the_file_system_are_found_out(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    monkeypatch.setattr(os, "fpathconf", lambda _descriptor, _name: 143)
    assert require_writable(tmp_path, ["a/" + "x" * 120]) is False
    with pytest.raises(StoreError, match=r"too long.*allows 125 bytes.*Nothing was sent"):
        require_writable(tmp_path, ["short", "é" * 63])


def test_names_of_a_try_are_swept_too(tmp_path):
    for name in (".bg-0123456789abcdef.part", ".bg-0123456789abcdef.: é.part"):
        (tmp_path / name).write_bytes(b"")
    assert sweep(tmp_path) == 2
    assert tree(tmp_path) == {}


# --- kills ------------------------------------------------------------------------------------------------------------

NO_LINK = """
    import errno, os
    from batchgen.files import atomic

    def no_link(*_, **__):
        raise OSError(errno.EPERM, "no links")

    os.link = no_link
    """
#: How a name is found free: by the kernel (through ``os``, so that a test can be killed there), or by a look.
WAYS = {
    "look": """
        atomic._renameat2 = lambda: None
        """,
    "kernel": """
        kernel = atomic._renameat2()
        atomic._renameat2 = lambda: lambda *given: os.renameat2(*given)
        os.renameat2 = lambda *given: kernel(*given)
        """,
}


def killed(way: str, call: str, nth: int, code: str, *arguments: object) -> None:
    killed_at(call, nth, code, *arguments, first="\n".join(map(textwrap.dedent, (NO_LINK, WAYS[way]))))


STEPS = [
    *(("look", "open", nth) for nth in (2, 3, 4, 5)),
    *(("look", "fsync", nth) for nth in (1, 2, 3, 4)),
    *(("look", call, nth) for call in ("rename", "unlink") for nth in (1, 2)),
    *(("kernel", "renameat2", nth) for nth in (1, 2)),
    ("kernel", "fsync", 2),
]


@pytest.mark.parametrize("there_before", [False, True])
@pytest.mark.parametrize(("way", "call", "nth"), STEPS)
def test_a_kill_at_any_step_leaves_old_or_new_whole(tmp_path, there_before, way, call, nth):
    new, old = b"new" * 100_000, b"old" * 1000
    if there_before:
        publish(tmp_path, "cat.png", old)
    code = """
        import sys
        from pathlib import Path
        from batchgen.files.output import publish
        publish(Path(sys.argv[1]), "cat.png", b"new" * 100_000)
        """
    killed(way, call, nth, code, tmp_path)
    found = tree(tmp_path)
    parts = [name for name in found if Path(name).name.startswith(".bg-")]
    whole = {name: content for name, content in found.items() if name not in parts}
    assert len(parts) <= 2
    assert set(whole.values()) <= {old, new}
    assert there_before <= (old in whole.values())
    assert there_before <= ("cat.png" in whole)
    assert sweep(tmp_path) == len(parts)
    publish(tmp_path, "cat.png", new)
    found = tree(tmp_path)
    assert found.pop("cat.png") == new
    assert list(found.values()) == ([old] if there_before else [])


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", ["mkdir", "open", "rename", "unlink", "fsync"])
def test_a_kill_while_a_file_goes_aside_loses_nothing(tmp_path, call, nth):
    publish(tmp_path, "cat.png", b"old", sidecar=SAID)
    order = (hashlib.sha256(b"old").hexdigest(), MINE)
    code = """
        import sys
        from pathlib import Path
        from batchgen.files.output import withdraw
        withdraw(Path(sys.argv[1]), "cat.png", sys.argv[2], sys.argv[3], bare=lambda: True)
        """
    killed("look", call, nth, code, tmp_path, *order)
    sweep(tmp_path)
    assert set(tree(tmp_path).values()) == {b"old", SAID}
    withdraw(tmp_path, "cat.png", *order, bare=lambda: True)
    assert sorted(tree(tmp_path).values()) == sorted([b"old", SAID])
    assert all(name.startswith(SUPERSEDED) for name in tree(tmp_path))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_where_the_system_itself_makes_no_links(tmp_path):
    source, library, root = tmp_path / "nolink.c", tmp_path / "nolink.so", tmp_path / "out"
    source.write_text(NO_LINK_LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, timeout=50)
    code = """
        import os, sys
        from pathlib import Path
        from batchgen.files.output import publish, require_writable
        root = Path(sys.argv[1])
        print(require_writable(root))
        try:
            os.link(sys.argv[0], root / "link")
        except PermissionError:
            for number in range(3):
                publish(root, "a/cat.png", bytes([number]), sidecar=b"{}")
            print("published")
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "False\npublished\n", done.stderr
    assert sorted(tree(root).values()) == [b"\0", b"\1", b"\2", b"{}"]
    assert (root / "a/cat.png").read_bytes() == b"\2"


def test_large_files_arrive_byte_for_byte(linkless, tmp_path):
    large = random.Random(1).randbytes(3_000_000)
    publish(tmp_path, "large.png", large)
    assert (tmp_path / "large.png").read_bytes() == large
