"""Reproduces one job elsewhere: as a manifest of its own, and as the curl command of its request."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from ..engine.parents import ParentImages
from ..errors import BatchgenError, UsageError
from ..files.source_names import copy_name, fetched_file
from ..job import Job
from ..object_url import ObjectUrl, is_object_url
from ..providers import dialect
from ..providers.auth import PLACE
from ..providers.base import Call, DataUrl, FilePart, Request
from ..providers.profile import Profile, UnknownModel
from ..providers.source_upload import upload, upload_rules
from ..providers.validation import OPTIONAL
from ..store.records import Batch
from ..task import Source, Task
from ..transport.client import HEADERS
from .config import providers
from .plan import read_manifest
from .project import Project, open_reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """A job and the profile of its provider."""

    job: Job
    profile: Profile
    inputs: Path  #: the folder with copies of source images


def find_reproduction(project: Project, name: str | None, key: str) -> Reproduction:
    """Return job *key* of a batch with its provider's profile in the manifest; raise NotFound, UsageError."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        job = reader.job(batch.id, key)
        images = ParentImages(reader=reader, batch=batch.name, root=project.root, inputs=project.state / "inputs")
        job = replace(job, task=_alone(images.placed(job.task)))
    profile = _profile(project, batch, job.task.provider)
    return Reproduction(job=job, profile=profile, inputs=project.state / "inputs")


def _alone(task: Task) -> Task:
    """Return *task* with plain files in place of the images of other jobs, those that have none yet excepted."""

    def plain(source: Source) -> Source:
        has_image = source.job is not None and source.sha256 is not None
        return replace(source, job=None, number=None, version=None) if has_image else source

    mask = None if task.mask is None else plain(task.mask)
    return replace(task, images=tuple(map(plain, task.images)), mask=mask)


def _profile(project: Project, batch: Batch, provider: str) -> Profile:
    # Without a valid manifest, presets and batchgen.yaml are used.
    with suppress(BatchgenError, OSError):
        profiles = read_manifest(project, Path(batch.manifest)).profiles
        if provider in profiles:
            return profiles[provider]
    return providers.load_profiles(project, [provider])[provider]


def as_yaml(job: Job) -> str:
    """Return a manifest of this one job; without a name, the file is a batch of its own."""
    # Control characters are escaped: they could steer a terminal.
    plain = "".join([job.key, *job.task.prompt.split()]).isprintable()
    document = {"version": 1, "jobs": [manifest_entry(job.task, job, job.tags)]}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=plain, width=100)


class Entry(Protocol):
    """What a manifest states of a job besides its task."""

    @property
    def key(self) -> str:
        """Return the id of the job."""

    @property
    def wanted(self) -> int:
        """Return the number of images."""

    @property
    def priority(self) -> int:
        """Return its rank in the order of sending."""


