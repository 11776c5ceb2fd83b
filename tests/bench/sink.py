"""An S3-speaking sink in a process of its own: it drops what it receives and remembers only names.

The far end of the bench of uploads, so that the client is measured and not a store: ``python -m tests.bench.sink``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .apart import environment

_LIFE = 600.0
_DONE = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\n\r\n'
_GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
_REFUSED = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, names: set[bytes]) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            left = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while left:
                left -= len(await reader.read(min(left, 1 << 20)))
            method, name, _ = head.split(b" ", 2)
            is_taken = b"if-none-match: *" in head and name in names
            names.add(name)
            writer.write(_REFUSED if is_taken else _GONE if method == b"delete" else _DONE)
            await writer.drain()
    writer.close()


async def _main() -> None:
    names: set[bytes] = set()
    server = await asyncio.start_server(lambda r, w: _serve(r, w, names), "127.0.0.1", 0, limit=1 << 21)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(_LIFE)


@contextmanager
def sink() -> Iterator[str]:
    """Run a sink; yield its address."""
    command = [sys.executable, "-m", "tests.bench.sink"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_main())
