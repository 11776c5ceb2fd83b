"""Delivery of an answer over the connection, with faults on the way."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web

from .faults import Fault
from .shapes import SHAPES
from .values import Package

_CHUNK = 262_144


async def deliver(request: web.Request, package: Package, fault: Fault | None) -> tuple[web.StreamResponse, int | None]:
    """Send an answer; return the response and its status, None if nothing was sent."""
    shape = SHAPES.get(fault.kind) if fault else None
    if shape is not None and shape.frame is not None:
        return send_raw(request, shape.frame(package)), package.status
    match fault.kind if fault else "":
        case "drop" | "drop-before":
            return reset(request), None
        case "stall":
            await _hang(request, fault.amount if fault else 0.0)
            return reset(request), None
        case "half-body":
            return await _send_half(request, package), package.status
        case "trickle":
            return await _trickle(request, package, fault.amount if fault else 0.0), package.status
        case "big":
            return await _send_big(request, package, fault.amount if fault else 0.0), package.status
    response = web.Response(
        status=package.status, headers=package.headers, body=package.body, content_type=package.mime
    )
    return response, package.status


def reset(request: web.Request) -> web.Response:
    """Abort the connection, so that the client sees a reset."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        # A linger time of zero turns the close into a RST.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)  # never sent: the connection is gone


def send_raw(request: web.Request, data: bytes) -> web.Response:
    """Write bytes to the connection as they are, then close it."""
    if request.transport is not None:
        request.transport.write(data)
        request.transport.close()  # unlike a reset, after the bytes are sent
    return web.Response(status=500)  # never sent: the connection is closing


async def _hang(request: web.Request, seconds: float) -> None:
    """Wait without an answer, at most until the client gives up."""
    for _ in range(max(1, round(seconds / 0.1))):
        if request.transport is None:
            return
        await asyncio.sleep(min(0.1, seconds))


async def _open(request: web.Request, package: Package, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=package.status, headers=package.headers)
    response.content_type = package.mime
    response.content_length = length
    await response.prepare(request)
    return response


async def _send_half(request: web.Request, package: Package) -> web.StreamResponse:
    response = await _open(request, package, len(package.body))
    await response.write(package.body[: len(package.body) // 2])
    if request.transport is not None:
        request.transport.close()  # unlike a reset, after the bytes are sent
    return response


async def _trickle(request: web.Request, package: Package, seconds: float) -> web.StreamResponse:
    """Send a byte every tenth of a second for a while, then the rest."""
    response = await _open(request, package, len(package.body))
    sent = min(len(package.body), max(1, round(seconds * 10)))
    for place in range(sent):
        await response.write(package.body[place : place + 1])
        await asyncio.sleep(0.1)
    await response.write(package.body[sent:])
    return response


async def _send_big(request: web.Request, package: Package, megabytes: float) -> web.StreamResponse:
    """Send the answer with a field of padding at its end."""
    head, tail = package.body[:-1] + b',"padding":"', b'"}'
    padding = round(megabytes * 1_000_000)
    response = await _open(request, package, len(head) + padding + len(tail))
    await response.write(head)
    for start in range(0, padding, _CHUNK):
        await response.write(b"x" * min(_CHUNK, padding - start))
    await response.write(tail)
    return response