def manifest_entry(task: Task, job: Entry, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Return the entry of a manifest that makes a job again."""
    entry: dict[str, Any] = {"id": _literal(job.key), "prompt": _literal(task.prompt), "provider": task.provider}
    entry["model"] = task.model
    entry |= {name: value for name in ("size", *OPTIONAL) if (value := getattr(task, name)) is not None}
    if task.images:
        entry["images"] = [source.name for source in task.images]
    if task.mask is not None:
        entry["mask"] = task.mask.name
    entry |= _preparation(task)
    if job.wanted > 1:
        entry |= {"n": job.wanted, "per_request": job.wanted}
    if job.priority:
        entry["priority"] = job.priority
    if tags:
        entry["tags"] = list(tags)
    if task.extra:
        entry["extra"] = dict(task.extra)
    return entry


def yaml_entry(entry: Mapping[str, Any]) -> str:
    """Return an entry as YAML for a list of jobs; values are in the style of JSON, which is a part of YAML.

    PyYAML would take a millisecond for each of ten thousand entries.
    """
    lines = [f"{key}: {_flow(value)}" for key, value in entry.items()]
    return "- " + "\n  ".join(lines) + "\n"


def _flow(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    # JSON would escape a character beyond 16 bits as two, which YAML does not join.
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def _preparation(task: Task) -> dict[str, Any]:
    """Return the parameters that say which copies of the source images are sent."""
    kinds = {source.copy for source in task.sources} - {None}
    converted = sorted(kind for kind in kinds if kind != "upright" and kind is not None)
    return ({"orient": True} if "upright" in kinds else {}) | ({"convert": converted[0]} if converted else {})


def _literal(text: str) -> str:
    """Return *text* with template marks escaped."""
    return re.sub(r"\{[{%#]", lambda sign: f"{{{{ '{sign[0]}' }}}}", text) if "{{" in text else text


def as_curl(reproduction: Reproduction) -> str:
    """Return the curl command of the dialect's call; raise UsageError for an unknown model or a missing image."""
    profile, job = reproduction.profile, reproduction.job
    if missing := next((source for source in job.task.sources if source.job is not None), None):
        raise UsageError(f"job {job.key} uses the image of {missing.job}, which has none yet: run the batch first")
    try:
        _, model = profile.find(job.task.model)
    except UnknownModel as error:
        raise UsageError(str(error)) from error
    task = replace(job.task, n=max(1, job.wanted - job.delivered) if job.wanted > 1 else job.task.n)
    task = _with_copies(task, reproduction.inputs)
    rules = model.rules(task.kind)
    task, before = _replace_urls(task, all_urls=rules is not None and not rules.image_urls)
    request = Request(task=task, profile=profile, model=model, attempt_id=uuid.uuid4().hex)
    request, uploads = _with_uploads(request, key_header(profile))
    call = next(dialect(model.dialect or profile.dialect).converse(request))
    assert isinstance(call, Call)  # noqa: S101 - a conversation begins with a call
    return "\n".join([*before, *uploads, command(call, key_header(profile), HEADERS)])


def key_header(profile: Profile) -> str | None:
    """Return the header with the key in double quotes, in which the shell inserts the variable; None without a key."""
    if not profile.api_key_env:
        return None
    before, after = re.sub(r'(["$`\\])', r"\\\1", f"{profile.auth.header}: {profile.auth.value}").split(PLACE)
    variable = profile.api_key_env[0]
    return f'"{before}{f"${{{variable}}}" if after else f"${variable}"}{after}"'


def _with_copies(task: Task, inputs: Path) -> Task:
    """Return *task* with the copies, which the last run left in *inputs*, in place of its source images."""

    def copy(source: Source) -> Source:
        if source.etag is not None:
            return fetched_file(inputs, source) or source
        return source if source.copy is None else replace(source, path=str(inputs / copy_name(source)))

    return replace(task, images=tuple(map(copy, task.images)), mask=copy(task.mask) if task.mask else None)


def _replace_urls(task: Task, *, all_urls: bool) -> tuple[Task, list[str]]:
    """Return *task* with files instead of URLs, and the commands that download them.

    Objects in a store are always sent as files, and *all_urls* to a provider that takes none.
    """
    commands: list[str] = []

    def local(source: Source) -> Source:
        if source.path is not None or source.url is None or not (all_urls or source.etag):
            return source
        name = f"source-{len(commands) + 1}"
        commands.append(download(source.url, name))
        return Source(path=name, mime=source.mime or "image/png")

    images = tuple(local(source) for source in task.images)
    mask = local(task.mask) if task.mask else None
    return replace(task, images=images, mask=mask), commands


def _with_uploads(request: Request, key: str | None) -> tuple[Request, list[str]]:
    """Return *request* with marks for the addresses of files, and the commands that upload these.

    Only a provider of remote tasks may want that; the user puts the addresses in the place of the marks.
    """
    rules = upload_rules(request)
    commands: list[str] = []

    def address(source: Source) -> Source:
        if rules is None or source.path is None:
            return source
        mark = f"ADDRESS-{len(commands) // 2 + 1}"
        commands.append(f"# {mark} below stands for the address in this answer, at {rules.address}")
        commands.append(command(next(upload(request, source)), key, HEADERS))
        return Source(url=mark)

    images = tuple(address(source) for source in request.task.images)
    mask = address(request.task.mask) if request.task.mask else None
    return replace(request, task=replace(request.task, images=images, mask=mask)), commands


#: Marks the place of a file's data URL in a body.
_MARK = "\0{}\0"


def command(call: Call, key_header: str | None, headers: Mapping[str, str]) -> str:
    """Return the shell command that sends *call*.

    *key_header* is the header with the key, quoted; None if none is needed. *headers* are those of every call.
    """
    parts = [f"curl --silent --show-error --request {call.method} {shlex.quote(call.url)}"]
    all_headers = {**headers, **call.headers}
    if call.json is not None:
        all_headers["Content-Type"] = "application/json"
    parts += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in all_headers.items()]
    if call.signed and key_header:
        parts.append(f"--header {key_header}")
    if call.json is None:
        parts += [f"--form-string {shlex.quote(f'{name}={value}')}" for name, value in call.form]
        parts += [f"--form {shlex.quote(_file(part))}" for part in call.files]
        return " \\\n  ".join(parts)
    return " \\\n  ".join([*parts, "--data-binary @-"]) + " " + _document(call.json)


def download(url: str, file: str) -> str:
    """Return the command that downloads *url* to *file*."""
    if is_object_url(url):
        return _download_object(ObjectUrl.parse(url), file)
    return f"curl --silent --show-error --location --output {file} {shlex.quote(url)}"


def _download_object(url: ObjectUrl, file: str) -> str:
    """Return the command of the store's own tool that downloads an object."""
    match url.scheme:
        case "s3":
            return f"aws s3 cp {shlex.quote(str(url))} {file}"
        case "gs":
            return f"gcloud storage cp {shlex.quote(str(url))} {file}"
        case _:
            names = f"--container-name {shlex.quote(url.bucket)} --name {shlex.quote(str(url.path))}"
            return f"az storage blob download {names} --file {file}"


def _file(part: FilePart) -> str:
    quoted = (part.source.path or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'{part.name}=@"{quoted}";filename={part.filename};type={part.mime}'


def _document(body: Mapping[str, Any]) -> str:
    """Return the body as a here-document, in which the shell inserts the content of files."""
    files: list[DataUrl] = []

    def placeholder(value: DataUrl) -> str:
        files.append(value)
        return _MARK.format(len(files) - 1)

    text = json.dumps(body, default=placeholder, ensure_ascii=False, separators=(",", ":"))
    if not files:
        return f"<<'JSON'\n{text}\nJSON"
    for sign in ("\\", "$", "`"):
        text = text.replace(sign, f"\\{sign}")
    for number, file in enumerate(files):
        source = shlex.quote(file.source.path or "")
        mark = json.dumps(_MARK.format(number))[1:-1].replace("\\", "\\\\")
        prefix = "" if file.bare else f"data:{file.source.mime};base64,"
        text = text.replace(mark, f"{prefix}$(base64 < {source} | tr -d '\\n')")
    return f"<<JSON\n{text}\nJSON"
