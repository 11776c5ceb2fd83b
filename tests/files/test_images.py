"""No truncated or damaged image passes, whatever it calls itself."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image, ImageFile, PngImagePlugin

from batchgen.files import images
from batchgen.files.images import (
    DamagedImageError,
    ImageInfo,
    UnknownFormatError,
    decode,
    examine,
    require_whole,
    sniff,
)
from batchgen.files.images.decoding import Memory
from tests.timing import patience

MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def noise(size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """Pixels that do not compress, so that a cut anywhere is a cut in the picture."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(7).randbytes(size[0] * size[1] * bands))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(kind: str, **options: object) -> bytes:
    return saved(noise(), kind, **options)


VARIANTS = {
    "png": photo("PNG"),
    "png-grey": saved(noise(mode="L"), "PNG"),
    "png-rgba": saved(noise(mode="RGBA"), "PNG"),
    "jpeg": photo("JPEG", quality=90),
    "jpeg-progressive": photo("JPEG", quality=90, progressive=True),
    "jpeg-cmyk": saved(noise(mode="CMYK"), "JPEG"),
    "webp": photo("WEBP", quality=80),
    "webp-lossless": photo("WEBP", lossless=True),
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], 8
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        found.append((kind, png[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_whole_image_shows_its_type_and_size(name):
    mime = MIMES[name.partition("-")[0].upper()]
    assert examine(VARIANTS[name]) == ImageInfo(mime=mime, width=48, height=40)


@pytest.mark.parametrize("name", VARIANTS)
def test_no_truncation_passes_wherever_it_is_cut(name):
    data = VARIANTS[name]
    # every early and every late byte, and steps in between; a JPEG's end marker alone is two bytes
    cuts = {*range(64), *range(64, len(data), 37), *range(len(data) - 64, len(data))}
    for cut in sorted(cuts):
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


# a WebP has no checksum and no marker inside: zeros are pixels to it, and only its length can be held against it
@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("webp")])
def test_no_truncation_passes_that_was_filled_up_with_zeros(name):
    data = VARIANTS[name]
    for cut in range(16, len(data) - 64, 101):
        with pytest.raises(DamagedImageError):
            examine(data[:cut] + bytes(len(data) - cut))


def test_a_jpeg_cut_in_half_is_refused_where_verify_lets_it_pass():
    half = VARIANTS["jpeg"][: len(VARIANTS["jpeg"]) // 2]
    with Image.open(io.BytesIO(half)) as image:
        image.verify()
    with pytest.raises(DamagedImageError, match="cut off"):
        examine(half)


def test_a_jpeg_cut_behind_a_thumbnails_end_marker_is_refused():
    thumbnail = saved(noise((16, 12)), "JPEG")
    whole = VARIANTS["jpeg"]
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2 + 6) + b"Thumb\0" + thumbnail
    data = whole[:2] + app1 + whole[2:]
    assert examine(data).width == 48
    for extra in range(0, 60, 7):
        with pytest.raises(DamagedImageError):
            examine(data[: 2 + len(app1) + extra])


@pytest.mark.parametrize("name", ["png", "png-grey", "png-rgba"])
def test_no_flipped_byte_in_a_png_passes(name):
    data = VARIANTS[name]
    for position in {*range(0, len(data), 29), *range(60), *range(len(data) - 16, len(data))}:
        broken = bytearray(data)
        broken[position] ^= 0x41
        with pytest.raises(DamagedImageError):
            examine(bytes(broken))


def test_a_flipped_byte_in_a_text_chunk_is_noticed_too():
    parts = chunks(VARIANTS["png"])
    data = joined([parts[0], (b"tEXt", b"Comment\0signed provenance"), *parts[1:]])
    assert examine(data).width == 48
    with pytest.raises(DamagedImageError, match=r"tEXt.*checksum"):
        examine(data.replace(b"provenance", b"pr0venance"))


def test_png_with_missing_pixels_is_refused():
    (ihdr, (kind, pixels), *rest) = chunks(VARIANTS["png"])
    assert kind == b"IDAT"
    half = joined([ihdr, (kind, pixels[: len(pixels) // 2]), *rest])
    with pytest.raises(DamagedImageError, match="pixels is missing"):
        examine(half)
    with pytest.raises(DamagedImageError, match="does not decode"):
        decode(half)
    with pytest.raises(DamagedImageError):
        examine(joined([ihdr, *rest]))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (5, 6), (33, 17), (3, 9)])
def test_a_source_png_has_as_many_pixels_as_it_says(mode, size, interlace):
    head, *rest = chunks(saved(Image.new(mode, size), "PNG"))
    pixels = zlib.decompress(b"".join(data for kind, data in rest if kind == b"IDAT"))
    if interlace:
        whole = head[1][8] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[head[1][9]]  # bits of a sample, samples of a pixel
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        sizes = [(len(range(x, size[0], dx)), len(range(y, size[1], dy))) for x, y, dx, dy in passes]
        pixels = bytes(sum(rows * (1 + (columns * whole + 7) // 8) for columns, rows in sizes if columns))
        head = (head[0], head[1][:12] + b"\1")
    others = [(kind, data) for kind, data in rest if kind not in (b"IDAT", b"IEND")]

    def made(content: bytes) -> bytes:
        return joined([head, *others, (b"IDAT", content[:3]), (b"IDAT", content[3:]), (b"IEND", b"")])

    require_whole("image/png", made(zlib.compress(pixels)))
    assert examine(made(zlib.compress(pixels))).width == size[0]
    for short in (zlib.compress(pixels[:-1]), zlib.compress(b""), b"no deflated data"):
        with pytest.raises(DamagedImageError, match="pixels"):
            require_whole("image/png", made(short))
        with pytest.raises(DamagedImageError):
            examine(made(short))


def test_large_source_png_is_not_inflated():
    head = (b"IHDR", struct.pack(">IIBBBBB", 5000, 5000, 8, 2, 0, 0, 0))
    for pixels, whole in ((bytes(75_005_000), True), (bytes(100_000), False)):
        data = joined([head, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")])
        if whole:
            require_whole("image/png", data)
        else:
            with pytest.raises(DamagedImageError, match="missing"):
                require_whole("image/png", data)


def test_a_webp_that_lies_about_its_length_is_refused():
    data = VARIANTS["webp"]
    half = bytearray(data[: len(data) // 2])
    struct.pack_into("<I", half, 4, len(half) - 8)
    with pytest.raises(DamagedImageError):
        examine(bytes(half))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"RIFF\x04\0\0\0WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b'{"error": {"message": "no"}}',
        b"GIF89a" + bytes(40),
        b"BM" + bytes(60),
        b"%PDF-1.7 ",
        bytes(4096),
        random.Random(1).randbytes(4096),
        b"\x89PNG\r\n\x1a\n" + random.Random(2).randbytes(4096),
        b"\xff\xd8\xff" + random.Random(3).randbytes(4096) + b"\xff\xd9",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_whole_image_is_refused(data):
    with pytest.raises(DamagedImageError):
        examine(data)


def test_the_refusal_shows_what_came_without_control_characters():
    with pytest.raises(DamagedImageError) as caught:
        examine(b"\x1b]0;x\x07<html>\r\n")
    assert str(caught.value).isprintable()
    assert r"starting with '\x1b]0;x\x07<html>\r\n'" in str(caught.value)


def bomb(side: int) -> bytes:
    ihdr = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = b"\0" + bytes((side + 7) // 8)
    packer = zlib.compressobj()
    pixels = b"".join(packer.compress(row) for _ in range(64)) + packer.flush()
    return joined([(b"IHDR", ihdr), (b"IDAT", pixels), (b"IEND", b"")])


@pytest.mark.parametrize("side", [8001, 9000, 12_000, 30_000, 60_000])
def test_a_bomb_is_refused_before_it_is_inflated(side):
    assert side * side > images.MAX_PIXELS
    with pytest.raises(DamagedImageError, match=r"pixels|bomb"):
        examine(bomb(side))


def test_the_largest_size_on_offer_is_far_from_the_limit():
    assert examine(saved(Image.new("1", (3840, 2160)), "PNG")).width == 3840


@pytest.mark.parametrize(
    ("name", "image", "kind", "options"),
    [
        ("16 bit", Image.new("I;16", (5, 6), 40_000), "PNG", {}),
        ("black and white", Image.new("1", (5, 6)), "PNG", {}),
        ("grey with alpha", Image.new("LA", (5, 6), (9, 9)), "PNG", {}),
        ("palette", noise((5, 6)).quantize(8), "PNG", {}),
        ("palette with alpha", noise((5, 6)).quantize(8), "PNG", {"transparency": b"\x00\x80\xff"}),
        ("interlaced size of one", Image.new("RGB", (5, 6)), "PNG", {"interlace": 1}),
        ("cmyk", Image.new("CMYK", (5, 6)), "JPEG", {}),
        ("grey", Image.new("L", (5, 6)), "JPEG", {}),
        ("alpha", Image.new("RGBA", (5, 6)), "WEBP", {}),
        ("with exif", Image.new("RGB", (5, 6)), "JPEG", {"exif": b"Exif\0\0broken"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_ordinary_kind_of_pixel_is_taken(name, image, kind, options):
    assert examine(saved(image, kind, **options)) == ImageInfo(mime=MIMES[kind], width=5, height=6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animated_image_is_taken_whole_and_refused_when_cut(kind):
    frames = [noise((20, 20)), noise((20, 20)).rotate(90), noise((20, 20)).rotate(180)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert examine(data) == ImageInfo(mime=MIMES[kind], width=20, height=20)
    for cut in range(len(data) // 3, len(data), 23):
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


def test_a_jpeg_with_a_second_picture_inside_is_a_jpeg():
    data = saved(noise((20, 20)), "MPO", save_all=True, append_images=[noise((10, 10))])
    assert examine(data) == ImageInfo(mime="image/jpeg", width=20, height=20)


def test_a_few_bytes_behind_the_end_do_no_harm():
    for name in ("png", "jpeg", "webp"):
        assert examine(VARIANTS[name] + bytes(16)).width == 48
    assert examine(VARIANTS["png"] + b"<script>alert(1)</script>" * 50).extension == "png"


def test_the_extension_follows_the_bytes():
    assert {examine(VARIANTS[name]).extension for name in ("png", "jpeg", "webp")} == {"png", "jpg", "webp"}
    assert [sniff(VARIANTS[name]) for name in ("png", "jpeg", "webp")] == list(MIMES.values())
    assert sniff(b"RIFF\0\0\0\0WAVE") is None


def test_many_threads_leave_the_warning_filters_as_they_were():
    work = [saved(noise((side, side)), "PNG", compress_level=1) for side in (300, 40, 200, 90)] * 40
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(decode, work))
        assert list(warnings.filters) == before


# --- JPEG -------------------------------------------------------------------------------------------------------------

END = b"\xff\xd9"


def smooth(size: tuple[int, int]) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert("RGB")


def half_empty(size: tuple[int, int]) -> Image.Image:
    """Detail above and nothing below, where a decoder that fills up what is missing is nearly right."""
    image = Image.new("RGB", size, (128, 128, 128))
    image.paste(noise((size[0], size[1] // 2)), (0, 0))
    return image


def jpegs() -> dict[str, bytes]:
    pictures = {"noise": noise((97, 70)), "smooth": smooth((97, 70)), "half": half_empty((97, 70))}
    ways = {"plain": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 5}}
    sampling = {"444": ("RGB", 0), "422": ("RGB", 1), "420": ("RGB", 2), "grey": ("L", 0), "cmyk": ("CMYK", 0)}
    return {
        f"{picture}-{way}-{colors}-{quality}": saved(
            pictures[picture].convert(sampling[colors][0]), "JPEG", subsampling=sampling[colors][1], quality=quality,
            **ways[way],
        )
        for picture, way, colors, quality in itertools.product(pictures, ways, sampling, (40, 95))
    }  # fmt: skip


JPEGS = jpegs()


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_cut_anywhere_is_refused(name):
    data = JPEGS[name]
    assert examine(data).width == 97
    for number in range(50):
        cut = 4 + (len(data) - 12) * number // 49
        for behind in (b"", bytes(64)):
            with pytest.raises(DamagedImageError, match="JPEG"):
                examine(data[:cut] + END + behind)


@pytest.mark.parametrize("behind", [bytes(100), bytes(100_000), b"\0\0\0\x1cftypmp42" + bytes(9000), b"SEFT" * 50, END])
def test_whatever_lies_behind_the_end_of_a_jpeg_does_not_count(behind):
    for name in ("jpeg", "jpeg-progressive", "jpeg-cmyk"):
        assert examine(VARIANTS[name] + behind).width == 48
        assert examine(VARIANTS[name] + VARIANTS["jpeg"] + behind).width == 48


def test_a_jpeg_cut_in_half_is_refused_though_a_whole_one_follows():
    for name in ("jpeg", "jpeg-progressive"):
        data = VARIANTS[name]
        for end in (b"", END):
            with pytest.raises(DamagedImageError):
                examine(data[: len(data) // 2] + end + VARIANTS["jpeg"])


def test_a_source_and_a_result_go_by_one_rule():
    for name in ("noise-plain-420-95", "smooth-progressive-444-40"):
        data = JPEGS[name]
        require_whole("image/jpeg", data + bytes(5000))
        with pytest.raises(DamagedImageError):
            require_whole("image/jpeg", data[: len(data) // 2] + END)


def test_a_jpeg_with_an_end_marker_in_its_metadata_is_whole():
    thumbnail = b"Exif\0\0" + saved(noise((16, 12)), "JPEG")
    data = saved(noise(), "JPEG", exif=thumbnail, comment=b"a\xff\xd9b", icc_profile=thumbnail * 300)
    assert examine(data).width == 48
    with pytest.raises(DamagedImageError):
        examine(data[: len(data) - 1500] + END)


def segments(jpeg: bytes) -> tuple[list[bytes], bytes]:
    """Return the segments before the scan of a JPEG, and its scan."""
    found, position = [], 2
    while True:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        found.append(jpeg[position:end])
        if jpeg[position + 1] == 0xDA:
            return found, jpeg[end:-2]
        position = end


def in_three_scans() -> list[bytes]:
    """Return a baseline JPEG whose colors come one after another: the head, each scan, the end."""
    grey = [saved(noise((48, 40), "L").rotate(turn), "JPEG", quality=80) for turn in (0, 180, 0)]
    head = [part for part in segments(grey[0])[0] if part[1] != 0xDA]
    at = next(number for number, part in enumerate(head) if part[1] == 0xC0)
    colors = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    head[at] = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 40, 48, 3) + colors
    scans = [
        b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, number, 0, 0, 63, 0) + segments(picture)[1]
        for number, picture in enumerate(grey, 1)
    ]
    return [b"\xff\xd8" + b"".join(head), *scans, END]


@pytest.mark.parametrize("where", [2, -2])
def test_a_long_run_of_fill_bytes_in_a_jpeg_is_read_once(where):
    whole = jpegs()["half-plain-420-95"]
    began = time.process_time()
    with suppress(DamagedImageError):
        examine(whole[:where] + b"\xff" * 300_000)
    assert examine(whole[:where] + b"\xff" * 300_000 + whole[where:]).mime == "image/jpeg"
    assert time.process_time() - began < patience(5)  # counted again from each of its bytes, a run took minutes


def test_many_comments_that_lead_to_no_svg_are_read_once():
    began = time.process_time()
    with pytest.raises(DamagedImageError, match="not an image"):
        examine(b"<!---->" * 500)
    with pytest.raises(UnknownFormatError) as caught:
        examine(b"<?xml version='1.0'?>\n" + b"<!-- a -->\n" * 50 + b"<!DOCTYPE svg>\n<svg width='9'/>")
    assert caught.value.extension == "svg"
    assert time.process_time() - began < patience(5)


def test_a_jpeg_in_several_scans_lacks_none_of_them():
    parts = in_three_scans()
    assert examine(b"".join(parts)) == ImageInfo(mime="image/jpeg", width=48, height=40)
    for scans in (1, 2):
        with pytest.raises(DamagedImageError, match="cut off"):
            examine(b"".join(parts[: scans + 1]) + END)
    last = parts[3]
    for cut in range(20, len(last) - 8, 31):
        with pytest.raises(DamagedImageError):
            examine(b"".join(parts[:3]) + last[:cut] + END)


def test_a_progressive_jpeg_lacks_no_scan():
    data = JPEGS["noise-progressive-420-95"]
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        with pytest.raises(DamagedImageError):
            examine(data[:start] + END)


def test_a_jpeg_of_a_kind_that_no_decoder_here_reads_is_no_damage():
    data = bytearray(VARIANTS["jpeg"])
    data[data.index(b"\xff\xc0") + 1] = 0xC5  # differential: a start of frame that hardly anything writes or reads
    with pytest.raises(UnknownFormatError) as caught:
        examine(bytes(data))
    assert caught.value.extension == "jpg"


# --- other formats ----------------------------------------------------------------------------------------------------

OTHERS = {
    "gif": ("image/gif", saved(noise(), "GIF")),
    "avif": ("image/avif", saved(noise(), "AVIF")),
    "bmp": ("image/bmp", saved(noise(), "BMP")),
    "bmp-8": ("image/bmp", saved(noise().quantize(16), "BMP")),
    "tiff": ("image/tiff", saved(noise(), "TIFF")),
    "tiff-lzw": ("image/tiff", saved(noise(), "TIFF", compression="tiff_lzw")),
    "tiff-deflate": ("image/tiff", saved(noise(), "TIFF", compression="tiff_adobe_deflate")),
    "jp2": ("image/jp2", saved(noise(), "JPEG2000")),
    "pnm": ("image/x-portable-anymap", saved(noise(), "PPM")),
    "qoi": ("image/qoi", saved(noise(), "QOI")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_image_of_another_format_is_taken_whole_only(name):
    mime, data = OTHERS[name]
    facts = examine(data)
    assert facts == ImageInfo(mime=mime, width=48, height=40)
    assert facts.extension == name.partition("-")[0]
    assert examine(data + bytes(500)) == facts
    last = len(data) - (8 if name == "qoi" else 1)  # the end marker of a QOI says nothing of its pixels
    for cut in {*range(0, last, 41), last // 2, last - 1}:
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


def test_an_icon_is_taken_whole_and_refused_when_cut():
    data = saved(noise((64, 64)), "ICO", sizes=[(16, 16), (48, 48)])
    assert examine(data) == ImageInfo(mime="image/x-icon", width=48, height=48)
    for cut in range(0, len(data), 57):
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "TIFF"])
def test_every_frame_of_an_animation_is_there(kind):
    frames = [noise((20, 20)), noise((20, 20)).rotate(90), noise((20, 20)).rotate(180)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert (examine(data).width, examine(data).height) == (20, 20)
    for cut in (*range(len(data) // 3, len(data) - 40, 23), len(data) - 40):
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


def iso_media(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + random.Random(9).randbytes(900)


@pytest.mark.parametrize(
    ("extension", "data"),
    [
        ("heic", iso_media(b"heic")),
        ("heic", iso_media(b"mif1")),
        ("jxl", b"\xff\x0a" + random.Random(5).randbytes(800)),
        ("jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + random.Random(5).randbytes(800)),
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'),
        ("svg", b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by x -->\n<!DOCTYPE svg PUBLIC "a" "b">\n<svg></svg>'),
        ("pdf", b"%PDF-1.7\n" + random.Random(5).randbytes(800)),
        ("psd", b"8BPS\0\1" + random.Random(5).randbytes(800)),
        ("mp4", b"\0\0\0\x14ftypisom\0\0\2\0isom" + random.Random(5).randbytes(800)),
        ("bin", random.Random(5).randbytes(4096)),
    ],
)
def test_undecodable_image_is_not_called_damaged(extension, data):
    with pytest.raises(UnknownFormatError) as caught:
        examine(data)
    assert caught.value.extension == extension
    assert str(caught.value).isprintable()
    assert "cannot be read" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b"<html><body><h1>Sorry</h1><svg></svg></body></html>",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b'{"error": {"message": "no"}}',
        b"upstream connect error or disconnect/reset before headers",
        "Dienst nicht verf\u00fcgbar, bitte sp\u00e4ter".encode("latin-1"),
        "<html>\u65e0\u6cd5\u8bbf\u95ee</html>".encode("utf-16"),
        "\u670d\u52a1\u5668\u7e41\u5fd9\uff0c\u8bf7\u7a0d\u540e\u518d\u8bd5".encode(),
        b"BMW i3, P5 and P6, qoi",
        b"",
        bytes(4096),
        b"\x89PNG\r\n",
        OTHERS["avif"][1][:14],
    ],
    ids=lambda data: repr(data[:14]),
)
def test_text_and_scraps_are_no_pictures_of_an_unknown_format(data):
    with pytest.raises(DamagedImageError) as caught:
        examine(data)
    assert not isinstance(caught.value, UnknownFormatError)


def test_a_format_that_this_pillow_lacks_is_no_damage(monkeypatch):
    monkeypatch.setattr("batchgen.files.images.decoding.features.check", lambda name: name != "avif")
    with pytest.raises(UnknownFormatError, match="AVIF") as caught:
        examine(OTHERS["avif"][1])
    assert caught.value.extension == "avif"


# --- what is this machine's ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        (MemoryError(), MemoryError),
        (OSError("out of memory error when reading image file"), MemoryError),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), OSError),
        (RuntimeError("can't start new thread"), RuntimeError),
        (OSError("broken data stream when reading image file"), DamagedImageError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["png", "jpeg", "jpeg-progressive", "webp"])
def test_a_machine_that_fails_is_told_from_an_image_that_is_damaged(monkeypatch, name, trouble, shown):
    def load(_image: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        # WebP and PNG have their own, which end in the common one
        patch.setattr(ImageFile.ImageFile, "load", load)
        patch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", load)
        with pytest.raises(shown) as caught:
            decode(VARIANTS[name])
    assert isinstance(caught.value, DamagedImageError) == (shown is DamagedImageError)
    assert examine(VARIANTS[name]).width == 48


def test_no_remark_of_the_library_reaches_the_terminal():
    code = """
        import sys
        from batchgen.files.images import DamagedImageError, examine
        try:
            print(examine(sys.stdin.buffer.read()).width)
        except DamagedImageError:
            print("damaged")
        """
    jpeg = saved(noise(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0f\x01\x02\0\xff\xff\0\0")
    mpo = saved(noise(), "MPO", save_all=True, append_images=[noise((10, 10))]).replace(b"MPF\0II", b"MPF\0XX")
    head, *rest = chunks(VARIANTS["png"])
    actl = joined([head, (b"acTL", struct.pack(">II", 0, 0)), *rest])
    samples = struct.pack("<HHI", 277, 3, 1)
    tiff = OTHERS["tiff"][1].replace(samples + b"\3", samples + b"\x63")
    for data, shown in ((jpeg, b"48\n"), (mpo, b"48\n"), (actl, b"48\n"), (tiff, b"damaged\n")):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            input=data,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert (done.stdout, done.stderr) == (shown, b"")


FOUR_LARGE = """
    import re, struct, zlib
    from pathlib import Path
    from concurrent.futures import ThreadPoolExecutor
    from batchgen.files.images import MAX_PIXELS, decode

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def large(side):
        packer = zlib.compressobj(1)
        row = b"\\0" + bytes(range(240)) * (side * 6 // 240)
        pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
        head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
        return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    side = 8000
    assert side * side == MAX_PIXELS
    data = large(side)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(decode, [data, *(bytes(bytearray(data)) for _ in range(3))]))
    assert [facts.width for facts in found] == [side] * 4
    # Not getrusage: its peak begins with that of the process that started this one.
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
    """


def test_four_readers_of_largest_images_stay_within_600_mb():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FOUR_LARGE)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 600  # 300 measured; 990 without the bound


def test_memory_is_never_lent_twice_and_everybody_gets_a_turn():
    memory, lock = Memory(100), threading.Lock()
    held, most, alone = [0], [0], []

    def work(size: int) -> None:
        with memory.reserve(size):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
                if size > 100:
                    alone.append(held[0] == size)
            threading.Event().wait(0.001)
            with lock:
                held[0] -= size

    sizes = [10, 30, 250, 60, 100, 1] * 20
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, sizes))
    assert held == [0]
    assert alone == [True] * 20
    assert 60 < most[0] <= 250


def test_memory_is_given_back_after_an_error():
    memory = Memory(10)
    for _ in range(3):
        with pytest.raises(KeyError), memory.reserve(10):
            raise KeyError
    with memory.reserve(10):
        pass


def test_pixels_are_gone_before_the_memory_is_given_back(monkeypatch):
    order = []

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        order.append(size)
        yield
        order.append("given back")

    monkeypatch.setattr(images.memory, "reserve", reserve)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "close", lambda image: order.append("closed"))
    decode(VARIANTS["png"])
    assert order == [48 * 40 * 4, "closed", "given back"]


def test_whatever_is_broken_in_an_image_is_damage_and_no_crash():
    chance = random.Random(11)
    pool = [*VARIANTS.values(), *(data for mime, data in OTHERS.values() if mime != "image/tiff"), *in_three_scans()]
    for _ in range(3000):
        data = bytearray(chance.choice(pool))
        for _ in range(chance.choice((1, 2, 8))):
            at = chance.randrange(min(len(data), chance.choice((40, 700, 10**6))))
            match chance.randrange(4):
                case 0:
                    del data[at + 1 :]
                case 1:
                    data[at:at] = chance.randbytes(9)
                case _:
                    data[at] = chance.randrange(256)
        for check in (examine, decode, lambda given: require_whole(sniff(given) or "", given)):
            with suppress(DamagedImageError):
                check(bytes(data))
