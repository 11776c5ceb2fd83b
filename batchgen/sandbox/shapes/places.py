"""Places of pictures in answers of images endpoints, forms of an entry, and behaviour of addresses."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from ..values import Json, Link, Picture, Reply
from .shape import Draft, Shape, base64_of, changed, data_url

Entry = Callable[[Picture], object]
Lay = Callable[[list[object]], Json]  #: from entries to the part of the payload that contains them


def _plain(picture: Picture) -> Json:
    return {"b64_json": base64_of(picture)}


def _laid(lay: Lay, entry: Entry = _plain) -> Callable[[Reply, Draft], Reply]:
    """Return a function that moves the pictures from ``data`` to the place that *lay* gives them."""

    def moved(reply: Reply, draft: Draft) -> Reply:
        rest = {key: value for key, value in reply.payload.items() if key != "data"}
        return changed(reply, {**rest, **lay([entry(picture) for picture in draft.pictures])})

    return moved


def _under(key: str) -> Lay:
    return lambda entries: {key: entries}


def _single(key: str) -> Lay:
    return lambda entries: {key: entries[0]}


def _address(picture: Picture) -> str:
    return picture.url or data_url(picture)


def _percent(picture: Picture) -> Json:
    return {"url": f"data:{picture.mime};base64,{quote(base64_of(picture), safe='')}"}


def _place(about: str, lay: Lay, entry: Entry = _plain) -> Shape:
    return Shape(about, endpoint="images", reply=_laid(lay, entry))


def _item(about: str, entry: Entry, *, by_link: bool = False) -> Shape:
    link = (lambda _: Link()) if by_link else None
    return Shape(about, endpoint="images", reply=_laid(_under("data"), entry), link=link)


PLACES = {
    "in-images": _place("the list is called images", _under("images"), lambda p: {"url": data_url(p)}),
    "in-output": _place("the list is called output", _under("output")),
    "in-result": _place("one picture, called result", _single("result")),
    "in-results": _place("the list is called results", _under("results")),
    "in-artifacts": _place("the list is called artifacts", _under("artifacts"), lambda p: {"base64": base64_of(p)}),
    "in-output-text": _place("the data URL itself, called output", _single("output"), data_url),
    "in-envelope": _place(
        "code, msg and data around it", lambda entries: {"code": 200, "msg": "ok", "data": {"images": entries}}
    ),
    "in-result-envelope": _place(
        "success and result around it", lambda entries: {"success": True, "result": {"data": entries}}
    ),
    "in-output-envelope": _place(
        "status and output around it", lambda entries: {"status": "succeeded", "output": {"results": entries}}
    ),
    "in-envelope-result": _place("data around one result", lambda entries: {"data": {"result": entries[0]}}),
    "item-text": _item("entries are base64, not objects", base64_of),
    "item-data-url": _item("entries are data URLs, not objects", data_url),
    "item-link": _item("entries are addresses, not objects", _address, by_link=True),
    "item-base64": _item("the base64 is called base64", lambda p: {"base64": base64_of(p), "mime_type": p.mime}),
    "item-image-base64": _item("the base64 is called image_base64", lambda p: {"image_base64": base64_of(p)}),
    "item-url": _item("an address, called url", lambda p: {"url": _address(p)}, by_link=True),
    "item-url-data": _item("a data URL, called url", lambda p: {"url": data_url(p), "b64_json": None}),
    "item-url-percent": _item("the same, percent-encoded", _percent),
    "item-image-url": _item("an address, called image_url", lambda p: {"image_url": _address(p)}, by_link=True),
    "item-image-url-object": _item(
        "an address, called image_url.url",
        lambda p: {"type": "image_url", "image_url": {"url": _address(p)}},
        by_link=True,
    ),
    "item-uri": _item("an address, called uri", lambda p: {"uri": _address(p), "mime": p.mime}, by_link=True),
    "item-link-and-base64": _item("base64 and an empty address", lambda p: {"url": "", "b64_json": base64_of(p)}),
}
LINKS = {
    "url": Shape("the picture is at an address", link=lambda _: Link()),
    "url-403": Shape("403 the first NUMBER times", amount=2, link=lambda n: Link(first=403, times=round(n))),
    "url-404": Shape("404 the first NUMBER times", amount=2, link=lambda n: Link(first=404, times=round(n))),
    "url-redirect": Shape("NUMBER redirects on the way", amount=1, link=lambda n: Link(hops=round(n))),
    "url-needs-key": Shape("401 without the provider's key", link=lambda _: Link(needs_key=True)),
    "url-relative": Shape("an address without scheme and host", link=lambda _: Link(relative=True)),
    "url-no-type": Shape("the file has the type application/octet-stream", link=lambda _: Link(untyped=True)),
}
#: Charged, with a picture that cannot be fetched.
DEAD_LINKS = {
    "url-gone": Shape("410, always", link=lambda _: Link(first=410, times=10**9)),
    "url-denied": Shape("403, always", link=lambda _: Link(first=403, times=10**9)),
    "url-elsewhere": Shape("a redirect to another host", link=lambda _: Link(elsewhere=True)),
    "url-foreign": Shape("an address on a host that is not the provider's", link=lambda _: Link(foreign=True)),
}
