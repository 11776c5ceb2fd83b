"""The fetcher of source images that are given as URLs; in a sandbox run it draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ..files.source_cache import Fetch
from ..files.spool import Scratch

if TYPE_CHECKING:
    from ..transport import Transport


def source_fetcher(transport: Transport, provider: str, *, sandbox: bool) -> Fetch:
    """Return what fetches source images; in a sandbox run it draws them, so that nothing leaves this machine."""

    async def drawn(url: str, sink: Scratch) -> None:
        client = transport.client(provider)
        await client.fetch(f"{client.profile.origin}/_sandbox/picture?{urlencode({'url': url})}", sink)

    return drawn if sandbox else transport.fetch_source
