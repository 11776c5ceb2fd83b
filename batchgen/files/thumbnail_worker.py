"""Process that makes thumbnails: reads an order a line on standard input, writes an answer a line on standard output.

A process of its own, because a decoder may crash or run out of memory on a hostile file, and because decoders in
several processes use several processors. It ends when its standard input does, so that it never outlives its parent.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..object_url import ObjectUrl, is_object_url
from .images.thumbnail import make_thumbnail, unreadable
from .opening import OpenError, open_file
from .thumbnails import part_name

#: The kernel ends this process before a run, if memory is short.
_OOM_SCORE = "800"


def main() -> None:
    """Serve orders until standard input ends; the first argument is the niceness."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    with suppress(OSError):
        os.nice(int(sys.argv[1]))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    # C libraries print warnings about damaged images, which must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(order: dict[str, str]) -> dict[str, Any]:
    try:
        data = _content(order["path"])
    except OpenError as error:
        return {"gone": str(error)}
    except FileNotFoundError:
        return {"gone": "there is no such object"}
    except StoreError as error:
        return {"store": str(error)}
    except OSError as error:
        return {"gone": error.strerror or str(error)}
    if hashlib.sha256(data).hexdigest() != order["sha256"]:
        return {"gone": "it is not as it was delivered"}
    try:
        made = make_thumbnail(data, order["sha256"])
    except Exception as error:  # noqa: BLE001 - one file must not end the report
        return {"facts": asdict(unreadable(data, order["sha256"], f"{type(error).__name__}: {error}"))}
    if made.data is not None:
        try:
            _write(Path(order["target"]), made.data)
        except OSError as error:
            return {"disk": error.strerror or str(error)}
    return {"facts": asdict(made.facts)}


def _content(path: str) -> bytes:
    if is_object_url(path):
        from . import output_tree  # pictures on a disk do without it

        return output_tree.file_at(ObjectUrl.parse(path)).read()
    with open_file(path) as file:
        return file.read()


def _write(target: Path, data: bytes) -> None:
    """Write a thumbnail whole or not at all; it can be made again, so that nothing waits for the disk."""
    part = target.with_name(part_name(target))
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    main()
