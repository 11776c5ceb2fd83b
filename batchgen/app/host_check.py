"""Examination of one host of a cluster, carried out on that host: its versions, keys, folders and ways to providers.

A task of the cluster calls these functions. Their answers are plain data, because another version may read them.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import anyio

from ..errors import BatchgenError, KeyMissing
from ..fault import ProviderError
from ..files.output_tree import output_tree
from ..object_url import parse_folder
from ..providers.base import Call
from ..providers.profile import Profile
from ..transport import Transport
from ..version import __version__
from .cluster_worker import worker_folder
from .config.keys import find_keys, missing_key

#: Seconds in which a provider must answer a host.
PATIENCE = 10.0


def facts() -> dict[str, Any]:
    """Return what this host runs."""
    return {
        "host": socket.gethostname(),
        "batchgen": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("ray", "obstore")},
        "spool": _spool(),
    }


def clock() -> float:
    """Return the Unix time of this host."""
    return time.time()


def examine(profiles: Sequence[Profile], proofs: Mapping[str, str], reply: str) -> dict[str, dict[str, str]]:
    """Return a problem, or "" for none, for each provider's key and address, and for each output folder.

    *proofs* has a file for each folder, which the caller has written; a file with *reply* in its name answers it.
    """
    return {
        "keys": {profile.name: _key_problem(profile) for profile in profiles if profile.api_key_env},
        "egress": anyio.run(_egress, profiles),
        "folders": {folder: _folder_problem(folder, proof, reply) for folder, proof in proofs.items()},
    }


def _spool() -> dict[str, Any]:
    """Return where the workers of this host keep answers until they are delivered, the room there, and a problem."""
    folder = worker_folder()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    problem = "" if os.access(nearest, os.W_OK) else f"{nearest} is not writable"
    return {"folder": str(folder), "free": shutil.disk_usage(nearest).free, "problem": problem}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _key_problem(profile: Profile) -> str:
    try:
        found = find_keys(profile.api_key_env, os.environ)
    except KeyMissing as error:
        return str(error)
    return "" if found else missing_key(profile.name, profile.api_key_env)


async def _egress(profiles: Sequence[Profile]) -> dict[str, str]:
    """Ask every provider's address without a key for a page that it need not have: any answer will do."""
    problems: dict[str, str] = {}

    async def ask(transport: Transport, profile: Profile) -> None:
        call = Call(method="GET", url=f"{profile.base_url}/", billed=False, signed=False)
        try:
            await transport.client(profile.name).ask(call, PATIENCE)
        except ProviderError as error:
            problems[profile.name] = error.fault.message
        else:
            problems[profile.name] = ""

    by_name = {profile.name: profile for profile in profiles}
    async with Transport(by_name, {}) as transport, anyio.create_task_group() as tasks:
        for profile in profiles:
            tasks.start_soon(ask, transport, profile)
    return problems


def _folder_problem(folder: str, proof: str, reply: str) -> str:
    """Read the file *proof* in a folder and answer it; return why the folder cannot be used from here."""
    tree = output_tree(parse_folder(folder))
    try:
        content = tree.file(proof).read()
    except FileNotFoundError:
        return "it is another folder there. Use one that all hosts share (NFS), or an object store (s3://...)"
    except (BatchgenError, OSError) as error:
        return str(error)
    try:
        tree.publish(f"{proof}-{reply}", content)
    except (BatchgenError, OSError) as error:
        with suppress(BatchgenError, OSError):
            tree.remove(f"{proof}-{reply}")
        return f"it cannot be written from there: {error}"
    return ""
