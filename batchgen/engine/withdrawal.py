"""Withdrawal of superseded files: what earlier versions of a job left in the output folder is moved aside. Blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..files.output_tree import output_tree
from ..job import Attempt, Delivered
from ..manifest.filenames import stems
from ..object_url import parse_folder
from ..store.reader import Reader
from ..store.records import StoredArtifact
from ..task import Artifact


def withdraw_earlier(reader: Reader, attempt: Attempt, outcome: Delivered) -> None:
    """Move aside the files of earlier versions of a job that its new files do not replace."""
    own, tree = stems(attempt.output, attempt.wanted), output_tree(parse_folder(attempt.folder))
    for name, file in _superseded(attempt, outcome.artifacts, reader.files_of(attempt.job_id)):

        def bare(name: str = name, path: str = file.path) -> bool:
            return name.rpartition(".")[0] in own or not reader.counts_on(path)

        tree.withdraw(name, file.sha256, file.attempt_id, bare=bare)


def _superseded(
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
