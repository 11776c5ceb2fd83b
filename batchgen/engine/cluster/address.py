"""Addresses of clusters, tried out before Ray uses them: Ray itself waits for a wrong one without an end."""

from __future__ import annotations

import socket

#: Seconds in which the head of a cluster must accept a connection.
REACH = 5.0
#: What a cluster requires of a driver; Ray's own messages rarely name it.
_AS_THE_HEAD = (
    "RAY_AUTH_MODE, RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) and RAY_USE_TLS must be here as they were at `ray start` "
    "of the head. "
)


def address_problem(address: str) -> str:
    """Return why a driver cannot use an address, or ""; a connection to it is made and closed."""
    if address.startswith("ray://"):
        plain = address.removeprefix("ray://").partition(":")[0]
        return (
            f"{address} is an address of the Ray client, through which batchgen does not run. Join this machine to the "
            f"cluster (ray start --address={plain}:6379 --num-cpus=0) and use --address {plain}:6379"
        )
    if address in ("auto", "local"):
        return ""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return f"{address} is not an address: write HOST:PORT, such as head:6379"
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"{address} does not answer ({reason}). Check that the head is running there (ray start --head "
            f"--port={port}) and that the port is open to this machine"
        )
    return ""


def start_problem(address: str | None, reason: str) -> str:
    """Return the message for Ray that cannot be used, here or at *address*: what happened, why, what to type."""
    reason = reason.rstrip(".")
    if address is None:
        return (
            f"Ray did not start on this machine: {reason}. Probably the machine is busy, or short of memory. Nothing "
            "was sent: run again, or without --backend ray, which needs no Ray"
        )
    if "timed out" in reason:
        return (
            f"cannot use Ray at {address}: {reason}. Probably this machine or the head is busy. Nothing was sent: run "
            "again; `batchgen doctor --backend ray` checks the cluster"
        )
    return (
        f"cannot use Ray at {address}: {reason}. {_AS_THE_HEAD}Nothing was sent: `batchgen doctor --backend ray` "
        "checks the address, the versions and the token"
    )
