"""Dialect of image models behind chat/completions: Gemini at aigate and OpenRouter.

The source images are part of the message, and the new image is part of the answer.
"""

from __future__ import annotations

from typing import Any

from ..mode import Mode
from ..task import Task
from .base import Call, Request
from .model import Rules
from .openai_images import attempt_headers, json_image
from .responses import SingleCallDialect
from .validation import wire_fields

#: Names of task fields in ``image_config``.
_CONFIG = {"size": "aspect_ratio", "resolution": "image_size"}


class GeminiChat(SingleCallDialect):
    """POST chat/completions with image modality."""

    def call(self, request: Request, rules: Rules) -> Call:
        """Return the paid call."""
        task, profile = request.task, request.profile
        fields = wire_fields(task, request.model, rules)
        config = {name: fields.pop(key) for key, name in _CONFIG.items() if key in fields and key not in task.extra}
        body = {
            "messages": [{"role": "user", "content": _content(task)}],
            "modalities": ["image", "text"],
            **({"image_config": config} if config else {}),
            **({"service_tier": Mode.FLEX.value} if request.mode is Mode.FLEX else {}),
            **fields,
        }
        return Call(method="POST", url=profile.url(rules.path), json=body, headers=attempt_headers(request))


def _content(task: Task) -> str | list[dict[str, Any]]:
    if not task.images:
        return task.prompt
    images = [{"type": "image_url", "image_url": {"url": json_image(source)}} for source in task.images]
    return [{"type": "text", "text": task.prompt}, *images]
