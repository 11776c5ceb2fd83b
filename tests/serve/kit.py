"""A server as a process of its own, and a browser's half of its protocol."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from tests.acceptance.kit import Workspace
from tests.forkserver import Popen
from tests.timing import patience

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclass
class Server:
    """A process of ``batchgen serve`` with a client of its page."""

    process: Popen
    url: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=patience(10), trust_env=False)
        self.client.headers["Origin"] = self.origin

    @classmethod
    def start(cls, project: Workspace, *arguments: object) -> Server:
        process = project.start("serve", *arguments)
        ready, _, _ = select.select([process.stdout], [], [], patience(20))
        assert ready, "the server prints no address"
        line = process.stdout.readline().decode()
        assert line.startswith("serve "), line + process.communicate()[1].decode()
        return cls(process, line.split()[1])

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def document(self) -> dict[str, Any]:
        """Return the data of the page."""
        answer = self.client.get("")
        assert answer.status_code == 200, answer.text
        found = _DATA.search(answer.text)
        assert found, "the page holds no data"
        return json.loads(found[1])

    def rows(self) -> dict[str, dict[str, Any]]:
        return rows_of(self.document())

    def send(self, method: str, path: str, body: object) -> httpx.Response:
        return self.client.request(method, path, json=body, timeout=patience(60))

    def raw(self, request: str, *, seconds: float = 10) -> bytes:
        """Send a request byte by byte as it is, which a client would tidy up; return the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience(seconds)) as line:
            line.sendall(request.encode())
            parts = []
            while data := line.recv(65536):
                parts.append(data)
        return b"".join(parts)

    def events(self, path: str = "events", **headers: str) -> Events:
        return Events(self.url + path, headers)

    def stop(self, number: int = signal.SIGINT) -> float:
        """End the server with a signal; return how long it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=patience(20))
        return time.monotonic() - began

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Events:
    """An event stream, read in a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._client = httpx.Client(timeout=httpx.Timeout(patience(30)), trust_env=False)
        self._stream = self._client.stream("GET", url, headers=headers)
        self._response = self._stream.__enter__()
        assert self._response.status_code == 200, self._response.read()
        self._events = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _read(self) -> Iterator[tuple[str, Any, str]]:
        name, data, cursor = "", "", ""
        for line in self._response.iter_lines():
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                data = value
            elif key == "id":
                cursor = value
            elif not line and data:
                yield name, json.loads(data), cursor
                data = ""

    def next(self, name: str) -> tuple[Any, str]:
        """Return the next event with this name, and its cursor."""
        for found, document, cursor in self._events:
            if found == name:
                return document, cursor
        raise AssertionError(f"the stream ended without {name}")

    def until(self, name: str, condition: Any) -> Any:
        """Return the first event with this name that satisfies a condition."""
        while True:
            document, _ = self.next(name)
            if condition(document):
                return document


def rows_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of a document or an update by the job's id, with words in place of their numbers."""
    tiles, words = document["tiles"], document["words"]
    return {
        key: {
            "state": words["state"][tiles["state"][row]],
            "ordinal": tiles["ordinal"][row],
            "sha": tiles["sha"][row],
            "path": tiles["path"][row],
            "prompt": words["prompt"][tiles["prompt"][row]],
        }
        for row, key in enumerate(tiles["key"])
    }
