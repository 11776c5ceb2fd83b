"""Environment variables of object stores: addresses, and which of them hold secrets. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

#: Variables with the address of a store that is not Amazon's or Microsoft's own; the first that is set counts.
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_SECRET = re.compile(
    r"(?i)(AWS|AZURE|GOOGLE)_(?=.*(SECRET|TOKEN|KEY|SAS|PASSWORD|CONNECTION_STRING))(?!.*_(ID|FILE|PATH|URI)$).+"
)
_ENDPOINT = re.compile(r"(?i)(AWS|AZURE|GOOGLE)_.*(ENDPOINT|_URL).*")


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the secret keys, tokens and signatures with which object stores may be used."""
    for name, value in environment.items():
        if _SECRET.fullmatch(name):
            if not value.lstrip().startswith("{"):
                yield value
            yield from _inner(value)
        elif _ENDPOINT.fullmatch(name):
            with suppress(ValueError):
                yield urlsplit(value).password or ""


def _inner(value: str) -> Iterator[str]:
    """Yield what is secret inside of *value*: the signature of a token of Azure, the private key in a key of Google."""
    yield from parse_qs(value.removeprefix("?")).get("sig", ())
    if value.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            lines = str(json.loads(value).get("private_key")).splitlines()
            # A pattern for each of its lines would cost too much; the first ones are much alike in all keys.
            yield from [line for line in lines if "-----" not in line][2:5]
    for field in value.split(";"):  # of a connection string
        label, _, secret = field.partition("=")
        if label in ("AccountKey", "SharedAccessSignature"):
            yield secret
