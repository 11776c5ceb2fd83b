"""Copies of source images: upright or converted, always the same, with nothing lost but the metadata."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps

from batchgen.files.images import DamagedImageError, examine, sniff
from batchgen.files.images.copies import make_copy
from batchgen.files.images.photos import read_photo


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def scene(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Return an image whose corners differ."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste("red", (0, 0, 12, 8))
    image.paste("blue", (36, 24, 48, 32))
    return image


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "A camera"
    return made.tobytes()


def grey_profile() -> bytes:
    """Return a colour profile whose header names grey as its colour space."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    return bytes(profile)


def differs(first: Image.Image, second: Image.Image) -> int:
    """Return the largest difference of two images in any sample."""
    assert first.size == second.size
    return max(high for _, high in ImageChops.difference(first.convert("RGB"), second.convert("RGB")).getextrema())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_upright_copy_shows_what_a_viewer_shows(kind, orientation):
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(scene(), kind, exif=exif(orientation), **options)
    copy = make_copy(data, "upright")
    assert sniff(copy) == sniff(data)
    photo = read_photo(copy)
    assert (photo.orientation, (photo.width, photo.height)) == (1, read_photo(data).upright_size)
    assert b"A camera" not in copy
    wanted = ImageOps.exif_transpose(decoded(data))
    assert differs(decoded(copy), wanted) <= (20 if kind == "JPEG" else 0)


def test_a_copy_is_the_same_every_time():
    for data in (encoded(scene(), "JPEG", exif=exif(6)), encoded(scene(), "TIFF"), encoded(scene(), "AVIF")):
        assert len({make_copy(data, kind) for kind in ("jpeg",) * 3}) == 1


def test_a_copy_keeps_the_color_profile_and_the_transparency():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    copy = decoded(make_copy(encoded(scene(), "JPEG", exif=exif(3), icc_profile=profile), "upright"))
    assert copy.info["icc_profile"] == profile
    palette = scene().convert("P", palette=Image.Palette.ADAPTIVE)
    data = encoded(palette, "PNG", exif=exif(8), transparency=palette.getpixel((0, 0)))
    upright = decoded(make_copy(data, "upright")).convert("RGBA")
    wanted = ImageOps.exif_transpose(decoded(data)).convert("RGBA")
    assert upright.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("kind", ["AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "HEIC"])
@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_other_kinds_become_what_providers_accept(kind, form):
    wanted = image = scene()
    if kind == "HEIC":
        buffer = io.BytesIO()
        pytest.importorskip("pillow_heif").from_pillow(image).save(buffer, quality=95)
        data = buffer.getvalue()
    else:
        data = encoded(image, kind)
        wanted = decoded(data)
    copy = make_copy(data, form)
    assert examine(copy).mime == f"image/{form}"
    assert differs(decoded(copy), wanted) <= 40


def test_a_rotated_photo_of_another_kind_becomes_upright():
    buffer = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(scene()).save(buffer, exif=exif(6))
    assert read_photo(buffer.getvalue()).upright_size == decoded(make_copy(buffer.getvalue(), "png")).size == (32, 48)
    assert decoded(make_copy(encoded(scene(), "AVIF", exif=exif(6)), "png")).size == (32, 48)
    assert decoded(make_copy(encoded(scene(), "TIFF", exif=exif(6)), "png")).size == (32, 48)


def test_cmyk_becomes_rgb_and_deep_grey_keeps_its_tones():
    cmyk = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    red = decoded(make_copy(cmyk, "jpeg"))
    assert red.mode == "RGB"
    assert differs(red, Image.new("RGB", (8, 8), (255, 0, 0))) <= 40
    deep = Image.new("I;16", (4, 1))
    for number, value in enumerate((0, 0x4000, 0x8000, 0xFFFF)):
        deep.putpixel((number, 0), value)
    assert list(decoded(make_copy(encoded(deep, "PNG"), "png")).convert("L").tobytes()) == [0, 0x40, 0x80, 0xFF]


def test_transparent_deep_grey_can_be_converted():
    deep = Image.new("I;16", (4, 2), 0x8000)
    copy = decoded(make_copy(encoded(deep, "PNG", transparency=0x8000), "png"))
    assert {copy.convert("L").getpixel((x, 1)) for x in range(4)} == {0x80}


def test_a_profile_of_grey_is_not_written_into_rgb():
    profile = grey_profile()
    copy = decoded(make_copy(encoded(Image.new("L", (8, 8), 99), "TIFF", icc_profile=profile), "jpeg"))
    assert (copy.mode, copy.info.get("icc_profile"), copy.getpixel((3, 3))) == ("RGB", None, (99, 99, 99))


@pytest.mark.parametrize("kind", ["upright", "jpeg"])
def test_a_comment_is_left_out(kind):
    data = encoded(scene(), "JPEG", exif=exif(6), comment=b"by the sea")
    assert b"by the sea" in data
    assert b"by the sea" not in make_copy(data, kind)


def test_an_upright_cmyk_photo_keeps_its_colors():
    data = encoded(Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "JPEG", exif=exif(6))
    copy = decoded(make_copy(data, "upright"))
    assert (copy.mode, copy.size) == ("CMYK", (6, 8))
    assert differs(copy, decoded(data).transpose(Image.Transpose.ROTATE_270)) <= 4


def test_transparent_parts_become_white_in_a_jpeg_and_stay_in_a_png():
    clear = encoded(Image.new("RGBA", (8, 8), (200, 0, 0, 0)), "TIFF")
    assert decoded(make_copy(clear, "png")).getpixel((3, 3))[3] == 0
    assert differs(decoded(make_copy(clear, "jpeg")), Image.new("RGB", (8, 8), "white")) == 0


def test_the_first_frame_of_an_animation_is_sent():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for kind in ("PNG", "GIF", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert read_photo(data).animated
        assert differs(decoded(make_copy(data, "png")), frames[0]) <= 3
        assert read_photo(make_copy(data, "png")) == read_photo(encoded(frames[0], "PNG"))


def test_a_damaged_image_has_no_copy():
    data = encoded(scene((400, 300)), "TIFF", compression="tiff_lzw")
    with pytest.raises(DamagedImageError):
        make_copy(data[: len(data) // 2], "png")


def test_libraries_write_nothing_to_the_terminal(tmp_path: Path):
    whole = encoded(Image.effect_noise((120, 120), 90).convert("RGB"), "TIFF", compression="tiff_lzw")
    saved, log = os.dup(2), tmp_path / "stderr"
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)  # libtiff writes to the descriptor, not to sys.stderr
        try:
            for position in range(10, len(whole) - 400, 97):
                damaged = whole[:position] + b"\xff\x00\xff" * 20 + whole[position + 60 :]
                for check in (examine, lambda data: make_copy(data, "png")):
                    try:
                        check(damaged)
                    except DamagedImageError:
                        continue
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    assert log.read_bytes() == b""
