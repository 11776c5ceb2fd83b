"""Suspects: pictures that may be wrong, by their facts, by what was asked for, and by the rest of the batch. Pure.

Of pictures that are alike, only the later ones in the manifest are suspect: redoing the suspects keeps the first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..picture import PictureFacts, Suspect
from ..task import Task
from .resemblance import Look, Tolerance, pairs

#: The smallest images that providers sell have 256 pixels a side.
TINY = 200
#: Providers round proportions to whole blocks of pixels: 4:5 comes as 896 x 1152, which is 3 % off.
RATIO = 0.04
#: A smaller copy as JPEG differs from its picture in at most 8 bits and 2 of 255 (9 of 10 photos), one of which 1 %
#: was cut off in 11 and 4; an object of a tenth of the width makes 15. No two of 620 pictures of the sandbox are as
#: alike; of 57 system icons, pairs that share their shape are.
NEAR = Tolerance(bits=10, colour=8)
#: Edits of one source differ in little by design: an object of 6 % of the width makes 3 of 255.
SAME = Tolerance(bits=8, colour=2)
#: A picture without C2PA is suspect if at least so many others of its model carry it, for each that does not.
SIGNED = 4
_SIZE = re.compile(r"(\d+)\s*[xX:]\s*(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExaminedPicture:
    """A picture of a job, what it was to be, and what it is."""

    job_id: int
    key: str
    ordinal: int
    artifact_id: int
    task: Task
    facts: PictureFacts
    provider: str  #: that made it
    model: str
    sources: tuple[PictureFacts, ...] = ()  #: of an edit, as far as they were examined

    def suspect(self, kind: str, detail: str, other: ExaminedPicture | None = None) -> Suspect:
        """Return the picture as a suspect."""
        return Suspect(
            job_id=self.job_id,
            ordinal=self.ordinal,
            artifact_id=self.artifact_id,
            kind=kind,
            detail=detail,
            other_job_id=None if other is None else other.job_id,
            other_ordinal=None if other is None else other.ordinal,
        )


def find_suspects(pictures: Sequence[ExaminedPicture]) -> list[Suspect]:
    """Return the suspects among the pictures of a batch, which are in the order of the manifest."""
    readable = [each for each in pictures if each.facts.error is None]
    suspects = [each.suspect("unreadable", each.facts.error) for each in pictures if each.facts.error is not None]
    for picture in readable:
        suspects += _alone(picture)
    return [*suspects, *_duplicates(readable), *_near_duplicates(readable), *_unsigned(readable)]


def _alone(picture: ExaminedPicture) -> Iterator[Suspect]:
    """Yield what is wrong with a picture by itself."""
    facts, task = picture.facts, picture.task
    size = f"{facts.width}x{facts.height}"
    asked = _asked(task)
    if min(facts.width, facts.height) < TINY and (asked is None or min(facts.width, facts.height) < min(asked)):
        yield picture.suspect("tiny", f"{size} pixels")
    if facts.uniform:
        yield picture.suspect("one-colour", f"all of it is #{facts.colour[:6]}")
    if asked is not None and _is_wrong_size(facts, task.size or "", asked):
        yield picture.suspect("wrong-size", f"{size} in place of {task.size}")
    if task.background == "transparent" and not facts.alpha:
        yield picture.suspect("no-alpha", "a transparent background was asked for, and no pixel is transparent")
    if any(_is_same(facts, source) for source in picture.sources):
        yield picture.suspect("same-as-source", "the edit looks like its source")


def _asked(task: Task) -> tuple[int, int] | None:
    """Return the size or the proportions that a task asks for; None if it asks for neither."""
    match = _SIZE.fullmatch((task.size or "").strip())
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    return sides if all(sides) else None


def _is_wrong_size(facts: PictureFacts, size: str, asked: tuple[int, int]) -> bool:
    """Return whether a picture has other proportions, or is smaller; larger ones can be made smaller."""
    width, height = asked
    if abs(facts.width / facts.height / (width / height) - 1) > RATIO:
        return True
    return ":" not in size and (facts.width < width * (1 - RATIO) or facts.height < height * (1 - RATIO))


def _is_same(facts: PictureFacts, source: PictureFacts) -> bool:
    if facts.sha256 == source.sha256:
        return True
    if source.error is not None or facts.uniform:
        return False
    return Look.of(facts).resembles(Look.of(source), SAME)


def _duplicates(pictures: Sequence[ExaminedPicture]) -> Iterator[Suspect]:
    first: dict[str, ExaminedPicture] = {}
    for picture in pictures:
        other = first.setdefault(picture.facts.sha256, picture)
        if other is not picture:
            yield picture.suspect("duplicate", f"the same file as {_name(other)}", other)


def _near_duplicates(pictures: Sequence[ExaminedPicture]) -> Iterator[Suspect]:
    """Yield pictures that look like an earlier one; exact duplicates and pictures of one colour are listed as such."""
    unique = {picture.facts.sha256: picture for picture in reversed(pictures) if not picture.facts.uniform}
    several = [picture for picture in pictures if unique.get(picture.facts.sha256) is picture]
    looks = [Look.of(picture.facts) for picture in several]

    def is_alike(index: int, other: int) -> bool:
        """Return whether two pictures that look the same should not: edits of one source may differ in little."""
        mine = {source.sha256 for source in several[index].sources}
        if mine.isdisjoint(source.sha256 for source in several[other].sources):
            return True
        return looks[index].resembles(looks[other], SAME)

    for index, other in pairs(looks, NEAR, is_alike):
        bits = (looks[index].bits ^ looks[other].bits).bit_count()
        detail = f"looks like {_name(several[other])}: {bits} of 256 bits differ"
        yield several[index].suspect("near-duplicate", detail, several[other])


def _unsigned(pictures: Sequence[ExaminedPicture]) -> Iterator[Suspect]:
    """Yield the few pictures without C2PA of a model whose others carry it."""
    counts = Counter((each.provider, each.model, each.facts.c2pa) for each in pictures)
    for picture in pictures:
        model = picture.provider, picture.model
        if not picture.facts.c2pa and counts[*model, True] >= SIGNED * counts[*model, False]:
            detail = f"{counts[*model, True]:,} other pictures of {picture.model} carry C2PA"
            yield picture.suspect("no-c2pa", detail)


def _name(picture: ExaminedPicture) -> str:
    return f"{picture.key} ({picture.ordinal + 1})" if picture.ordinal else picture.key
