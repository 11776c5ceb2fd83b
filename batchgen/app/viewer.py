"""Files for the viewer: those of a job, or the newest, and the program that shows them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ..errors import NotFound, UsageError
from ..files.output_tree import file_at, open_file
from ..job import State
from ..object_url import Folder
from ..store.queries import newest_file
from .project import Project, open_reader

#: Names a program that shows a file, in place of the system's.
VARIABLE = "BATCHGEN_OPENER"


def find_files(project: Project, name: str | None, key: str | None) -> list[Folder]:
    """Return the files of job *key*, or the newest file of the batch; raise NotFound if they are gone."""
    flags = project.command_flags(name)
    with open_reader(project) as reader:
        batch = reader.batch(name)
        if key is None:
            newest = reader.ask(partial(newest_file, batch_id=batch.id))
            stored = [] if newest is None else [newest]
            why = f"{batch.name} has no image yet"
        else:
            job = reader.job(batch.id, key)
            stored = reader.artifacts(job)
            cause = f" ({job.cause})" if job.state is State.FAILED else ""
            why = f"job {key} has no image: it is {job.state}{cause}"
    if not stored:
        raise NotFound(f"{why}. {flags.on_batch('status')} shows what is done")
    files = [open_file(project.root, file.path) for file in stored]
    present = [file.path for file in files if file.exists()]
    if not present:
        raise NotFound(f"{files[0].path} is gone. {flags.on_batch('verify')} lists the files that are gone")
    return present


def local_copies(files: Sequence[Folder]) -> list[Path]:
    """Return *files* as files on this machine; objects are downloaded to a new temporary folder."""
    copies, folder = [], None
    for number, file in enumerate(files):
        if isinstance(file, Path):
            copies.append(file)
            continue
        folder = folder or Path(tempfile.mkdtemp(prefix="batchgen-"))
        copies.append(folder / (file.name if len(files) == 1 else f"{number + 1}-{file.name}"))
        file_at(file).copy_to(copies[-1])
    return copies


def viewer(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> list[str] | None:
    """Return the command that shows a file on this machine; None if there is none. Raises UsageError."""
    if VARIABLE in environment:
        try:
            return shlex.split(environment[VARIABLE]) or None
        except ValueError as error:
            raise UsageError(f"{VARIABLE} cannot be read as a command: {error}") from error
    if platform == "darwin":
        return ["open"]
    if environment.get("WSL_DISTRO_NAME") and shutil.which("wslview"):
        return ["wslview"]
    has_screen = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return ["xdg-open"] if has_screen and shutil.which("xdg-open") else None


def show(command: Sequence[str], files: Sequence[Path]) -> bool:
    """Show *files* with a viewer that outlives this process; return False if it cannot be started."""
    for file in files:
        try:
            subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
                [*command, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return False
    return True
