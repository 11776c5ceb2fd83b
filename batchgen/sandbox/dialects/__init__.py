"""The simulated providers: a module for each, with checks of requests and forms of answers. Pure."""

from __future__ import annotations

from . import (
    aigate,
    aimlapi,
    ark,
    azure,
    bfl,
    dashscope,
    fal,
    gateway,
    gemini,
    gptimageapi,
    higgsfield,
    kie,
    openai,
    openrouter,
    recraft,
    replicate,
    wavespeed,
    xai,
)
from .dialect import Dialect
from .task import TaskDialect

DIALECTS: dict[str, Dialect] = {
    module.DIALECT.name: module.DIALECT
    for module in (aigate, gptimageapi, aimlapi, gateway, openai, openrouter, gemini, azure, xai, recraft, ark)
}
#: Providers whose images are tasks.
TASK_DIALECTS: dict[str, TaskDialect] = {
    module.DIALECT.name: module.DIALECT for module in (fal, replicate, bfl, kie, higgsfield, wavespeed, dashscope)
}
