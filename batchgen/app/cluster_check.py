"""Examination of a Ray cluster as a run would find it: the way in, then every host's versions, clock, keys, folders.

Asks no provider for anything that costs money, and leaves nothing behind.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import ModuleType
from typing import Any

from ..engine.cluster import ray_nodes
from ..engine.cluster.address import address_problem
from ..engine.cluster.ray_backend import connection, load_ray
from ..engine.cluster.ray_nodes import Node, NodeError
from ..errors import BatchgenError, ExitCode
from ..files.output_tree import output_tree
from ..object_url import Folder, parse_folder
from ..providers.profile import Profile
from ..store import migrate
from ..store.reader import Reader
from ..version import __version__
from . import host_check
from .cluster import ADDRESS_VARIABLE
from .config.keys import configured_names
from .config.providers import load_profiles, provider_settings
from .finding import FEW_SECONDS, LITTLE_ROOM, NO_ROOM, Finding
from .plan import plan as make_plan
from .plan import read_manifest
from .project import Project

#: Seconds for the first answer of a host, which starts a process there, and for further ones.
START, ANSWER = 60.0, 30.0
#: Seconds of difference between clocks from which on permits, which hold for a second, reach a host too late.
PERMIT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterQuestion:
    """The needs of a run that a cluster is examined for."""

    address: str | None  #: of the head; None: Ray is started on this machine
    profiles: Sequence[Profile]
    folders: Sequence[Folder]


def question_of(project: Project, address: str | None, manifest: Path | None) -> ClusterQuestion:
    """Return what a run of *manifest* needs of a cluster; without one, what the configured providers need."""
    if manifest is None:
        profiles = load_profiles(project)
        names = {*provider_settings(project), *(name for name, profile in profiles.items() if _has_key(profile))}
        folders = _known_folders(project)
    else:
        batch = read_manifest(project, manifest)
        plan = make_plan(project, batch)
        names = {lane.provider for lane in plan.lanes} | set(plan.alternates)
        profiles, folders = batch.profiles, [batch.folder]
    return ClusterQuestion(
        address=address or os.environ.get(ADDRESS_VARIABLE) or None,
        # The simulated providers are started by a run, and accept any key.
        profiles=() if project.sandbox else [profiles[name] for name in sorted(names)],
        folders=folders,
    )


def _has_key(profile: Profile) -> bool:
    return bool(configured_names(profile.api_key_env, os.environ))


def _known_folders(project: Project) -> list[Folder]:
    """Return the output folders of the batches that the job database knows, or the project's own folder."""
    folders: list[Folder] = []
    if migrate.revision(project.db) == migrate.HEAD:
        with Reader(project.db) as reader:
            folders = [parse_folder(str(batch.folder)) for batch in reader.batches()]
    return folders or [project.root]


def examine(question: ClusterQuestion) -> Iterator[Finding]:
    """Yield what a run on the cluster would meet; the first thing that keeps it from starting ends the examination."""
    try:
        ray = load_ray()
    except BatchgenError as error:
        yield Finding("ray", str(error), "bad", error.exit_code)
        return
    yield Finding("ray", f"Ray {ray.__version__}, Python {platform.python_version()}")
    entrance = list(_entrance(question.address, os.environ))
    yield from entrance
    if any(finding.verdict == "bad" for finding in entrance):
        return
    try:
        with connection(question.address) as ray:
            yield from _cluster(ray, question)
    except BatchgenError as error:
        yield Finding("cluster", _refusal(question.address, error), "bad", error.exit_code)


def _refusal(address: str | None, error: BatchgenError) -> str:
    """Return why Ray does not accept this driver; its own message rarely names the reason."""
    reason = str(error.__cause__ or error).strip().partition("\n")[0].rstrip(".")
    if address is None:
        return f"Ray does not start on this machine: {reason}"
    return (
        f"{address} answers, and does not accept this machine: {reason}. RAY_AUTH_MODE, RAY_AUTH_TOKEN or "
        "RAY_AUTH_TOKEN_PATH, and RAY_USE_TLS must be as they were at `ray start` of the head; Ray and Python must be "
        f"of the same version; and this machine must be a node: ray start --address={address} --num-cpus=0"
    )


