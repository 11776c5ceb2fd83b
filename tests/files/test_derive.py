"""Derived copies: sizes, colours and metadata, pixel by pixel."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageCms

from batchgen.copies import CopySpec
from batchgen.files.images import DamagedImageError
from batchgen.files.images.derive import DerivedImage, Original

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def plain(width: int, height: int, colour: tuple[int, ...] = RED) -> bytes:
    return encoded(Image.new("RGBA" if len(colour) == 4 else "RGB", (width, height), colour))


def made(data: bytes, **fields: object) -> tuple[DerivedImage, Image.Image]:
    with Original(data) as original:
        copy = original.copy(CopySpec(name="shop", **fields))  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(copy.data))
    image.load()
    assert (copy.width, copy.height, copy.mime) == (*image.size, f"image/{(image.format or '').lower()}")
    return copy, image


@pytest.mark.parametrize(
    ("source", "size", "fit", "enlarge", "expected"),
    [
        ((400, 200), (100, 100), "inside", False, (100, 50)),
        ((400, 200), (100, None), "inside", False, (100, 50)),
        ((400, 200), (None, 100), "inside", False, (200, 100)),
        ((40, 20), (100, 100), "inside", False, (40, 20)),
        ((40, 20), (100, 100), "inside", True, (100, 50)),
        ((400, 200), (100, 100), "contain", False, (100, 100)),
        ((40, 20), (100, 100), "contain", False, (100, 100)),
        ((400, 200), (100, 100), "cover", False, (100, 100)),
        ((40, 20), (100, 100), "cover", False, (20, 20)),
        ((40, 20), (100, 100), "cover", True, (100, 100)),
        ((400, 200), (100, 100), "fill", False, (100, 100)),
        ((40, 200), (100, 100), "fill", False, (40, 100)),
        ((5000, 1), (100, 100), "inside", False, (100, 1)),
        ((400, 200), (None, None), "inside", False, (400, 200)),
    ],
)
def test_a_copy_fits_its_size(source, size, fit, enlarge, expected):
    _, image = made(plain(*source), format="png", width=size[0], height=size[1], fit=fit, enlarge=enlarge)
    assert image.size == expected


def test_a_cover_keeps_the_middle_and_a_frame_has_the_background():
    striped = Image.new("RGB", (300, 100), BLUE)
    striped.paste(RED, (100, 0, 200, 100))
    _, middle = made(encoded(striped), format="png", width=90, height=90, fit="cover")
    assert {middle.getpixel((x, 45)) for x in (5, 45, 85)} == {RED}
    _, framed = made(plain(200, 100), format="png", width=80, height=80, fit="contain", background=(*WHITE, 255))
    assert [framed.getpixel((40, y)) for y in (5, 40, 75)] == [WHITE, RED, WHITE]
    assert framed.mode == "RGB"


def test_transparency_is_kept_or_laid_on_the_background():
    clear = plain(20, 20, (255, 0, 0, 0))
    _, kept = made(clear, format="webp")
    assert kept.getpixel((5, 5))[3] == 0
    _, white = made(clear, format="jpeg")
    assert white.mode == "RGB"
    assert min(white.getpixel((5, 5))) > 250
    _, blue = made(clear, format="png", background=(0, 0, 255, 255))
    assert (blue.mode, blue.getpixel((5, 5))) == ("RGB", BLUE)


def test_the_edge_of_a_transparent_image_is_not_darkened():
    """A cut-out on white gets no dark fringe: colours are weighted by their alpha when an image shrinks."""
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (50, 0, 100, 100))
    _, small = made(encoded(image), format="png", width=10, height=10, background=(*WHITE, 255))
    assert {small.getpixel((x, 5)) for x in range(10)} == {WHITE}


def test_an_image_is_turned_upright_and_says_nothing_else():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    turned = encoded(Image.new("RGB", (60, 30), RED), "JPEG", exif=exif, comment=b"secret")
    copy, image = made(turned, format="jpeg")
    assert image.size == (30, 60)
    assert dict(image.getexif()) == {}
    assert b"secret" not in copy.data


def test_an_image_with_damaged_metadata_can_be_copied():
    data = encoded(Image.new("RGB", (60, 30), RED), "WEBP", exif=b"Exif\0\0no TIFF at all")
    assert made(data, format="webp", width=30)[1].size == (30, 15)


def test_the_colour_profile_is_kept():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("jpeg", "png", "webp", "avif"):
        _, image = made(encoded(Image.new("RGB", (9, 9)), icc_profile=profile), format=form, width=4)
        assert image.info["icc_profile"] == profile, form


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "RGBA"])
@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_every_kind_of_image_can_be_copied(mode, form):
    image = Image.new(mode, (30, 20), 65_535 if mode == "I;16" else 0)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    _, copy = made(data, format=form, width=15)
    assert copy.size == (15, 10)
    if mode == "I;16":
        assert min(copy.convert("L").getextrema()) > 250


def test_quality_changes_the_bytes_and_the_same_recipe_does_not():
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    for form in ("jpeg", "webp", "avif"):
        low, high = (made(encoded(noise), format=form, quality=quality)[0].data for quality in (20, 95))
        assert len(low) < len(high) / 2
        assert made(encoded(noise), format=form, quality=20)[0].data == low


def test_the_format_of_the_image_is_the_default():
    assert made(encoded(Image.new("RGB", (9, 9)), "WEBP"), width=4)[0].mime == "image/webp"
    with pytest.raises(DamagedImageError, match="jpeg, png, webp, avif"):
        made(encoded(Image.new("RGB", (9, 9)), "GIF"), width=4)
    assert made(encoded(Image.new("RGB", (9, 9)), "GIF"), width=4, format="png")[1].size == (4, 4)


@pytest.mark.parametrize("data", [b"", b"no image", plain(50, 50)[:-40]])
def test_a_damaged_image_is_reported(data):
    with pytest.raises(DamagedImageError):
        made(data, format="png")
