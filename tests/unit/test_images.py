"""No truncated or damaged image passes, whatever it calls itself."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from batchgen import images
from batchgen.images import DamagedImageError, Examined, examine, sniff

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
def test_a_whole_image_tells_its_type_and_size(name):
    mime = MIMES[name.partition("-")[0].upper()]
    assert examine(VARIANTS[name]) == Examined(mime=mime, width=48, height=40)


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


def test_a_png_whose_pixels_are_short_is_refused_though_every_checksum_holds():
    (ihdr, (kind, pixels), *rest) = chunks(VARIANTS["png"])
    assert kind == b"IDAT"
    with pytest.raises(DamagedImageError, match="does not decode"):
        examine(joined([ihdr, (kind, pixels[: len(pixels) // 2]), *rest]))
    with pytest.raises(DamagedImageError):
        examine(joined([ihdr, *rest]))


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
        saved(noise(), "GIF"),
        saved(noise(), "BMP"),
        saved(noise(), "TIFF"),
        saved(noise(), "PPM"),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_png_jpeg_or_webp_is_refused(data):
    with pytest.raises(DamagedImageError):
        examine(data)


def test_the_refusal_shows_what_came_without_control_characters():
    with pytest.raises(DamagedImageError) as caught:
        examine(b"\x1b]0;x\x07<html>\r\n")
    assert str(caught.value).isprintable()
    assert "<html>" in str(caught.value)


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
    assert examine(saved(image, kind, **options)) == Examined(mime=MIMES[kind], width=5, height=6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animated_image_is_taken_whole_and_refused_when_cut(kind):
    frames = [noise((20, 20)), noise((20, 20)).rotate(90), noise((20, 20)).rotate(180)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert examine(data) == Examined(mime=MIMES[kind], width=20, height=20)
    for cut in range(len(data) // 3, len(data), 23):
        with pytest.raises(DamagedImageError):
            examine(data[:cut])


def test_a_jpeg_with_a_second_picture_inside_is_a_jpeg():
    data = saved(noise((20, 20)), "MPO", save_all=True, append_images=[noise((10, 10))])
    assert examine(data) == Examined(mime="image/jpeg", width=20, height=20)


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
            list(threads.map(examine, work))
        assert list(warnings.filters) == before
