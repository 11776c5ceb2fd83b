"""Control of batches by tests and demonstrations: ``/_sandbox/batches``."""

from __future__ import annotations

from aiohttp import web

from ..state import State
from ..values import Json
from .batch import Batch


def add_control(router: web.UrlDispatcher, state: State) -> None:
    """Add the endpoint: GET lists the batches, POST holds, releases or expires them."""

    async def batches(_: web.Request) -> web.Response:
        return web.json_response([_facts(batch) for batch in state.batches.batches.values()])

    async def steer(request: web.Request) -> web.Response:
        try:
            order = await request.json()
            if not isinstance(order, dict) or set(order) - {"hold", "release", "expire"} or not order:
                raise ValueError("expected an object with hold, release or expire")
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        if "hold" in order:
            state.batches.hold = bool(order["hold"])
        for batch in state.batches.batches.values():
            if not batch.phase.is_final:
                batch.released = batch.released or bool(order.get("release"))
                batch.expires = batch.expires or bool(order.get("expire"))
                batch.news.set()
        return web.json_response({"hold": state.batches.hold})

    router.add_get("/_sandbox/batches", batches)
    router.add_post("/_sandbox/batches", steer)


def _facts(batch: Batch) -> Json:
    return {
        "id": batch.id,
        "provider": batch.provider,
        "phase": batch.phase.value,
        "label": batch.label,
        "requests": len(batch.lines),
        "completed": batch.completed,
        "failed": batch.failed,
    }
