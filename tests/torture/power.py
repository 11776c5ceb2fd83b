"""A file system that can lose its power: ext4 on a loop device. A doer: needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 128


class PowerError(RuntimeError):
    """This machine does not let us: the text says why."""


class Mounts:
    """Mounts one image, any number of times."""

    def __init__(self) -> None:
        self._images: dict[Path, Path] = {}

    @contextmanager
    def hold(self, folder: Path) -> Iterator[Path]:
        """Make and mount an image under *folder*; unmount it at the end. Raises PowerError where that may not be."""
        if os.geteuid() != 0:
            raise PowerError("mounting needs root")
        if not (shutil.which("mkfs.ext4") and shutil.which("mount")):
            raise PowerError("no mkfs.ext4 or mount here")
        folder.mkdir(parents=True, exist_ok=True)
        image, mount = folder / "disk.img", folder / "disk"
        mount.mkdir(exist_ok=True)
        with image.open("wb") as file:
            file.truncate(MEGABYTES * 1024 * 1024)
        _do("mkfs.ext4", "-q", "-F", str(image))
        self._images[mount] = image
        self._mount(mount)
        try:
            yield mount
        finally:
            _do("umount", str(mount))
            image.unlink()

    def sync(self, mount: Path) -> None:
        """Make all that was written so far durable: what follows is what is tried."""
        del mount
        os.sync()

    def again(self, mount: Path) -> None:
        """Take the dead file system off and mount what is left of it."""
        _do("umount", str(mount))
        self._mount(mount)

    def _mount(self, mount: Path) -> None:
        _do("mount", "-o", "loop", str(self._images[mount]), str(mount))


mounted = Mounts()


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PowerError(f"{command[0]}: {done.stderr.strip() or done.returncode}")
