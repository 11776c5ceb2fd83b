"""Names of the files that attempts deliver, relative to the output folder.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..job import Attempt
from ..store.records import StoredArtifact
from ..task import Artifact


def file_name(attempt: Attempt, ordinal: int, extension: str) -> str:
    """Return the name of a file in the output folder.

    More files than were asked for are kept, under names that no job has.
    """
    number = f"-{ordinal + 1}" if attempt.wanted > 1 else ""
    if ordinal >= attempt.wanted:
        number = f".extra{ordinal - attempt.wanted + 1}"
    return f"{attempt.output}{number}.{extension}"


def earlier(
    attempt: Attempt, came: Sequence[Artifact], known: Sequence[StoredArtifact]
) -> Iterator[tuple[str, StoredArtifact]]:
    """Yield what earlier forms of a job left in the output folder, each with its name there.

    *came* are the files just published, *known* all that the job table knows of the job.
    """
    first = came[0]
    # paths start at the working folder, names at the output folder: a file that has both tells what lies between
    between = first.path.removesuffix(file_name(attempt, first.ordinal, first.path.rpartition(".")[2]))
    standing = {file.path for file in came} | {file.path for file in known if file.superseded_at is None}
    for file in known:
        if file.path not in standing and file.path.startswith(between):
            yield file.path.removeprefix(between), file
