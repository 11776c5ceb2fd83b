"""A plain client of task providers: submits, polls and cancels, as their documents describe."""

from __future__ import annotations

import time
from typing import Any

import httpx

from batchgen.sandbox.launch import Sandbox
from batchgen.sandbox.log import read_log

from ..timing import patience


class TaskClient:
    """A client of one provider at a sandbox."""

    def __init__(self, sandbox: Sandbox, provider: str, headers: dict[str, str]) -> None:
        self.sandbox, self.provider = sandbox, provider
        self.base = sandbox.base_url(provider)
        self._http = httpx.Client(trust_env=False, timeout=patience(20), headers=headers)

    def close(self) -> None:
        self._http.close()

    def submit(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._http.post(self.base + path, json=body, headers=named)

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self._http.get(url if url.startswith("http") else self.base + url, headers=headers)

    def send(self, method: str, url: str) -> httpx.Response:
        return self._http.request(method, url if url.startswith("http") else self.base + url)

    def wait(self, url: str, over: Any) -> httpx.Response:
        """Poll until *over* accepts the answer."""
        end = time.monotonic() + patience(20)
        while True:
            answer = self.get(url)
            if over(answer):
                return answer
            assert time.monotonic() < end, answer.text
            time.sleep(0.02)

    def download(self, url: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=patience(20)) as bare:  # a result URL takes no key
            return bare.get(url)

    def lines(self, event: str, task: str) -> list[dict[str, Any]]:
        """Return the lines of the charge log about a task."""
        return [line for line in read_log(self.sandbox.log) if line["event"] == event and line["task"] == task]
