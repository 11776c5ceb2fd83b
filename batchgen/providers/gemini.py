"""Dialect of Google's generateContent: Gemini's image models at ai.google.dev.

Source images and results are ``inlineData`` parts. There is no ``n`` and no mask. Sources: the API reference and the
pages "Image generation" and "Flex inference" of ai.google.dev, and google-genai 3.6.1 (models.py, types.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..mode import Mode
from ..task import Source, Task
from .base import Call, DataUrl, Request
from .model import Model, Rules
from .openai_images import attempt_headers
from .profile import Profile
from .responses import SingleCallDialect
from .validation import deadline, wire_fields

#: Names of task fields in ``imageConfig``.
_CONFIG = {"size": "aspectRatio", "resolution": "imageSize"}
#: Seconds by which the server should give a flex call up before its time here is over: its 504 shows what became of it.
_EARLIER = 30


class Gemini(SingleCallDialect):
    """POST models/{model}:generateContent."""

    def call(self, request: Request, rules: Rules) -> Call:
        """Return the paid call."""
        url = model_url(request.profile, request.model, rules)
        headers, flex = attempt_headers(request), request.mode is Mode.FLEX
        body = content_body(request.task, request.model, rules)
        if flex:
            body["service_tier"] = Mode.FLEX.value
            seconds = deadline(request.task, request.profile, request.mode) - _EARLIER
            headers["X-Server-Timeout"] = str(max(1, int(seconds)))
        return Call(method="POST", url=url, json=body, headers=headers)


def model_url(profile: Profile, model: Model, rules: Rules) -> str:
    """Return the address of an operation of a model, whose name is part of the path."""
    return profile.url(rules.path).replace("{model}", quote(model.wire, safe=""))


def content_body(task: Task, model: Model, rules: Rules) -> dict[str, Any]:
    """Return a GenerateContentRequest; ``extra`` is added to it, and its generationConfig is merged."""
    fields = wire_fields(task, model, rules)
    extra = {key: fields.pop(key) for key in task.extra}
    image = {name: fields[key] for key, name in _CONFIG.items() if key in fields}
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"], **({"imageConfig": image} if image else {})}
    if "seed" in fields:
        config["seed"] = fields["seed"]
    own = extra.get("generationConfig")
    if isinstance(own, Mapping):
        config |= own
    parts = [{"text": task.prompt}, *map(_inline, task.images)]
    return {"contents": [{"role": "user", "parts": parts}], **extra, "generationConfig": config}


def _inline(source: Source) -> dict[str, Any]:
    return {"inlineData": {"mimeType": source.mime or "image/png", "data": DataUrl(source=source, bare=True)}}
