"""Decoding with Pillow: limits its memory, and distinguishes damaged images from failures of this machine."""

from __future__ import annotations

import io
import logging
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from threading import Condition

from PIL import Image, ImageFile, UnidentifiedImageError, _imaging, features

from .formats import FORMATS, DamagedImageError, TooLargeError, UnknownFormatError

#: Pixels, not bytes: a few kilobytes can inflate to gigabytes. The largest size on offer is 8.3 MP.
MAX_PIXELS = 64_000_000
#: Bytes that all images being decoded may take: one of the largest, or many of the usual size.
MAX_MEMORY = 4 * MAX_PIXELS

# Pillow only warns of a size that it considers too large. The filter is set once, here: catch_warnings() in many
# threads at a time would leave the process with the filters of whichever thread was last.
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Warnings about metadata (EXIF, the index of an MPO) would reach the terminal and do not concern the pixels.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Pixels are stored in blocks of 16 MB by default. The C library would keep such blocks for the thread that freed them,
# but it returns larger ones to the system, for other threads to use.
_imaging.set_block_size(64 << 20)


class Memory:
    """A number of bytes that threads share, first come, first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Wait until *size* bytes are free and hold them; a larger size than the limit waits for all of it."""
        turn, size = object(), min(size, self._limit)
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._used + size <= self._limit)
                self._used += size
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


#: The memory of the whole process.
memory = Memory(MAX_MEMORY)


@contextmanager
def decoder_errors() -> Iterator[None]:
    """Turn a decoder's errors about the image into DamagedImageError.

    A lack of memory, threads or file descriptors is a failure of this machine, and passes unchanged.
    """
    try:
        yield
    except (DamagedImageError, MemoryError, ImportError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise _decode_error(error) from error
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error, ... for damaged files, by format.
        raise _decode_error(error) from error


def _decode_error(error: Exception) -> Exception:
    text = str(error)
    if "out of memory" in text.lower():
        return MemoryError(text)
    if "start new thread" in text:
        return error
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return TooLargeError(f"the image has more than the {MAX_PIXELS} pixels allowed")
    if isinstance(error, UnidentifiedImageError):
        text = "its header makes no sense"
    return DamagedImageError(f"the image does not decode{text and ': '}{text}")


def open_image(mime: str, data: bytes) -> ImageFile.ImageFile:
    """Open an image without decoding its pixels.

    Raises UnknownFormatError if this build of Pillow lacks the format, DamagedImageError for too many pixels.
    """
    image_format = FORMATS[mime]
    if image_format.feature is not None and not features.check(image_format.feature):
        message = f"Pillow cannot read {image_format.pillow} on this machine"
        raise UnknownFormatError(message, image_format.extension)
    if image_format.pillow == "TIFF":
        _silence_libtiff()
    import_module(f"PIL.{image_format.plugin}")  # Pillow would import all of its plugins to find one
    image = Image.open(io.BytesIO(data), formats=(image_format.pillow,))
    require_size(image)
    return image


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing about damaged images to the terminal, which Pillow has no option for."""
    import ctypes  # Imported here: TIFF images are rare.

    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with suppress(AttributeError):  # This build of Pillow has libtiff built in, or none at all.
            setter = getattr(library, name)
            setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            setter(None)


def require_size(image: Image.Image) -> None:
    """Raise DamagedImageError for more pixels than are allowed."""
    if image.width * image.height > MAX_PIXELS:
        raise TooLargeError(f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS} allowed")


def bytes_per_pixel(mime: str, image: Image.Image) -> int:
    """Return the bytes that a pixel takes while the image is decoded."""
    most = FORMATS[mime].memory
    if most > 4:
        return most
    return {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}.get(image.mode, 4)
