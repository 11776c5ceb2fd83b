"""Thumbnails: size, transparency, orientation and facts; hostile files give an error and no crash."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import pytest
from PIL import Image

from batchgen.files.images import thumbnail
from batchgen.files.images.thumbnail import SIDE, make_thumbnail

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def noise(width: int = 600, height: int = 400, mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((width, height), 90).convert(mode)


def made(data: bytes) -> tuple[thumbnail.PictureFacts, Image.Image]:
    result = make_thumbnail(data, hashlib.sha256(data).hexdigest())
    assert result.facts.error is None
    assert result.data is not None
    image = Image.open(io.BytesIO(result.data))
    image.load()
    assert image.format == "WEBP"
    assert image.size == (result.facts.thumb_width, result.facts.thumb_height)
    assert (result.facts.size_bytes, len(result.facts.dhash), len(result.facts.colour)) == (len(data), 64, 96)
    return result.facts, image


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((600, 400), (SIDE, 256)), ((400, 600), (256, SIDE)), ((40, 20), (40, 20)), ((9000, 3), (SIDE, 1))],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_contains_the_whole_picture(size, expected, form):
    facts, image = made(encoded(noise(*size), form))
    assert image.size == expected
    assert (facts.width, facts.height, facts.mime) == (*size, f"image/{form.lower()}")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "CMYK", "F", "YCbCr", "LAB"])
def test_every_mode_of_pixels_has_a_thumbnail(mode):
    form = {"CMYK": "JPEG", "YCbCr": "JPEG", "I": "TIFF", "F": "TIFF", "LAB": "TIFF"}.get(mode, "PNG")
    source = (
        noise().convert("I").convert("I;16")
        if mode == "I;16"
        else noise().convert("RGB").convert({"I": "L", "F": "L", "LAB": "RGB", "LA": "L"}.get(mode, mode))
    )
    if mode in ("I", "F", "LA"):
        source = source.convert(mode)
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        source = ImageCms.profileToProfile(source, *profiles, outputMode="LAB")
    _, image = made(encoded(source, form))
    assert image.mode == "RGB"


def test_alpha_counts_only_where_it_is_used():
    clear = Image.new("RGBA", (500, 500), (*RED, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 250, 500))
    facts, image = made(encoded(clear))
    assert facts.alpha
    assert (image.mode, image.getpixel((20, 20))[3], image.getpixel((370, 20))[3]) == ("RGBA", 0, 255)
    facts, image = made(encoded(Image.new("RGBA", (500, 500), (*RED, 255))))
    assert (facts.alpha, image.mode) == (False, "RGB")
    palette = clear.quantize(8)
    assert made(encoded(palette))[0].alpha
    assert made(encoded(noise(mode="L"), transparency=0))[0].alpha


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_orientation_is_applied(form):
    turned = Image.new("RGB", (600, 400), BLUE)
    turned.paste(RED, (0, 0, 600, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    facts, image = made(encoded(turned, form, exif=exif))
    assert (facts.width, facts.height, image.size) == (400, 600, (256, SIDE))
    assert image.getpixel((250, 190))[0] > 200 > 60 > image.getpixel((5, 190))[0]


def test_one_colour_is_found_through_the_noise_of_jpeg():
    assert made(encoded(Image.new("RGB", (700, 700), (90, 140, 30)), "JPEG", quality=60))[0].uniform
    dotted = Image.new("RGB", (700, 700), (90, 140, 30))
    dotted.paste(RED, (300, 300, 320, 320))
    assert not made(encoded(dotted))[0].uniform
    clear = Image.new("RGBA", (700, 700), (0, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 350, 700))
    assert not made(encoded(clear))[0].uniform


def test_c2pa_is_found_in_every_container():
    png = encoded(noise())
    with_chunk = png[:33] + chunk(b"caBX", b"\0\0\0\x20jumbc2pa") + png[33:]
    jpeg = encoded(noise(), "JPEG")
    segment = b"JP\0\1\0\0\0\1\0\0\0\x40jumb" + b"\0\0\0\x10jumdc2pa" + bytes(40)
    with_segment = jpeg[:2] + b"\xff\xeb" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    webp = encoded(noise(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    webp += b"C2PA" + struct.pack("<I", 6) + b"c2pa\0\0"
    webp = webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:]
    assert [made(data)[0].c2pa for data in (with_chunk, with_segment, webp)] == [True, True, True]
    assert [made(encoded(noise(), form))[0].c2pa for form in ("PNG", "JPEG", "WEBP")] == [False] * 3


def hostile() -> dict[str, bytes]:
    png, jpeg, webp = (encoded(noise(), form) for form in ("PNG", "JPEG", "WEBP"))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    return {
        "empty": b"",
        "text": b"<html>502 Bad Gateway</html>",
        "bomb": bomb,
        "cut png": png[: len(png) // 2],
        "cut jpeg": jpeg[: len(jpeg) // 2],
        "cut webp": webp[: len(webp) // 2],
        "cut head": png[:20],
        "noise": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
        "webp of nothing": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_file_gives_an_error(name):
    data = hostile()[name]
    result = make_thumbnail(data, "0" * 64)
    assert result.data is None
    assert result.facts.error
    assert (result.facts.dhash, result.facts.size_bytes) == ("", len(data))


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_shows_its_first_frame(form):
    frames = [Image.new("RGB", (500, 300), colour) for colour in (RED, BLUE)]
    _, image = made(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
    assert image.getpixel((100, 100))[0] > 240


def test_hash_and_colours_survive_another_encoding():
    picture = Image.linear_gradient("L").resize((800, 600)).convert("RGB")
    picture.paste(RED, (100, 100, 300, 500))
    picture.paste(BLUE, (500, 50, 700, 300))
    first, second = made(encoded(picture))[0], made(encoded(picture.resize((640, 480)), "JPEG", quality=70))[0]
    assert (int(first.dhash, 16) ^ int(second.dhash, 16)).bit_count() <= 6
    cells = zip(bytes.fromhex(first.colour), bytes.fromhex(second.colour), strict=True)
    assert max(abs(one - other) for one, other in cells) <= 4
