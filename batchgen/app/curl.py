"""A dialect's call as a curl command for a shell.  Pure; the key stands in it by the name of its variable."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from ..providers.base import Call, DataUrl, FilePart

#: Stands in the document of a body where the data URL of a file belongs.
_MARK = "\0{}\0"


def command(call: Call, variable: str | None, headers: Mapping[str, str]) -> str:
    """Return the command that sends *call*, by a POSIX shell.

    *variable* is that of the key, None where none is needed; *headers* are those that every call has.
    """
    parts = [f"curl --silent --show-error --request {call.method} {shlex.quote(call.url)}"]
    said = {**headers, **call.headers}
    if call.json is not None:
        said["Content-Type"] = "application/json"
    parts += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in said.items()]
    if call.signed and variable:
        parts.append(f'--header "Authorization: Bearer ${variable}"')
    if call.json is None:
        parts += [f"--form-string {shlex.quote(f'{name}={value}')}" for name, value in call.form]
        parts += [f"--form {shlex.quote(_file(part))}" for part in call.files]
        return " \\\n  ".join(parts)
    return " \\\n  ".join([*parts, "--data-binary @-"]) + " " + _document(call.json)


def download(url: str, file: str) -> str:
    """Return the command that fetches *url* into *file*."""
    return f"curl --silent --show-error --location --output {file} {shlex.quote(url)}"


def _file(part: FilePart) -> str:
    quoted = (part.source.path or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'{part.name}=@"{quoted}";filename={part.filename};type={part.mime}'


def _document(body: Mapping[str, Any]) -> str:
    """Return the body as a here-document; one with files in it is written by the shell, which puts them in."""
    files: list[DataUrl] = []

    def leave_room(value: DataUrl) -> str:
        files.append(value)
        return _MARK.format(len(files) - 1)

    text = json.dumps(body, default=leave_room, ensure_ascii=False, separators=(",", ":"))
    if not files:
        return f"<<'JSON'\n{text}\nJSON"
    for sign in ("\\", "$", "`"):
        text = text.replace(sign, f"\\{sign}")
    for number, file in enumerate(files):
        source = shlex.quote(file.source.path or "")
        mark = json.dumps(_MARK.format(number))[1:-1].replace("\\", "\\\\")
        text = text.replace(mark, f"data:{file.source.mime};base64,$(base64 < {source} | tr -d '\\n')")
    return f"<<JSON\n{text}\nJSON"
