"""Resemblance of pictures: which of them look the same, found without comparing each with each. Pure.

Two pictures resemble each other if their difference hashes differ in few bits and their colours in no cell by much.
The hash alone sees only edges: it would call a mug in another colour a duplicate. The colours alone see no edges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from operator import mul

from ..picture import PictureFacts

#: Bands of the hash: fewer different bits than bands leave a band equal, by which a pair is found.
_BANDS, _BAND_BITS = 16, 16
#: Channels of colours that pictures are found by, chosen from a sample.
_CHANNELS, _SAMPLE = 4, 1000
#: Pictures of one group that others are compared with.
_COMPANIONS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """How much two pictures that resemble each other may differ."""

    bits: int  #: of the 256 bits of the hash; fewer than the bands
    colour: int  #: of 255, in any cell and channel
    ratio: float = 0.03  #: of the proportions


@dataclass(frozen=True, slots=True)
class Look:
    """The hash, colours and proportions of a picture, ready to be compared."""

    bits: int
    colours: bytes
    ratio: float

    @classmethod
    def of(cls, facts: PictureFacts) -> Look:
        """Return the look of a picture that could be read."""
        return cls(int(facts.dhash, 16), bytes.fromhex(facts.colour), facts.width / facts.height)

    def resembles(self, other: Look, tolerance: Tolerance) -> bool:
        """Return whether two pictures look the same."""
        if (self.bits ^ other.bits).bit_count() > tolerance.bits:
            return False
        if abs(self.ratio / other.ratio - 1) > tolerance.ratio:
            return False
        return max(abs(one - two) for one, two in zip(self.colours, other.colours, strict=True)) <= tolerance.colour


def pairs(
    looks: Sequence[Look], tolerance: Tolerance, counts: Callable[[int, int], bool] = lambda _one, _other: True
) -> Iterator[tuple[int, int]]:
    """Yield, for each picture that resembles an earlier one, its index and that of the first such picture.

    *counts* may exclude pairs, by their indices.
    """
    bands, cells = _BandIndex(looks, tolerance), _ColourIndex(looks, tolerance)
    followers: Counter[int] = Counter()
    for index, look in enumerate(looks):
        near = min(bands.near(index), cells.near(index), key=lambda lists: sum(map(len, lists)))
        others = sorted({other for each in near for other in each})
        alike = (other for other in others if looks[other].resembles(look, tolerance))
        first = next((other for other in alike if counts(index, other)), None)
        if first is not None:
            yield index, first
            followers[first] += 1
        # Of thousands that look the same, a few represent all of them.
        if first is None or followers[first] <= _COMPANIONS:
            bands.add(index)
            cells.add(index)


class _BandIndex:
    """Finds pictures by the bands of their hashes, of which a pair has some in common.

    A picture is entered under its rarest bands only. N different bits leave all but N bands equal, so that the rarest
    of the equal ones is among the N + 1 rarest of both pictures.
    """

    def __init__(self, looks: Sequence[Look], tolerance: Tolerance) -> None:
        bands = [_bands(look.bits) for look in looks]
        sizes = Counter(band for each in bands for band in each)
        most = tolerance.bits + 1
        self._rarest = [
            [band for band in sorted(each, key=lambda band: (sizes[band], band))[:most] if sizes[band] > 1]
            for each in bands
        ]
        self._entered: dict[int, list[int]] = {}

    def near(self, index: int) -> list[list[int]]:
        """Return lists of pictures, among which are all that a picture resembles."""
        return [self._entered[band] for band in self._rarest[index] if band in self._entered]

    def add(self, index: int) -> None:
        """Enter a picture."""
        for band in self._rarest[index]:
            self._entered.setdefault(band, []).append(index)


class _ColourIndex:
    """Finds pictures by the colours of those cells in which the batch differs most.

    Objects on a white ground share most bands, and differ in the colours of the middle.
    """

    def __init__(self, looks: Sequence[Look], tolerance: Tolerance) -> None:
        channels = _channels([look.colours for look in looks[:: len(looks) // _SAMPLE + 1]])
        width = tolerance.colour + 1
        self._places = [sum(look.colours[c] // width << 8 * n for n, c in enumerate(channels)) for look in looks]
        steps = product((-1, 0, 1), repeat=len(channels))
        self._around = [sum(step << 8 * n for n, step in enumerate(each)) for each in steps]
        self._entered: dict[int, list[int]] = {}

    def near(self, index: int) -> list[list[int]]:
        """Return lists of pictures, among which are all that a picture resembles."""
        place, entered = self._places[index], self._entered
        return [entered[place + step] for step in self._around if place + step in entered]

    def add(self, index: int) -> None:
        """Enter a picture."""
        self._entered.setdefault(self._places[index], []).append(index)


def _bands(bits: int) -> list[int]:
    """Return the bands of a hash, each with its number, so that equal bits at other places are other bands."""
    mask = (1 << _BAND_BITS) - 1
    return [number << _BAND_BITS | bits >> number * _BAND_BITS & mask for number in range(_BANDS)]


def _channels(sample: Sequence[bytes]) -> list[int]:
    """Return the numbers of the channels that differ most, each by what those before it do not show."""
    columns = [[value - sum(column) / len(column) for value in column] for column in zip(*sample, strict=True)]
    chosen: list[int] = []
    for _ in range(_CHANNELS if columns else 0):
        spreads = [sum(value * value for value in column) for column in columns]
        number = max(range(len(columns)), key=spreads.__getitem__)
        if spreads[number] <= 0:
            break
        chosen.append(number)
        axis, spread = columns[number], spreads[number]
        shares = [sum(map(mul, column, axis)) / spread for column in columns]
        columns = [
            [v - share * a for v, a in zip(c, axis, strict=True)] for c, share in zip(columns, shares, strict=True)
        ]
    return chosen
