"""Checks of OpenAI's files and batches: of uploads, of creations, and of each line of a file of requests.

By the sources that ``providers/openai_batch`` names.
"""

from __future__ import annotations

import json

from ..prices import GPT_RATES
from ..values import Json, invalid
from .batch import Line, RemoteFile
from .work import InvalidBatch, documents

KINDS = {"/v1/images/generations": "generation", "/v1/images/edits": "edit"}
ENDPOINTS = {kind: path for path, kind in KINDS.items()}
#: Seconds for which the provider keeps files.
LIFETIME = 2_592_000
_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
#: Endpoints of batches that this sandbox does not simulate.
_OTHER_ENDPOINTS = ("/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/moderations",
                    "/v1/videos")  # fmt: skip
_FIELDS = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
_MOST_LINES, _MOST_BYTES = 50_000, 200_000_000


def check_upload(fields: dict[str, str], file: RemoteFile) -> None:
    """Refuse the upload of a file that the provider would refuse."""
    if fields.get("purpose") not in _PURPOSES:
        raise invalid("'purpose' is missing or not one of the purposes.", "invalid_value", "purpose")
    if unknown := set(fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"}:
        raise invalid(f"Unknown parameter: '{min(unknown)}'.", "unknown_parameter", min(unknown))
    seconds = fields.get("expires_after[seconds]", "3600")
    if not seconds.isdigit() or not 3600 <= int(seconds) <= LIFETIME:
        raise invalid("'expires_after.seconds' must be between 3600 and 2592000.", "invalid_value", "expires_after")
    if fields["purpose"] == "batch" and not file.name.endswith(".jsonl"):
        raise invalid("Invalid file format for Batch API. Must be .jsonl", "invalid_file_format", "file")
    if fields["purpose"] == "batch" and file.path.stat().st_size > _MOST_BYTES:
        raise invalid("The file is too large for the Batch API: at most 200 MB.", "file_too_large", "file")


def checked_fields(fields: Json) -> str:
    """Check the body of a creation; return the kind of its requests."""
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(fields.get(name), str):
            raise invalid(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
    if unknown := set(fields) - _FIELDS:
        raise invalid(f"Unknown parameter: '{min(unknown)}'.", "unknown_parameter", min(unknown))
    if fields["completion_window"] != "24h":
        raise invalid("Invalid value: 'completion_window' must be '24h'.", "invalid_value", "completion_window")
    if fields["endpoint"] in _OTHER_ENDPOINTS:
        raise invalid("Only batches of images are simulated here.", "unsupported_value", "endpoint")
    if fields["endpoint"] not in KINDS:
        raise invalid(f"Invalid value: '{fields['endpoint']}'.", "invalid_value", "endpoint")
    metadata = fields.get("metadata")
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    if metadata is not None and (
        not isinstance(metadata, dict)
        or len(metadata) > 16
        or any(not isinstance(value, str) or len(value) > 512 or len(key) > 64 for key, value in pairs)
    ):
        raise invalid("Invalid 'metadata': at most 16 pairs of texts of 64 and 512.", "invalid_value", "metadata")
    return KINDS[fields["endpoint"]]


def checked_lines(file: RemoteFile, kind: str) -> tuple[list[Line], str]:
    """Return the lines of a file of requests, and their model; raise InvalidBatch at the first bad one."""
    if file.purpose != "batch":
        message = f"Cannot find file {file.id}, or organization org-sandbox does not have access to it."
        raise InvalidBatch("invalid_request", message, "file_id")
    lines: list[Line] = []
    keys: set[str] = set()
    model = ""
    for number, start, raw in documents(file.path):
        key, line_model = _checked_line(raw, number, kind)
        if key in keys:
            raise InvalidBatch("duplicate_custom_id", f"The custom_id '{key}' is duplicated.", "custom_id", number)
        model = model or line_model
        if line_model != model:
            message = f"Expected all requests of the batch to have the model '{model}'."
            raise InvalidBatch("mismatched_model", message, "body.model", number)
        keys.add(key)
        lines.append(Line(number=number, key=key, start=start, length=len(raw)))
    if not lines:
        raise InvalidBatch("empty_file", "The batch input file is empty.", "file_id")
    if len(lines) > _MOST_LINES:
        raise InvalidBatch("too_many_tasks", "The batch input file has more than 50000 lines.", "file_id")
    return lines, model


def _checked_line(raw: bytes, number: int, kind: str) -> tuple[str, str]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidBatch("invalid_json_line", "This line is not parseable as valid JSON.", None, number)
    for name in ("custom_id", "method", "url", "body"):
        if not document.get(name):
            message = f"Missing required parameter: '{name}'."
            raise InvalidBatch("missing_required_parameter", message, name, number)
    if document["method"] != "POST":
        raise InvalidBatch("invalid_method", "The method must be POST.", "method", number)
    if document["url"] != ENDPOINTS[kind]:
        message = "The URL provided for this request does not match the batch endpoint."
        raise InvalidBatch("invalid_url", message, "url", number)
    body = document["body"]
    model = body.get("model") if isinstance(body, dict) else None
    if not isinstance(model, str):
        raise InvalidBatch("invalid_request", "The request has no model.", "body.model", number)
    if model not in GPT_RATES:
        message = f"The provided model '{model}' is not supported by the Batch API."
        raise InvalidBatch("model_not_found", message, "body.model", number)
    if body.get("stream"):
        message = "Streaming is not supported in the Batch API."
        raise InvalidBatch("streaming_unsupported", message, "body.stream", number)
    return str(document["custom_id"]), model
