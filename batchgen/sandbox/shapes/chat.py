"""Places of pictures in chat completions."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..values import Json, Link
from .shape import Draft, Shape, base64_of, data_url, with_message

Message = Callable[[Draft], Json]
_TEXT = {"type": "text", "text": "Here it is."}


def _image(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


def _picture(draft: Draft) -> Json:
    return _image(data_url(draft.pictures[0]))


def _inline(draft: Draft, key: str = "inline_data", mime: str = "mime_type") -> Json:
    return {key: {mime: draft.pictures[0].mime, "data": base64_of(draft.pictures[0])}}


def _content(template: str) -> Message:
    """Return a message of text; ``{}`` is the picture's address."""
    return lambda draft: {"content": template.format(draft.pictures[0].url or data_url(draft.pictures[0]))}


def _empty_entries(draft: Draft) -> Json:
    return {"content": f"![image]({data_url(draft.pictures[0])})", "images": [_image(""), {}, None]}


def _echo(draft: Draft) -> Json:
    sources = [_image(source) for source in draft.sources]
    return {"content": "From your image:", "images": [*sources, _picture(draft)]}


def _echo_only(draft: Draft) -> Json:
    shown = " ".join(f"![source]({source})" for source in draft.sources)
    return {"content": f"I cannot change this image. {shown}"}


def _camel(draft: Draft) -> Json:
    return {"content": [{"text": "Here it is."}, _inline(draft, "inlineData", "mimeType")]}


def _multi(draft: Draft) -> Json:
    return {"content": "", "multi_mod_content": [{"text": "Here it is."}, _inline(draft)]}


def _as_json(draft: Draft) -> Json:
    return {"content": json.dumps({"images": [{"b64_json": base64_of(draft.pictures[0])}]})}


def _chat(about: str, message: Message, *, by_link: bool = False) -> Shape:
    link = (lambda _: Link()) if by_link else None
    return Shape(about, endpoint="chat", link=link, reply=lambda reply, draft: with_message(reply, message(draft)))


CHAT = {
    "chat-empty-entries": _chat("empty entries in images, the picture in the text", _empty_entries),
    "chat-some-empty": _chat(
        "an empty entry before the good one", lambda draft: {"content": "", "images": [_image(""), _picture(draft)]}
    ),
    "chat-parts": _chat(
        "content in parts, the picture among them", lambda draft: {"content": [_TEXT, _picture(draft)]}
    ),
    "chat-inline-data": _chat("a part with inline_data", lambda draft: {"content": [_inline(draft)]}),
    "chat-inline-data-camel": _chat("a part with inlineData", _camel),
    "chat-multi-mod": _chat("the picture in multi_mod_content", _multi),
    "chat-markdown": _chat("a Markdown image with a data URL", _content("Done! ![a picture]({})")),
    "chat-markdown-link": _chat("a Markdown image with an address", _content("![a picture]({})"), by_link=True),
    "chat-html": _chat("an HTML img with a data URL", _content('<p><img alt="" src="{}"></p>')),
    "chat-html-link": _chat("an HTML img with an address", _content("<img src='{}' />"), by_link=True),
    "chat-link": _chat("a Markdown link to the picture", _content("[Download]({})"), by_link=True),
    "chat-address": _chat("the bare address in the text", _content("Here is your image: {}."), by_link=True),
    "chat-data-url": _chat("the bare data URL as the text", _content("{}")),
    "chat-json": _chat("a JSON document as the text", _as_json),
    "chat-same-twice": _chat("the same picture twice", lambda draft: {"content": "", "images": [_picture(draft)] * 2}),
    "chat-echo": _chat("the source images before the picture", _echo),
}
#: Charged, without a picture.
CHAT_WITHOUT = {"chat-echo-only": _chat("the source images, and no picture", _echo_only)}
