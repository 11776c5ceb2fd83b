"""Places of pictures in chat completions."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..values import Json, Link
from .shape import Draft, Shape, base64_of, data_url, with_message

Message = Callable[[Draft], Json]


def _address(draft: Draft) -> str:
    return draft.pictures[0].url or data_url(draft.pictures[0])


def _image(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


def _inline(draft: Draft, *, camel: bool) -> Json:
    picture = draft.pictures[0]
    names = ("inlineData", "mimeType") if camel else ("inline_data", "mime_type")
    return {names[0]: {names[1]: picture.mime, "data": base64_of(picture)}}


def _empty_entries(draft: Draft) -> Json:
    return {"content": f"![image]({data_url(draft.pictures[0])})", "images": [_image(""), {}, None]}


def _some_empty(draft: Draft) -> Json:
    return {"content": "", "images": [_image(""), _image(data_url(draft.pictures[0]))]}


def _parts(draft: Draft) -> Json:
    return {"content": [{"type": "text", "text": "Here it is."}, _image(data_url(draft.pictures[0]))]}


def _multi(draft: Draft) -> Json:
    return {"content": "", "multi_mod_content": [{"text": "Here it is."}, _inline(draft, camel=False)]}


def _parts_inline(draft: Draft) -> Json:
    return {"content": [{"text": "Here it is."}, _inline(draft, camel=True)]}


def _echo(draft: Draft) -> Json:
    """Return the picture after a text and every source image of the request."""
    sources = [_image(source) for source in draft.sources]
    return {"content": "From your image:", "images": [*sources, _image(data_url(draft.pictures[0]))]}


def _echo_only(draft: Draft) -> Json:
    shown = " ".join(f"![source]({source})" for source in draft.sources)
    return {"content": f"I cannot change this image. {shown}"}


def _twice(draft: Draft) -> Json:
    return {"content": "", "images": [_image(data_url(draft.pictures[0]))] * 2}


def _as_json(draft: Draft) -> Json:
    return {"content": json.dumps({"images": [{"b64_json": base64_of(draft.pictures[0])}]})}


def _content(template: str) -> Message:
    """Return a message of text; ``{}`` is the picture's address."""
    return lambda draft: {"content": template.format(_address(draft))}


def _chat(about: str, message: Message, *, by_link: bool = False) -> Shape:
    link = (lambda _: Link()) if by_link else None
    return Shape(
        about=about, endpoint="chat", link=link, reply=lambda reply, draft: with_message(reply, message(draft))
    )


CHAT = {
    "chat-empty-entries": _chat("empty entries in images, the picture in the text", _empty_entries),
    "chat-some-empty": _chat("an empty entry before the good one", _some_empty),
    "chat-parts": _chat("content in parts, the picture among them", _parts),
    "chat-inline-data": _chat("a part with inline_data", lambda draft: {"content": [_inline(draft, camel=False)]}),
    "chat-inline-data-camel": _chat("a part with inlineData", _parts_inline),
    "chat-multi-mod": _chat("the picture in multi_mod_content", _multi),
    "chat-markdown": _chat("a Markdown image with a data URL", _content("Done! ![a picture]({})")),
    "chat-markdown-link": _chat("a Markdown image with an address", _content("![a picture]({})"), by_link=True),
    "chat-html": _chat("an HTML img with a data URL", _content('<p><img alt="" src="{}"></p>')),
    "chat-html-link": _chat("an HTML img with an address", _content("<img src='{}' />"), by_link=True),
    "chat-link": _chat("a Markdown link to the picture", _content("[Download]({})"), by_link=True),
    "chat-address": _chat("the bare address in the text", _content("Here is your image: {}."), by_link=True),
    "chat-data-url": _chat("the bare data URL as the text", _content("{}")),
    "chat-json": _chat("a JSON document as the text", _as_json),
    "chat-same-twice": _chat("the same picture twice", _twice),
    "chat-echo": _chat("the source images before the picture", _echo),
}
#: Charged, without a picture.
CHAT_WITHOUT = {
    "chat-echo-only": _chat("the source images, and no picture", _echo_only),
}
