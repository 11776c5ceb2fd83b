"""Photos that a provider may misunderstand, and jobs skipped because of theirs: counted, and shown as one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import Problem
from .bad_source import BadSource, MissingSource, StoreTrouble
from .batch import SkippedJobs
from .locations import Origin
from .problems import Problems
from .render import RenderedJob
from .source_images import Preparation, SourceImage, is_web_url

#: So many names are shown of each kind.
_SHOWN = 3
#: So many reasons of skipped jobs are shown.
_REASONS = 5
#: So many skipped jobs are kept with their reason; more are counted.
_KEPT = 1_000

#: What may go wrong with a photo: the code, what it is called in a message, and what to write.
_TRAITS = (
    ("rotated", "stored rotated (EXIF), which a provider may ignore", "orient: true sends an upright copy"),
    ("cmyk", "in CMYK, colours for print", "convert: jpeg sends a copy in RGB"),
    ("deep", "in more than 8 bits per channel", "convert: png sends a copy with 8 bits"),
    ("animated", "animated", "convert: png sends the first frame"),
)
#: Sources at a URL: their content is not known before they are fetched.
_URLS = ("url", "sent unchanged: orient and convert are for files", "download it, and name the file")
_AS_IT_IS = Preparation()
#: Of many photos, one that is damaged should not stop the others.
_HOW_TO_SKIP = "fix the image, or make the other jobs with  on_bad_source: skip"


@dataclass(slots=True)
class PhotoCheck:
    """Watches the source images of the jobs of one pass."""

    skips: bool  #: a job with a bad image is skipped; otherwise it is a mistake in the manifest
    _names: dict[str, dict[str, None]] = field(default_factory=dict)  #: by trait
    _origins: dict[str, Origin] = field(default_factory=dict)  #: by trait: where its first photo is asked for
    _skipped: list[str] = field(default_factory=list)
    _count: int = 0

    def add(self, job: RenderedJob, images: Sequence[SourceImage], preparation: Preparation) -> None:
        """Check the local source images of one job."""
        if preparation != _AS_IT_IS and len(images) < len(job.values.get("images", ())):
            for name in filter(is_web_url, job.values["images"]):
                self._note("url", name, job)
        for image in images:
            kind = preparation.copy_of(image.photo)
            if kind not in (None, "upright"):
                continue  # A converted copy has none of these traits.
            for trait, *_ in _TRAITS:
                if getattr(image.photo, trait) and not (trait == "rotated" and kind == "upright"):
                    self._note(trait, image.name, job)

    def _note(self, trait: str, name: str, job: RenderedJob) -> None:
        self._names.setdefault(trait, {})[name] = None
        self._origins.setdefault(trait, _origin(job))

    def skip(self, job: RenderedJob, reason: str) -> None:
        """Count a job that is skipped, for a *reason* that names its image."""
        self._count += 1
        self._origins.setdefault("skipped", _origin(job))
        if len(self._skipped) < _KEPT:
            self._skipped.append(reason)

    @property
    def skipped(self) -> SkippedJobs:
        """Return the jobs that were skipped."""
        return SkippedJobs(count=self._count, reasons=tuple(self._skipped))

    def report(self, warnings: Problems) -> None:
        """Warn of the jobs that are skipped, and of each kind of photo that a provider may misunderstand."""
        warnings.extend(self._problems())

    def _problems(self) -> Iterator[Problem]:
        if skipped := self.skipped:
            jobs = "one job is" if skipped.count == 1 else f"{skipped.count:,} jobs are"
            more = skipped.count - _REASONS
            rest = f"; and {more:,} more, which plan --json names" if more > 0 else ""
            message = f"{jobs} skipped: {'; '.join(skipped.reasons[:_REASONS])}{rest}"
            yield self._origins["skipped"].problem(
                "skipped_source", message, "fix the image, and the next run makes it"
            )
        for trait, what, hint in (*_TRAITS, _URLS):
            names = list(self._names.get(trait, ()))
            if names:
                shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                subject = f"{shown} is" if len(names) == 1 else f"{len(names):,} images are"
                message = f"{subject} {what}" + ("" if len(names) == 1 else f" ({shown})")
                yield self._origins[trait].problem(f"{trait}_source", message, hint)


def _origin(job: RenderedJob) -> Origin:
    """Return the place of the job's images in its manifest."""
    entry = job.template.entry
    return entry.origin("images") if "images" in entry.own or not entry.lists else entry.origin().inside("from")


def what_to_write(job: RenderedJob, bad: BadSource) -> tuple[str, str]:
    """Return a hint at a bad image in a list, and the mistake that it shares with others; both may be empty.

    Where all images of a list are in another folder, that is one mistake, and skipping them would leave no job.
    """
    if isinstance(bad, StoreTrouble):
        return "", str(bad)
    if job.row.listing is None:
        return "", ""
    if not isinstance(bad, MissingSource) or not bad.base:
        return _HOW_TO_SKIP, ""
    mistake = f"the images are in {bad.base}"
    for column, value in job.row.values.items():
        text = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(text, str) and text and bad.name.endswith(text):
            path = f"{bad.base}{bad.name.removesuffix(text)}{{{{ {column} }}}}"
            return f'paths begin at the folder of the manifest: write  images: "{path}"', mistake
    return "paths begin at the folder of the manifest", mistake
