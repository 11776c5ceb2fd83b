"""Source images and masks: uploads, data URLs and addresses, checked as providers check them."""

from __future__ import annotations

import base64
import binascii
import io
import re

from PIL import Image

from .values import Fetch, Form, Json, Upload, invalid

MEGABYTE = 1_000_000
IMAGE_LIMIT = 50 * MEGABYTE
MASK_LIMIT = 4 * MEGABYTE
MOST_IMAGES = 16
URL_CHARACTERS = 20_971_520
MIMES = ("image/png", "image/jpeg", "image/webp")
#: A larger picture is refused before it is decoded, which would take gigabytes.
MOST_PIXELS = 100_000_000

#: Beginning of the id of an uploaded file in the place of an address.
FILE_ID = "file-id:"

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)


def open_image(data: bytes, param: str) -> Image.Image:
    """Decode an image fully, as RGB or RGBA; refuse damaged images and other formats."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise invalid("Image has too many pixels.", "image_too_large", param)
            image.load()
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            return image.convert("RGBA" if has_alpha else "RGB")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        message = "Invalid image file or mode for image 1, please check your image file."
        raise invalid(message, "invalid_image_file", param) from error


def data_url_bytes(url: str, param: str) -> bytes:
    """Return the bytes of a base64 data URL."""
    head = _DATA_URL.match(url)
    if not head:
        raise invalid("Invalid data URL: expected data:image/<type>;base64,<data>.", "invalid_value", param)
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error as error:
        raise invalid("Invalid base64 image data.", "invalid_base64", param) from error


def from_address(url: object, fetch: Fetch, param: str) -> Image.Image:
    """Return the image behind an http(s) URL or in a data URL."""
    if not isinstance(url, str) or not url:
        raise invalid(f"Invalid type for '{param}': expected a URL string.", "invalid_type", param)
    if len(url) > URL_CHARACTERS:
        raise invalid(f"'{param}' is too long.", "string_above_max_length", param)
    if url[:5].lower() == "data:":
        return open_image(data_url_bytes(url, param), param)
    if not url.lower().startswith(("https://", "http://")):
        message = f"Invalid URL in '{param}': only http, https and data URLs are supported."
        raise invalid(message, "invalid_value", param)
    return open_image(fetch(url), param)


def json_images(fields: Json, fetch: Fetch) -> tuple[tuple[Image.Image, ...], Image.Image | None]:
    """Read ``images[].image_url`` and ``mask`` of a JSON edit."""
    images = fields.get("images")
    if not isinstance(images, list) or not images:
        raise invalid("Missing required parameter: 'images'.", "missing_required_parameter", "images")
    if len(images) > MOST_IMAGES:
        raise invalid(f"Too many images: at most {MOST_IMAGES}.", "array_above_max_length", "images")
    sources = tuple(_reference(item, fetch, f"images[{place}]") for place, item in enumerate(images))
    mask = _reference(fields["mask"], fetch, "mask") if fields.get("mask") is not None else None
    return sources, _checked_mask(mask, sources[0])


def _reference(item: object, fetch: Fetch, param: str) -> Image.Image:
    if isinstance(item, dict) and set(item) == {"file_id"} and isinstance(item["file_id"], str):
        return open_image(fetch(f"{FILE_ID}{item['file_id']}"), param)
    if not isinstance(item, dict) or set(item) != {"image_url"}:
        message = f"Invalid '{param}': expected an object with exactly one of file_id and image_url."
        raise invalid(message, "invalid_value", param)
    return from_address(item["image_url"], fetch, f"{param}.image_url")


def uploaded_images(form: Form) -> tuple[tuple[Image.Image, ...], Image.Image | None]:
    """Read the files of a multipart edit: one ``image``, or ``image[]`` repeated, and ``mask``."""
    plain = [file for file in form.files if file.name == "image"]
    listed = [file for file in form.files if file.name == "image[]"]
    masks = [file for file in form.files if file.name == "mask"]
    for file in form.files:
        if file.name not in {"image", "image[]", "mask"}:
            raise invalid(f"Unknown parameter: '{file.name}'.", "unknown_parameter", file.name)
    for name, files in (("image", plain), ("mask", masks)):
        if len(files) > 1:
            message = f"Duplicate parameter: '{name}'. You provided multiple values, whereas only one is allowed."
            hint = " To provide a list of values, use the array syntax instead e.g. 'image[]=<value>'."
            raise invalid(message + (hint if name == "image" else ""), "duplicate_parameter", name)
    uploads = plain + listed
    if not uploads:
        raise invalid("Missing required parameter: 'image'.", "missing_required_parameter", "image")
    if len(uploads) > MOST_IMAGES:
        raise invalid(f"Too many images: at most {MOST_IMAGES}.", "array_above_max_length", "image")
    sources = tuple(open_image(_checked_upload(file, IMAGE_LIMIT, MIMES), file.name) for file in uploads)
    mask = open_image(_checked_upload(masks[0], MASK_LIMIT, MIMES[:1]), "mask") if masks else None
    return sources, _checked_mask(mask, sources[0])


def _checked_upload(file: Upload, limit: int, mimes: tuple[str, ...]) -> bytes:
    if file.mime not in mimes:
        supported = f"Supported file formats are {', '.join(mimes)}."
        message = f"Invalid file '{file.name}': unsupported mimetype ('{file.mime}'). {supported}"
        raise invalid(message, "unsupported_file_mimetype", file.name)
    if len(file.data) >= limit:
        message = f"Invalid file '{file.name}': the file must be under {limit // MEGABYTE} MB."
        raise invalid(message, "file_too_large", file.name)
    return file.data


def _checked_mask(mask: Image.Image | None, first: Image.Image) -> Image.Image | None:
    if mask is None:
        return None
    if mask.mode != "RGBA":
        raise invalid("Invalid mask: the mask needs an alpha channel.", "invalid_mask", "mask")
    if mask.size != first.size:
        message = "Invalid mask image format - mask size does not match image size."
        raise invalid(message, "invalid_mask_image_format", "mask")
    return mask
