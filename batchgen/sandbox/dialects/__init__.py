"""One module per provider: pure checks of requests, pure shapes of answers."""

from __future__ import annotations

from . import aigate, aimlapi, gateway, gptimageapi, openai, openrouter
from .dialect import Dialect

DIALECTS: dict[str, Dialect] = {
    module.DIALECT.name: module.DIALECT for module in (aigate, gptimageapi, aimlapi, gateway, openai, openrouter)
}
