"""Web addresses of objects: where a browser finds them if their bucket may be read by everyone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from ...files.store_variables import ENDPOINTS
from ...object_url import ObjectUrl

_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def web_address(place: ObjectUrl, environment: Mapping[str, str]) -> str:
    """Return the https address of an object or a prefix; that of an S3-compatible store begins with its endpoint."""
    path = f"/{quote(str(place.path))}".removesuffix("/.")
    if place.scheme == "gs":
        return f"https://storage.googleapis.com/{place.bucket}{path}"
    if place.scheme == "az":
        account = environment.get("AZURE_STORAGE_ACCOUNT_NAME", "account")
        return f"https://{account}.blob.core.windows.net/{place.bucket}{path}"
    if endpoint := next(filter(None, map(environment.get, ENDPOINTS["s3"])), None):
        address = urlsplit(endpoint)
        port = "" if address.port is None else f":{address.port}"
        return f"{address.scheme}://{address.hostname}{port}{address.path.rstrip('/')}/{place.bucket}{path}"
    region = next(filter(None, map(environment.get, _REGIONS)), "us-east-1")
    return f"https://{place.bucket}.s3.{region}.amazonaws.com{path}"
