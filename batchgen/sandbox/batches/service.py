"""Batches of all providers that have them."""

from __future__ import annotations

from aiohttp import web

from ..dialects import DIALECTS
from ..state import State
from .control import add_control
from .gemini import GeminiBatches
from .openai import OpenAIBatches


class BatchService:
    """The endpoints of all batches, and the work on them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._openai = OpenAIBatches(state, DIALECTS["openai"])
        self._gemini = GeminiBatches(state, DIALECTS["gemini"])

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the endpoints."""
        self._openai.add_to(router, "/openai/v1")
        self._gemini.add_to(router, "/gemini")
        add_control(router, self._state)

    def restore(self) -> None:
        """Make the files and batches of an earlier server known, and carry on with those that have not ended."""
        store = self._state.batches
        store.files, store.batches = store.memory.restore()
        for endpoints in (self._openai, self._gemini):
            endpoints.restore(store.batches.values())
