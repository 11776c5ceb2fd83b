"""Processes that make thumbnails: real processes, killed and confronted with hostile files."""

from __future__ import annotations

import hashlib
import io
import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from batchgen.errors import StoreError
from batchgen.files import thumbnail_pool, thumbnails
from batchgen.files.thumbnail_pool import examine_all
from batchgen.files.thumbnails import FileGone, PictureFile, ThumbnailProcess, thumbnail_path
from batchgen.picture import VERSION, PictureFacts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "report" / "thumbs").mkdir(parents=True)
    return tmp_path / "report"


def file(path: Path, data: bytes | None = None) -> PictureFile:
    if data is None:
        sink = io.BytesIO()
        Image.effect_noise((300, 200), 50).save(sink, "PNG")
        data = sink.getvalue()
    path.write_bytes(data)
    return PictureFile(path=path, sha256=hashlib.sha256(data).hexdigest())


def test_all_pictures_are_examined_by_several_processes(tmp_path, folder):
    pictures = [file(tmp_path / f"{number}.png") for number in range(30)]
    answers = dict(examine_all(pictures, folder, processes=3))
    assert set(answers) == set(pictures)
    assert all(isinstance(facts, PictureFacts) and facts.error is None for facts in answers.values())
    assert {path.name for path in (folder / "thumbs").iterdir()} == {f"{each.sha256[:16]}.webp" for each in pictures}


def test_a_file_that_is_gone_or_changed_is_named(tmp_path, folder):
    gone, changed = PictureFile(path=tmp_path / "gone.png", sha256="1" * 64), file(tmp_path / "changed.png")
    changed.path.write_bytes(b"other")
    answers = dict(examine_all([gone, changed], folder))
    assert answers[gone] == FileGone(message="there is no such file")
    assert answers[changed] == FileGone(message="it is not as it was delivered")
    assert list((folder / "thumbs").iterdir()) == []


def test_a_killed_process_is_replaced(tmp_path, folder):
    with ThumbnailProcess() as process:
        first = process.make(file(tmp_path / "1.png"), folder)
        os.kill(process._process.pid, signal.SIGKILL)
        second = process.make(file(tmp_path / "2.png"), folder)
        assert isinstance(first, PictureFacts)
        assert isinstance(second, PictureFacts)
        assert second.error is None


def test_a_file_that_kills_every_process_is_unreadable_until_the_next_report(tmp_path, folder, monkeypatch):
    picture = file(tmp_path / "1.png")
    monkeypatch.setattr(thumbnails, "_start", _start_dead(thumbnails._start))
    with ThumbnailProcess() as process:
        facts = process.make(picture, folder)
    assert isinstance(facts, PictureFacts)
    assert facts.error
    assert facts.version != VERSION


def _start_dead(start):
    def start_and_kill(nice):
        process = start(nice)
        process.kill()
        process.wait()
        return process

    return start_and_kill


def test_a_process_ends_with_its_parent(tmp_path, folder):
    process = ThumbnailProcess()
    process.make(file(tmp_path / "1.png"), folder)
    child = process._process
    child.stdin.close()
    assert child.wait(timeout=60) == 0
    process.close()


def test_an_interrupted_caller_leaves_no_process(tmp_path, folder, monkeypatch):
    pool = []

    class Watched(ThumbnailProcess):
        def __init__(self):
            super().__init__()
            pool.append(self)

    monkeypatch.setattr(thumbnail_pool, "ThumbnailProcess", Watched)
    answers = examine_all([file(tmp_path / f"{number}.png") for number in range(40)], folder, processes=2)
    next(answers)
    answers.close()
    assert len(pool) == 2
    assert all(process.is_ended and process._process is None for process in pool)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="cannot write the thumbnail"):
        list(examine_all([file(tmp_path / "1.png")], tmp_path / "no such folder"))


def test_an_unfinished_thumbnail_is_abandoned_once_its_process_is_dead(tmp_path, folder):
    process = ThumbnailProcess()
    process.make(file(tmp_path / "1.png"), folder)
    name = f".0123456789abcdef.webp.{process._process.pid}.part"
    assert not thumbnails.is_abandoned(name)
    process.close()
    assert thumbnails.is_abandoned(name)
    assert not thumbnails.is_abandoned("0123456789abcdef.webp")


def test_names_follow_the_hash():
    assert thumbnail_path(Path("report"), "ab" * 32) == Path("report/thumbs/abababababababab.webp")


def test_pipe_or_device_in_place_of_a_picture_is_not_read(tmp_path, folder):
    pipe, device = file(tmp_path / "a.png"), file(tmp_path / "b.png")
    for picture in (pipe, device):
        picture.path.unlink()
    os.mkfifo(pipe.path)
    device.path.symlink_to("/dev/zero")
    with ThumbnailProcess() as process:
        for picture in (pipe, device):
            answer = process.make(picture, folder)
            assert answer == FileGone(message="is a device, a pipe or a socket, not a file")
