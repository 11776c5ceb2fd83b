"""How the address of a picture behaves."""

from __future__ import annotations

from ..values import Link
from .shape import Shape

LINKS = {
    "url": Shape(about="the picture comes by an address", link=lambda _: Link()),
    "url-403": Shape(about="403 the first NUMBER of times", amount=2, link=lambda n: Link(first=403, times=round(n))),
    "url-404": Shape(about="404 the first NUMBER of times", amount=2, link=lambda n: Link(first=404, times=round(n))),
    "url-redirect": Shape(about="NUMBER of redirects on the way", amount=1, link=lambda n: Link(hops=round(n))),
    "url-needs-key": Shape(about="401 without the provider's key", link=lambda _: Link(keyed=True)),
    "url-relative": Shape(about="an address without scheme and host", link=lambda _: Link(relative=True)),
    "url-no-type": Shape(about="the file is called application/octet-stream", link=lambda _: Link(untyped=True)),
}
#: Charged, and the picture cannot be had.
DEAD_LINKS = {
    "url-gone": Shape(about="410, for good", link=lambda _: Link(first=410, times=10**9)),
    "url-denied": Shape(about="403, for good", link=lambda _: Link(first=403, times=10**9)),
    "url-elsewhere": Shape(about="a redirect to another host", link=lambda _: Link(elsewhere=True)),
    "url-foreign": Shape(about="an address on a host that is not the provider's", link=lambda _: Link(foreign=True)),
}
