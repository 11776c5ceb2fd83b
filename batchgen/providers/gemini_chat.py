"""Image models behind chat/completions: Gemini at aigate and OpenRouter.  Pure.

The source images go inside the message and the new image comes back inside the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..task import Generation, Task
from .answers import Found, declined, found_in, generation, opened, words
from .base import Call, Conversation, Reply, Request
from .fit import wire_fields
from .openai_images import attempt_headers, json_image
from .strict import Json

# Possessive, so that a hostile answer of megabytes costs no more than one pass.
_MARKDOWN = re.compile(r"!\[[^\]]{0,300}+\]\(\s{0,9}+(data:image/[^)\s]++|https?://[^)\s]++)[^)]{0,300}+\)")

#: Where task fields stand in ``image_config``.
_CONFIG = {"size": "aspect_ratio", "resolution": "image_size"}


class GeminiChat:
    """Speak POST chat/completions with image modality."""

    def converse(self, request: Request) -> Conversation:
        """Carry one attempt: one paid call, and a download for each picture that came as a URL."""
        reply = yield self.call(request)
        return (yield from self.read(reply, request))

    def call(self, request: Request) -> Call:
        """Return the paid call."""
        task, profile = request.task, request.profile
        rules = request.model.rules(task.kind)
        if rules is None:
            raise declined(f"{profile.name} cannot {task.kind} with {task.model}")
        fields = wire_fields(task, request.model, rules)
        config = {name: fields.pop(key) for key, name in _CONFIG.items() if key in fields and key not in task.extra}
        body = {
            "messages": [{"role": "user", "content": _content(task)}],
            "modalities": ["image", "text"],
            **({"image_config": config} if config else {}),
            **fields,
        }
        return Call(method="POST", url=profile.url(rules.path), json=body, headers=attempt_headers(request))

    def read(self, reply: Reply, request: Request) -> Conversation:
        """Return the pictures of a reply."""
        document = opened(reply, request.profile)
        found: list[Found] = []
        said: list[str] = []
        for message in _messages(document):
            pictures, parts = _heard(message)
            found += pictures
            said += parts
        text = words("\n".join(said))
        result: Generation = yield from generation(document, reply, request.profile, found, text)
        return result


def _content(task: Task) -> str | list[dict[str, Any]]:
    if not task.images:
        return task.prompt
    images = [{"type": "image_url", "image_url": {"url": json_image(source)}} for source in task.images]
    return [{"type": "text", "text": task.prompt}, *images]


def _messages(document: Json) -> Iterator[Mapping[str, Any]]:
    choices = document.get("choices") if isinstance(document, Mapping) else None
    for choice in choices if isinstance(choices, list) else []:
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if isinstance(message, Mapping):
            yield message


def _heard(message: Mapping[str, Any]) -> tuple[list[Found], list[str]]:
    """Return pictures and words: from ``images``, else from content parts, else from markdown in the content."""
    images, content = message.get("images"), message.get("content")
    found = [picture for part in images if (picture := found_in(part))] if isinstance(images, list) else []
    said: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str):
            pictures, rest = _markdown(text)
            # Some servers say the same picture twice: in ``images`` and as markdown.
            found += [] if images else pictures
            said += [rest] if rest else []
        elif not images and (picture := found_in(part)):
            found.append(picture)
    return found, said


def _markdown(text: str) -> tuple[list[Found], str]:
    if text.lstrip()[:11].lower() == "data:image/":
        picture = found_in(text)
        return ([picture] if picture else []), ""
    found = [picture for link in _MARKDOWN.findall(text) if (picture := found_in(link))]
    return found, _MARKDOWN.sub("", text).strip()
