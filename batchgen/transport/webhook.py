"""Webhooks: small POSTs to a URL that the user chose, over https, with a few retries."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from anyio import fail_after
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ..providers.presets import is_loopback
from .client import tls_context
from .errors import TROUBLE, FlakyError, describe
from .proxies import ProxyError, proxy_for
from .statuses import is_temporary

#: Seconds for one try, and the number of tries.
TIMEOUT = 10.0
TRIES = 4


def may_post(url: str) -> bool:
    """Return whether *url* is allowed: https, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
    except ValueError:
        return False


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Post *body* to *url*; return None if it was accepted, or else the reason."""
    if not may_post(url):
        return "it is neither https nor on this machine"
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(FlakyError),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.5, max=8),
        reraise=True,
    )
    try:
        proxy = proxy_for(url)
    except ProxyError as error:
        return str(error)
    async with httpx.AsyncClient(
        verify=tls_context(),
        timeout=TIMEOUT,
        proxy=proxy,
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "batchgen"},
    ) as client:
        try:
            status: int = await retrying(_once, client, url, body, headers)
        except FlakyError as error:
            return str(error)
    return None if 200 <= status < 300 else f"HTTP {status}"


async def _once(client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    try:
        with fail_after(TIMEOUT):
            # Streamed, so that the body of the answer, however long, is never read.
            async with client.stream("POST", url, content=body, headers=dict(headers)) as response:
                status = response.status_code
    except TROUBLE as error:
        raise FlakyError(describe(error)) from error
    if is_temporary(status):
        raise FlakyError(f"HTTP {status}")
    return status
