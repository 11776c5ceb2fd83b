"""Files of earlier versions of a job that its new files do not replace. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..job import Attempt
from ..store.records import StoredArtifact
from ..task import Artifact


def superseded_files(
    attempt: Attempt, artifacts: Sequence[Artifact], known: Sequence[StoredArtifact]
) -> Iterator[tuple[str, StoredArtifact]]:
    """Yield the files of earlier versions of a job in the output folder, each with its name there.

    *artifacts* are the files just published, *known* all files of the job in the job database.
    """
    first = artifacts[0]
    # Paths are relative to the working folder, names to the output folder: one file's path and name give the prefix.
    prefix = first.path.removesuffix(attempt.file_name(first.ordinal, first.path.rpartition(".")[2]))
    current = {file.path for file in artifacts} | {file.path for file in known if file.superseded_at is None}
    for file in known:
        if file.path not in current and file.path.startswith(prefix):
            yield file.path.removeprefix(prefix), file
