"""Real S3-speaking servers for tests: moto, which has conditional writes, and nanio, which keeps files on disk.

moto checks no signatures and loses its objects when it ends. nanio checks signatures, keeps its objects over a
restart, and ignores ``If-None-Match``: a second writer overwrites there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.needs import missing

from .process import Server, free_port, remove

KEY_ID = "AKCANARY0TEST"
#: Found nowhere by chance: a test that finds it in an output has found a leak.
SECRET = "s3-canary-Wd3hJ9yQ5zT7pL2f"
REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket of the server; read with obstore, without batchgen."""

    name: str
    endpoint: str
    _stores: list[Any] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def env(self) -> dict[str, str]:
        """Variables with which batchgen finds the server and may use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
        }

    @property
    def store(self) -> Any:
        """Return obstore's client of this bucket."""
        from obstore.store import S3Store

        if not self._stores:
            terms = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "region": REGION}
            options = {"client_options": {"allow_http": True}, "virtual_hosted_style_request": False}
            self._stores.append(S3Store(self.name, endpoint=self.endpoint, **terms, **options))
        return self._stores[0]

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the names and sizes of all objects whose name starts with *prefix*, in order."""
        return {name: entry["size"] for name, entry in self._entries(prefix).items()}

    def versions(self, prefix: str = "") -> dict[str, tuple[object, ...]]:
        """Return what changes whenever an object is written, by name."""
        return {name: (entry["e_tag"], entry["last_modified"]) for name, entry in self._entries(prefix).items()}

    def _entries(self, prefix: str) -> dict[str, Any]:
        # An S3 client lists by whole folders: the rest of the prefix is compared here.
        listed = self.store.list(prefix.rpartition("/")[0] or None)
        entries = {entry["path"]: entry for page in listed for entry in page}
        return {name: entries[name] for name in sorted(entries) if name.startswith(prefix)}

    def names(self, prefix: str = "") -> list[str]:
        return list(self.sizes(prefix))

    def read(self, name: str) -> bytes:
        return bytes(self.store.get(name).bytes())

    def facts(self, name: str) -> dict[str, str]:
        """Return content type and metadata of an object."""
        return dict(self.store.get(name).attributes)

    def write(self, name: str, data: bytes, **attributes: str) -> None:
        self.store.put(name, data, attributes=attributes or None)

    def write_in_parts(self, name: str, data: bytes) -> None:
        """Write an object with an etag that is not the hash of its bytes."""
        self.store.put(name, data, use_multipart=True)

    def delete(self, *names: str) -> None:
        if names:
            self.store.delete(list(names))


class S3Server(Server):
    """A server of the simple storage service."""

    durable = False  #: its objects are still there after a restart

    def __init__(self, folder: Path, command: list[str], port: int, **env: str) -> None:
        super().__init__(command, folder / "server.log", port=port, **env)
        self.folder = folder
        self._numbers = itertools.count()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def bucket(self, name: str | None = None) -> Iterator[Bucket]:
        """Make an empty bucket; at the end delete its objects."""
        bucket = Bucket(name=name or f"test-{next(self._numbers)}", endpoint=self.endpoint)
        self.make(bucket.name)
        try:
            yield bucket
        finally:
            bucket.delete(*bucket.names())

    def make(self, name: str) -> None:
        """Make a bucket, which obstore cannot do."""
        raise NotImplementedError

    def requests(self, *words: str) -> int:
        """Return how many lines of the server's log have all of *words*, such as "PUT" and a name."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum(all(word in line for word in words) for line in lines)


#: moto looks whether an object is there, and then writes it: two writers at the same moment could both be the first.
#: In Amazon's store a conditional write is one step.
_MOTO = """
from threading import Lock
from moto.s3.responses import S3Response
from moto.server import main
put_object, lock = S3Response.put_object, Lock()
def put_in_one_step(response):
    with lock:
        return put_object(response)
S3Response.put_object = put_in_one_step
main()
"""


class Moto(S3Server):
    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [sys.executable, "-c", _MOTO, "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(folder, command, port)

    def make(self, name: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT"), timeout=20).close()


class Nanio(S3Server):
    durable = True

    def __init__(self, folder: Path) -> None:
        port = free_port()
        (folder / "data").mkdir()
        command = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--data-dir", str(folder / "data")]
        super().__init__(folder, command, port, NANIO_ACCESS_KEY=KEY_ID, NANIO_SECRET_KEY=SECRET)

    def make(self, name: str) -> None:
        (self.folder / "data" / name).mkdir()


@contextlib.contextmanager
def running(kind: type[S3Server] = Moto) -> Iterator[S3Server]:
    """Run a server; the test skips where it, or obstore, is not installed."""
    for module in ("obstore", kind.__name__.lower()):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} is not installed (make setup-servers)")
    folder = Path(tempfile.mkdtemp(prefix="batchgen-s3-"))
    try:
        server = kind(folder)  # type: ignore[call-arg]
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        remove(folder)
