"""The nodes of a Ray cluster: which there are, and functions that are called on one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

Value = TypeVar("Value")


class NodeError(Exception):
    """A function could not be called on a node, or did not return in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node of a cluster."""

    id: str
    host: str
    address: str
    cpus: float


def nodes(ray: ModuleType) -> list[Node]:
    """Return the nodes that are alive, by host."""
    alive = [
        Node(
            id=node["NodeID"],
            host=node["NodeManagerHostname"],
            address=node["NodeManagerAddress"],
            cpus=node["Resources"].get("CPU", 0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(alive, key=lambda node: (node.host, node.address, node.id))


def begin(ray: ModuleType, node: Node, function: Callable[..., Value], *arguments: object) -> Callable[[float], Value]:
    """Call *function* on *node*; return a function that waits so many seconds for the value, or raises NodeError."""
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)
    task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
    reference = task.remote(*arguments)

    def result(seconds: float) -> Value:
        try:
            value: Value = ray.get(reference, timeout=seconds)
        except ray.exceptions.GetTimeoutError:
            ray.cancel(reference, force=True)
            raise NodeError(f"no answer within {seconds:g} s") from None
        except ray.exceptions.RayError as error:
            raise NodeError(_reason(error)) from error
        return value

    return result


def _reason(error: Any) -> str:  # noqa: ANN401 - an error of Ray
    """Return the last line of an error, without the traceback of the worker before it."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1].strip()}" if lines else type(cause).__name__