def _entrance(address: str | None, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what decides about the way in: address, token and TLS."""
    if address is None:
        yield Finding("address", "none: a run starts Ray on this machine, and ends it with its workers", "note")
        return
    problem = address_problem(address)
    yield Finding("address", problem or address, "bad" if problem else "ok", ExitCode.USAGE if problem else 0)
    token = environment.get("RAY_AUTH_MODE", "").lower() == "token"
    yield (
        Finding("token", "drivers and nodes prove themselves by a token (RAY_AUTH_MODE=token)")
        if token
        else Finding("token", f"off: everybody who can reach the ports can run programs there. {_TOKEN}", "note")
    )
    tls = environment.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    yield (
        Finding("tls", "on (RAY_USE_TLS)")
        if tls
        else Finding("tls", "off: prompts and the token can be read on the way. RAY_USE_TLS=1, or a private network",
                     "note")
    )  # fmt: skip


_TOKEN = "To switch it on: RAY_AUTH_MODE=token with RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN, for every node and here"  # noqa: S105


def _cluster(ray: ModuleType, question: ClusterQuestion) -> Iterator[Finding]:
    nodes = ray_nodes.nodes(ray)
    cpus = sum(node.cpus for node in nodes)
    yield Finding("cluster", f"{len(nodes)} {'host' if len(nodes) == 1 else 'hosts'}, room for {cpus:g} workers")
    if cpus < 1:
        message = "no host has a CPU for a worker, which takes one each: start a node without --num-cpus=0"
        yield Finding("cluster", message, "bad", ExitCode.STOPPED)
    alike = []
    for node, facts in _facts_of(ray, nodes):
        if isinstance(facts, NodeError):
            yield _failed(node, facts)
            continue
        yield from _facts(node, facts)
        if facts["batchgen"] == __version__:
            alike.append(node)
            yield from _clock(ray, node)
    with Proofs.in_folders(question.folders) as proofs:
        yield from proofs.findings
        for number, node in enumerate(alike):
            yield from _host(ray, node, question, proofs, str(number))


def _host(ray: ModuleType, node: Node, question: ClusterQuestion, proofs: Proofs, reply: str) -> Iterator[Finding]:
    arguments = tuple(question.profiles), dict(proofs.names), reply
    try:
        report = ray_nodes.begin(ray, node, host_check.examine, *arguments)(ANSWER)
    except NodeError as error:
        yield _failed(node, error)
        return
    yield from _problems(node, "keys", report["keys"], "has keys of", ExitCode.DENIED)
    yield from _problems(node, "egress", report["egress"], "reaches", ExitCode.STOPPED)
    folders = {folder: problem or proofs.unanswered(folder, reply) for folder, problem in report["folders"].items()}
    yield from _problems(node, "storage", folders, "writes to", ExitCode.UNEXPECTED)


def _failed(node: Node, error: NodeError) -> Finding:
    hint = "install batchgen there, in the same version" if "ModuleNotFoundError" in str(error) else "see its logs"
    return Finding("host", f"{node.host} ({node.address}): {error}: {hint}", "bad", ExitCode.STOPPED)


def _facts(node: Node, facts: Mapping[str, Any]) -> Iterator[Finding]:
    text = f"{node.host} ({node.address}): {node.cpus:g} CPUs, batchgen {facts['batchgen']}, Python {facts['python']}"
    if facts["batchgen"] != __version__:
        message = f"{text}: this machine has batchgen {__version__}. Install the same version on every host"
        yield Finding("host", message, "bad", ExitCode.SCHEMA)
    else:
        yield Finding("host", text)
    spool = facts["spool"]
    where = f"{node.host}: answers are kept in {spool['folder']}, {spool['free'] / 1e9:,.1f} GB free"
    if spool["problem"]:
        message = f"{node.host}: answers cannot be kept: {spool['problem']}. Set BATCHGEN_WORKER_DIR there"
        yield Finding("spool", message, "bad", ExitCode.UNEXPECTED)
    elif spool["free"] < NO_ROOM:
        yield Finding("spool", f"{where}: a run would soon stop", "bad", ExitCode.UNEXPECTED)
    else:
        yield Finding("spool", where, "ok" if spool["free"] >= LITTLE_ROOM else "note")


def _clock(ray: ModuleType, node: Node) -> Iterator[Finding]:
    """Compare the clock of a host with this one's: it was asked for in the middle of the exchange, more or less."""
    sent = time.time()
    try:
        there = ray_nodes.begin(ray, node, host_check.clock)(ANSWER)
    except NodeError as error:
        yield _failed(node, error)
        return
    back = time.time()
    offset, doubt = there - (sent + back) / 2, (back - sent) / 2
    certain = max(0.0, abs(offset) - doubt)
    text = f"{node.host}: {offset:+.3f} s from this machine's, within {doubt:.3f} s"
    if certain <= PERMIT:
        yield Finding("clock", text)
        return
    hint = "a run corrects for it, but certificates and signatures of a store do not: enable NTP there"
    if certain <= FEW_SECONDS:
        yield Finding("clock", f"{text}: {hint}", "note")
    else:
        yield Finding("clock", f"{text}: {hint}", "bad", ExitCode.UNEXPECTED)


def _problems(node: Node, about: str, problems: Mapping[str, str], verb: str, code: ExitCode) -> Iterator[Finding]:
    well = [name for name, problem in problems.items() if not problem]
    if well:
        yield Finding(about, f"{node.host}: {verb} {', '.join(well)}")
    for name, problem in problems.items():
        if problem:
            yield Finding(about, f"{node.host}: {name}: {problem}", "bad", code)


def _facts_of(ray: ModuleType, nodes: Sequence[Node]) -> Iterator[tuple[Node, dict[str, Any] | NodeError]]:
    """Ask every node at once what it runs, because the first question starts a process there."""
    waiting = [(node, ray_nodes.begin(ray, node, host_check.facts)) for node in nodes]
    for node, result in waiting:
        try:
            yield node, result(START)
        except NodeError as error:
            yield node, error


@dataclass(frozen=True, kw_only=True, slots=True)
class Proofs:
    """Files in the output folders, by which each host proves that it reads and writes the same ones."""

    names: Mapping[str, str]  #: by folder
    findings: Sequence[Finding]  #: folders that cannot be written from here

    @classmethod
    @contextmanager
    def in_folders(cls, folders: Sequence[Folder]) -> Iterator[Proofs]:
        """Write a file to each folder, or to the nearest one above that exists; remove them and the answers."""
        names: dict[str, str] = {}
        findings: list[Finding] = []
        for folder in dict.fromkeys(map(_nearest, folders)):
            name = f".batchgen-doctor-{token_hex(8)}"
            try:
                output_tree(folder).publish(name, name.encode())
            except (BatchgenError, OSError) as error:
                findings.append(Finding("storage", f"{folder} cannot be written from here: {error}", "bad", 1))
            else:
                names[str(folder)] = name
        try:
            yield cls(names=names, findings=findings)
        finally:
            for text, name in names.items():
                with suppress(BatchgenError, OSError):
                    output_tree(parse_folder(text)).remove(name)

    def unanswered(self, folder: str, reply: str) -> str:
        """Remove the answer of a host; return why it cannot be read here, or ""."""
        file = output_tree(parse_folder(folder)), f"{self.names[folder]}-{reply}"
        try:
            file[0].file(file[1]).read()
            file[0].remove(file[1])
        except (BatchgenError, OSError) as error:
            return f"what it writes there cannot be read here: {error}"
        return ""


def _nearest(folder: Folder) -> Folder:
    if not isinstance(folder, Path):
        return folder
    return next(path for path in (folder, *folder.parents) if path.exists())
