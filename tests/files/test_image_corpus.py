"""The cheap check of an image refuses whatever decoding all of it refuses: cuts, flips and zeros in every kind."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest

from batchgen.files.images import DamagedImageError, ImageInfo, decode, examine

from .test_images import joined, noise, saved


def animated(kind: str) -> bytes:
    frames = [noise((20, 20)), noise((20, 20)).rotate(90)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def textured(side: int) -> bytes:
    """Return a PNG with more bytes of pixels than are counted."""
    return saved(noise((side, side)), "PNG", compress_level=1)


SMALL = {
    "png": saved(noise((12, 9)), "PNG"),
    "png-grey": saved(noise((12, 9), "L"), "PNG"),
    "png-rgba": saved(noise((9, 9), "RGBA"), "PNG"),
    "png-palette": saved(noise((12, 9)).quantize(8), "PNG", transparency=b"\x00\x80\xff"),
    "png-bits": saved(noise((40, 30)).convert("1"), "PNG"),
    "png-16": saved(noise((12, 9), "L").convert("I;16"), "PNG"),
    "png-animated": animated("PNG"),
    "jpeg": saved(noise((24, 18)), "JPEG", quality=85),
    "jpeg-grey": saved(noise((24, 18), "L"), "JPEG", quality=60),
    "jpeg-progressive": saved(noise((24, 18)), "JPEG", quality=85, progressive=True),
    "jpeg-restarts": saved(noise((48, 34)), "JPEG", quality=70, restart_marker_blocks=2),
    "webp": saved(noise((24, 18)), "WEBP", quality=80),
    "webp-lossless": saved(noise((24, 18)), "WEBP", lossless=True),
    "webp-alpha": saved(noise((24, 18), "RGBA"), "WEBP", quality=60),
    "webp-animated": animated("WEBP"),
}
LARGE = {
    "png": textured(640),
    "jpeg": saved(noise((400, 300)), "JPEG", quality=80, subsampling=2),
    "jpeg-progressive": saved(noise((200, 150)), "JPEG", quality=80, progressive=True),
    "webp": saved(noise((160, 120)), "WEBP", quality=70),
}


def verdict(check: Callable[[bytes], ImageInfo], data: bytes) -> ImageInfo | None:
    try:
        return check(data)
    except DamagedImageError:
        return None


def assert_as_strict(data: bytes, name: str, where: object) -> bool:
    """Assert that no damage passes which decoding detects; return whether *data* passes."""
    facts = verdict(examine, data)
    if facts is not None:
        assert verdict(decode, data) == facts, f"{name}: {where} passes"
    return facts is not None


def damage(whole: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Return *whole* with one kind of damage, most often a flipped bit, and what it is."""
    data, at = bytearray(whole), chance.randrange(len(whole))
    match chance.randrange(10):
        case 0:
            size = chance.randrange(1, 40)
            data[at : at + size] = bytes(len(data[at : at + size]))
            return bytes(data), f"{size} zeros at {at}"
        case 1:
            del data[at : at + chance.randrange(1, 9)]
            return bytes(data), f"bytes missing at {at}"
        case _:
            bit = chance.randrange(8)
            data[at] ^= 1 << bit
            return bytes(data), f"bit {bit} of byte {at}"


def damaged(whole: bytes, count: int, seed: int) -> Iterator[tuple[bytes, str]]:
    chance = random.Random(seed)
    for _ in range(count):
        yield damage(whole, chance)


@pytest.mark.parametrize("name", SMALL)
def test_every_cut_of_a_small_image_is_refused(name):
    whole = SMALL[name]
    assert examine(whole) == decode(whole)
    assert [cut for cut in range(len(whole)) if assert_as_strict(whole[:cut], name, f"cut at {cut}")] == []


@pytest.mark.parametrize("name", LARGE)
def test_cut_of_a_large_image_is_refused(name):
    whole = LARGE[name]
    assert examine(whole) == decode(whole)
    for cut in sorted({*range(1, 40), *range(40, len(whole), len(whole) // 20), len(whole) - 1, len(whole) - 2}):
        assert verdict(examine, whole[:cut]) is None, cut


@pytest.mark.parametrize("name", [*SMALL, *(f"large {name}" for name in LARGE)])
def test_damage_that_decoding_detects_is_detected(name):
    whole = LARGE[name.removeprefix("large ")] if name.startswith("large") else SMALL[name]
    for data, what in damaged(whole, 120, seed=13):
        assert not (assert_as_strict(data, name, what) and name.startswith(("png", "large png"))), what


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_ten_thousand_damages_that_decoding_detects_are_detected(kind):
    files = [(name, data) for name, data in (*SMALL.items(), *LARGE.items()) if name.startswith(kind)]
    for name, whole in files:
        for data, what in damaged(whole, 10_000 // len(files), seed=len(whole)):
            assert_as_strict(data, name, what)


def test_png_is_followed_by_anything():
    whole = SMALL["png"]
    assert examine(whole + whole) == examine(whole + SMALL["jpeg"]) == examine(whole)
    assert verdict(examine, whole[:-12] + whole) is None
    assert_as_strict(whole[:-12] + SMALL["png-grey"][8:], "png", "a second header in place of its end")


def test_png_with_an_unknown_filter_is_refused():
    head = (b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0))
    for filters, passes in ((b"\0\4\2", True), (b"\0\5\2", False)):
        rows = b"".join(bytes((number,)) + b"abcd" for number in filters)
        data = joined([head, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])
        assert (verdict(decode, data) is not None, verdict(examine, data) is not None) == (passes, passes)
