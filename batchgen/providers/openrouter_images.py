"""Dialect of OpenRouter's images endpoint: one request format for the image models of many companies.

The answer states its exact cost. Parameters that a model does not support are refused, so each model names its own.
There is no tier of service here: flex is bought by chat. Sources: OpenRouter's guide to image generation and its SDK
1.3.84 (components/imagegenerationrequest.py, imagegenerationresponse.py and imagegenerationusage.py).
"""

from __future__ import annotations

from .base import Call, Request
from .model import Rules
from .openai_images import attempt_headers, json_image
from .responses import SingleCallDialect
from .validation import wire_fields


class OpenRouterImages(SingleCallDialect):
    """POST images."""

    def call(self, request: Request, rules: Rules) -> Call:
        """Return the paid call."""
        task, profile = request.task, request.profile
        body = {**wire_fields(task, request.model, rules), "prompt": task.prompt}
        if task.images:
            body["input_references"] = [
                {"type": "image_url", "image_url": {"url": json_image(source)}} for source in task.images
            ]
        return Call(method="POST", url=profile.url(rules.path), json=body, headers=attempt_headers(request))
