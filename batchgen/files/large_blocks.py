"""Large blocks of memory: returned to the system at once, where the C library would keep them for its threads."""

from __future__ import annotations

import sys

#: glibc's parameter for the size from which on a block is mapped on its own, and the size (bytes).
_MMAP_THRESHOLD, _LARGE = -3, 1024 * 1024


def return_large_blocks() -> None:
    """Make the C library map each block of a megabyte or more on its own, so that its end frees it.

    By default glibc raises that size to the largest block freed so far, and then keeps such blocks for each thread:
    180 MB while rows of 8 MB are delivered one after another. Other C libraries do not have this setting.
    """
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
