"""The document of a report: everything that its page shows, as ``batchgen/page/src/types.d.ts`` describes it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ...files.listing import FileSizes
from ...files.report_folder import NAME
from ...object_url import parse_folder
from ...planning.selection import Selection
from ...store import picture_facts
from ...store.marks import database_id
from ...store.report_rows import count_tiles
from ...version import __version__
from .. import queries
from ..advice import resuming
from ..clock import utc_now
from ..repeated_options import repeated_options
from .at_provider import AtProvider
from .costs import Costs
from .details import detail
from .disk import Disk
from .folder import ReportFolder, folder_of
from .head import Figures, head
from .jobs import EVERYTHING, PAGE, JobPages, ReportJob, Scope
from .lane_log import lane_spans
from .needs import Needs
from .night import Night
from .places import Places
from .tiles import Tiles

if TYPE_CHECKING:
    from ...store.reader import Reader
    from ...store.records import Batch
    from ..project import CommandFlags, Project

#: Tiles up to which the details are in the page itself.
INLINE = 10_000

#: Takes the details of up to ``PAGE`` jobs: the number of the chunk, and its entries.
OnDetails = Callable[[int, Sequence[Mapping[str, Any]]], None]


@dataclass(kw_only=True, slots=True)
class Sums:
    """Collects what the head of the page shows."""

    figures: Figures = field(default_factory=Figures)
    night: Night = field(default_factory=Night)
    costs: Costs = field(default_factory=Costs)
    needs: Needs = field(default_factory=Needs)
    at_provider: AtProvider = field(default_factory=AtProvider)

    def add(self, job: ReportJob) -> None:
        """Add one job."""
        for collector in (self.figures, self.night, self.costs, self.needs, self.at_provider):
            collector.add(job)

    def document(self, project: Project, reader: Reader, batch: Batch, scope: Scope) -> dict[str, Any]:
        """Return head, night, costs, needs and what is at providers."""
        now, runs = utc_now(), reader.runs(batch.id)
        status = queries.status(project, batch.name)
        flags = _flags(project, reader, batch)
        submissions = {each.submission.id: each.submission for each in status.submissions}
        top = head(self.figures, status, runs, scope, now)
        waits = None if top["in_progress"] else top["waits"]
        spans = lane_spans(
            project.state / "logs", {run.id: run.ended_at for run in runs if scope.run in (None, run.id)}
        )
        ends = [(run.started_at, run.ended_at or now) for run in runs]
        return {
            "head": top,
            "night": self.night.document(ends, spans),
            "costs": self.costs.document(),
            "savings": self.costs.savings(),
            "needs": self.needs.document(batch.manifest, flags, waits, resuming(status, flags)),
            "at_provider": self.at_provider.document(submissions),
        }


def build(
    project: Project,
    reader: Reader,
    batch: Batch,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    *,
    scope: Scope = EVERYTHING,
    folder: ReportFolder | None = None,
    sizes: FileSizes | None = None,
    about: str = "",
    on_details: OnDetails | None = None,
) -> dict[str, Any]:
    """Return the document of a report in *folder*, which is the usual one by default.

    *sizes* has the files of an output folder in an object store; without it, every delivered file counts as present.

    *about* states in a few words which part of the batch is selected.

    With *on_details*, the details of more than ``INLINE`` tiles go there, a chunk at a time; otherwise all of them are
    in the document.
    """
    places = places_of(project, batch, folder)
    disk, sums = Disk(project=project, batch=batch, places=places, sizes=sizes), Sums()
    looks = disk.looks()
    tiles = Tiles(looks=looks)
    pages = JobPages(project=project, reader=reader, batch=batch, selection=selection, scope=scope)
    is_large = reader.ask(partial(count_tiles, batch_id=batch.id, selection=selection)) > INLINE
    chunks = _Chunks(on_details if is_large else None)
    for page in pages:
        for job in page:
            sums.add(job)
            if job.is_shown:
                tiles.add(job)
        chunks.add([detail(job, looks) for job in page if job.is_shown])
    document = _frame(project, reader, batch, places) | {"about": about} | sums.document(project, reader, batch, scope)
    document |= _tiles(tiles, reader, disk.thumbnails((folder or folder_of(project, batch)).local))
    document["buckets"] = places.buckets(document["tiles"]["path"])
    if chunks.sink is None:
        return document | {"details": chunks.rest}
    chunks.finish()
    return document | {"chunk": PAGE}


def figures(project: Project, reader: Reader, batch: Batch) -> dict[str, Any]:
    """Return what the head of the page of a batch shows."""
    sums = Sums()
    for page in JobPages(project=project, reader=reader, batch=batch, judged=False):
        for job in page:
            sums.add(job)
    return sums.document(project, reader, batch, EVERYTHING)


def changes(project: Project, reader: Reader, batch: Batch, ids: Sequence[int]) -> dict[str, Any]:
    """Return the tiles of these jobs, with words of their own."""
    disk = Disk(project=project, batch=batch, places=places_of(project, batch))
    tiles = Tiles(looks=disk.looks())
    for page in JobPages(project=project, reader=reader, batch=batch, only=ids):
        for job in page:
            tiles.add(job)
    return _tiles(tiles, reader, None)


def details(project: Project, reader: Reader, batch: Batch, ids: Sequence[int]) -> list[Mapping[str, Any]]:
    """Return the details of these jobs."""
    looks = Disk(project=project, batch=batch, places=places_of(project, batch)).looks()
    pages = JobPages(project=project, reader=reader, batch=batch, only=ids)
    return [detail(job, looks) for page in pages for job in page]


def places_of(project: Project, batch: Batch, folder: ReportFolder | None = None) -> Places:
    """Return the folders that a page in *folder* refers to."""
    output = parse_folder(batch.folder)
    return Places(root=project.root, output=output, report=output / NAME if folder is None else folder.place)


def _tiles(tiles: Tiles, reader: Reader, thumbnails: Container[str] | None) -> dict[str, Any]:
    """Return tiles and words; the columns come first, because they add words."""
    columns = tiles.document(thumbnails)
    facts = reader.ask(partial(picture_facts.of_hashes, hashes=tiles.source_hashes()))
    return {"tiles": columns, "words": tiles.words(facts)}


@dataclass(slots=True)
class _Chunks:
    """Cuts details into chunks of ``PAGE`` jobs; without a sink, all of them stay."""

    sink: OnDetails | None = None
    rest: list[Mapping[str, Any]] = field(default_factory=list)
    number: int = 0

    def add(self, details: Iterable[Mapping[str, Any]]) -> None:
        """Add details, and hand on a chunk that is complete."""
        self.rest += details
        while self.sink is not None and len(self.rest) >= PAGE:
            self.sink(self.number, self.rest[:PAGE])
            self.rest, self.number = self.rest[PAGE:], self.number + 1

    def finish(self) -> None:
        """Hand on the last chunk."""
        if self.sink is not None and self.rest:
            self.sink(self.number, self.rest)


def _frame(project: Project, reader: Reader, batch: Batch, places: Places) -> dict[str, Any]:
    """Return the fields of the document that do not depend on its jobs."""
    flags = _flags(project, reader, batch)
    return {
        "schema_version": 1,
        "generated_at": utc_now().isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": __version__,
        "database": database_id(project.db),
        "sandbox": project.sandbox,
        "batch": batch.name,
        "manifest": flags.manifest(batch.manifest),
        "zone": round((datetime.now().astimezone().utcoffset() or datetime.resolution).total_seconds() / 60),
        "root": places.root_url,
        "folder": places.folder,
        "folder_url": places.folder_url,
        "commands": {
            **{verb: flags.on_manifest(verb, batch.manifest) for verb in ("run", "retry", "redo", "collect")},
            **{verb: flags.on_batch(verb) for verb in ("show", "list", "export")},
            "marks_import": flags.plain("marks import"),
        },
    }


def _flags(project: Project, reader: Reader, batch: Batch) -> CommandFlags:
    """Return the flags of commands that are typed in the working folder, with the options of the latest run."""
    latest = next((run.command for run in reader.runs(batch.id)), "")
    return project.command_flags(batch.name, repeated_options(latest), inside=True)
