"""Guesses: keys and values that people write by analogy with other tools, and the line that works here. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import secrets
from .locations import Path

#: Sections of the whole manifest by the keys that other tools have; {} is the value.
_OF_THE_MANIFEST: Mapping[tuple[str, ...], str] = {
    ("output_dir", "output_folder", "outdir", "out_dir", "out", "folder", "dir", "output_path", "destination"): (
        "write  output: {}"
    ),
    ("filename", "file_name", "output_file"): "write  output: {file: {}}",
    ("concurrency", "parallel", "parallelism", "workers", "threads", "max_concurrency"): (
        "write  providers: {NAME: {limits: {concurrency: {}}}}, or --concurrency {}"
    ),
    ("rpm", "rate", "rate_limit", "requests_per_minute"): (
        "write  providers: {NAME: {limits: {requests_per_minute: {}}}}"
    ),
    ("retries", "max_retries", "attempts", "max_attempts"): "write  retry: {attempts: {}}",
    ("timeout",): "write  providers: {NAME: {timeout: {total: {}}}}",
    ("max_cost", "cost_limit", "max_budget", "budget_usd", "max_usd", "usd"): "write  budget: {}",
    ("variables", "params"): "write  vars: {name: value}",
    ("parameters", "settings", "options", "default"): "write  defaults: {model: ..., size: ...}",
    ("job", "tasks", "requests", "items", "entries"): "write  jobs:",
    ("from", "list", "csv", "file", "input"): "write  jobs: [{from: {}}]",
}
#: Parameters of a job by their names elsewhere.
_OF_A_JOB: Mapping[tuple[str, ...], str] = {
    ("image", "img", "input_image", "source_image", "source", "photo", "reference", "init_image"): "write  images: {}",
    ("text", "description", "caption"): "write  prompt: {}",
    ("aspect_ratio", "ratio", "dimensions", "aspect", "resolution_px"): "write  size: {}",
    ("width", "height"): "write  size: WIDTHxHEIGHT",
    ("count", "number", "num_images", "number_of_images", "samples", "variations", "num"): "write  n: {}",
    ("batch_size",): "write  per_request: {}",
    ("format", "file_format", "image_format", "response_format"): "write  output_format: {}",
    ("compression",): "write  output_compression: {}",
    (
        "negative_prompt",
        "negative",
    ): "no parameter: put what to avoid into the prompt, or under extra: if the API has it",
    ("name", "key", "slug", "filename", "file_name", "output"): "write  id: {}  which names the file, too",
    ("engine", "model_name"): "write  model: {}",
    ("api", "service", "backend"): "write  provider: {}",
    ("tag", "labels", "label"): "write  tags: {}",
    ("list", "csv", "file", "input", "rows"): "write  from: {}",
    ("params", "options", "parameters"): "write them next to the prompt, or under extra: if only the API knows them",
}


def provider_of(data: Mapping[str, Any]) -> str | None:
    """Return the provider that the manifest *data* uses: that of its defaults, or the only one it names."""
    defaults = data.get("defaults")
    jobs = data.get("jobs")
    blocks = [defaults, *(jobs if isinstance(jobs, list) else ())]
    names: dict[str, None] = {}
    for block in blocks:
        named = block.get("provider") if isinstance(block, dict) else None
        first = named[0] if isinstance(named, list) and named else named
        if isinstance(first, str):
            if block is defaults:
                return first
            names[first] = None
    configured = data.get("providers")
    names |= dict.fromkeys(configured if isinstance(configured, dict) and not names else ())
    return next(iter(names)) if len(names) == 1 else None


def with_provider(hint: str, name: str | None) -> str:
    """Return a hint with the provider's name; without one, the reader has to put it in."""
    if "{NAME:" not in hint:
        return hint
    return hint.replace("{NAME:", f"{{{name}:") if name else f"{hint}  with the provider's name for NAME"


def key_hint(path: Path, value: object) -> str:
    """Return the line to write in place of the unknown key at *path*; empty if there is no guess."""
    in_job = path[0] in ("jobs", "defaults")
    if len(path) != 1 and not (in_job and len(path) == (3 if path[0] == "jobs" else 2)):
        return ""
    key = re.sub(r"[\s-]+", "_", str(path[-1]).strip().lower())
    table = _OF_A_JOB if in_job else _OF_THE_MANIFEST
    for keys, line in table.items():
        if key in keys:
            return line.replace("{}", _shown(value))
    if in_job and (hint := next((line for keys, line in _OF_THE_MANIFEST.items() if key in keys), "")):
        return f"for the whole manifest, {hint.replace('{}', _shown(value))}"
    if not in_job and (hint := next((line for keys, line in _OF_A_JOB.items() if key in keys), "")):
        return f"in a job, or under defaults:, {hint.replace('{}', _shown(value))}"
    return ""


def top_level_hint(key: str, value: object) -> str:
    """Return the line to write in place of a job's parameter at the top of the manifest."""
    if key in ("prompt", "id", "matrix", "zip", "from", "repeat", "columns"):
        return f"write  jobs: [{{{key}: {_shown(value)}}}]"
    return f"write  defaults: {{{key}: {_shown(value)}}}"


def value_hint(path: Path, value: object) -> str:
    """Return the line to write where the value at *path* should be a list or a mapping; empty if there is no guess."""
    name = str(path[-1]) if path else ""
    if path == ("jobs",) and isinstance(value, dict) and all(isinstance(job, dict) for job in value.values()):
        first = next(iter(value), "a")
        return f"write a list, with the name as id:  jobs: [{{id: {first}, prompt: ...}}]"
    if len(path) == 2 and path[0] == "jobs" and isinstance(value, str):
        return f"write  {{prompt: {_shown(value)}}}, or put plain prompts under  prompts:"
    if name in ("budget", "per_day", "per_month") and isinstance(value, str):
        amount = re.search(r"\d+(?:\.\d+)?", value)
        return f"write  {name}: {amount[0] if amount else '20'}  for US dollars"
    if path == ("jobs",) and isinstance(value, str):
        return f"write  jobs: [{{from: {_shown(value)}}}]  for a list, or  include: {_shown(value)}  for a manifest"
    return ""


def _shown(value: object) -> str:
    """Return a short scalar as YAML, or dots."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return "..."
    text = str(value)
    if len(text) > 40 or not text.isprintable() or secrets.is_key(text):
        return "..."
    return text if re.fullmatch(r"[\w./][\w./ -]*", text) else "'" + text.replace("'", "''") + "'"
