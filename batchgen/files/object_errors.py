"""Errors of object stores, in words that say what happened, why probably, and what to type. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from .. import redaction
from ..errors import StoreError
from ..object_url import ObjectUrl

_STATUS = re.compile(r"status code: (\d{3})")
_BARE = {"301", "400", "401", "403"}
_CODE = re.compile(r"<Code>(\w+)</Code>")
#: Answers that ask for patience: too slow, too many requests, a failure inside the store.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_PASSING_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted"}


class StoreRefusal(StoreError):
    """The object store refused a request, or cannot be used at all: the same request would fail again."""


class NoBucketError(StoreRefusal):
    """The bucket does not exist."""


class OutageError(StoreError):
    """The object store did not answer, or asked for patience: the same request may succeed later."""


class _Advice(NamedTuple):
    cause: str
    fix: str


_ENDPOINT = "set AWS_ENDPOINT_URL where the store is not Amazon's"
_BY_CODE = {
    "NoSuchBucket": _Advice(
        "the bucket does not exist there", f"create it, or fix the address in the manifest; {_ENDPOINT}"
    ),
    "ContainerNotFound": _Advice("the container does not exist", "create it, or fix the address in the manifest"),
    "InvalidBucketName": _Advice("a bucket cannot have this name", "fix the address in the manifest"),
    "InvalidAccessKeyId": _Advice("the store does not know this access key", "check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": _Advice("the secret key does not belong to the access key", "check AWS_SECRET_ACCESS_KEY"),
    "ExpiredToken": _Advice("the credentials have expired", "renew them (AWS_SESSION_TOKEN)"),
    "InvalidToken": _Advice("the session token is not valid", "renew or unset AWS_SESSION_TOKEN"),
    "RequestTimeTooSkewed": _Advice(
        "the clock of this machine is wrong by many minutes", "set it (timedatectl set-ntp true)"
    ),
    "AccessDenied": _Advice(
        "these credentials may not do that", "allow s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket"
    ),
    "PermanentRedirect": _Advice("the bucket is in another region", "set AWS_REGION to the bucket's region"),
    "TemporaryRedirect": _Advice("the bucket is in another region", "set AWS_REGION to the bucket's region"),
    "AuthorizationHeaderMalformed": _Advice(
        "the bucket is probably in another region", "set AWS_REGION to the bucket's region"
    ),
    "NotImplemented": _Advice(
        "this store lacks a function that batchgen needs, probably conditional writes (If-None-Match)",
        "use another store, or a newer version of it",
    ),
    "KeyTooLongError": _Advice("the name is too long", "object stores allow 1,024 bytes: shorten it in the manifest"),
}
_BY_STATUS = {
    401: _Advice("the credentials are missing or not valid", "check them in the environment"),
    403: _Advice("these credentials may not do that", "check them and the permissions of the bucket"),
    301: _BY_CODE["PermanentRedirect"],
    404: _Advice("there is no such bucket or object", f"check the address; {_ENDPOINT}"),
    501: _BY_CODE["NotImplemented"],
}
_NO_CREDENTIALS = _Advice(
    "no credentials were found in the environment",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for example by: "
    'eval "$(aws configure export-credentials --format env)"',
)
_CREDENTIAL_HOSTS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "metadata/identity")


def is_bare(error: Exception) -> bool:
    """Return whether the store refused a request without a reason, as it does for HEAD: its answers have no text."""
    found = _STATUS.search(str(error))
    return found is not None and found[1] in _BARE and not _CODE.search(str(error))


def explain(error: Exception, verb: str, url: ObjectUrl) -> StoreError:
    """Return the error for the user; a StoreError stays as it is."""
    if isinstance(error, StoreError):
        return error
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else None
    what = f"cannot {verb} {url}"
    if any(host in text.partition("\n\nDebug source")[0] for host in _CREDENTIAL_HOSTS):
        return StoreRefusal(f"{what}: {_NO_CREDENTIALS.cause}. {_sentence(_NO_CREDENTIALS.fix)}")
    if status is None and isinstance(error, ValueError):
        return StoreRefusal(f"{what}: {_first_line(text)}")
    if "redirect without LOCATION" in text:
        status = 301  # the only sign of a wrong region in some versions of the client
    if code in _PASSING_CODES or status in _PASSING or status is None:
        return OutageError(f"{what}: {_outage(status, code, text)}")
    advice = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
    answer = f"the store answered {status}{f' {code}' if code else ''}"
    if advice is None:
        return StoreRefusal(f"{what}: {answer}")
    kind = NoBucketError if code in ("NoSuchBucket", "ContainerNotFound") else StoreRefusal
    return kind(f"{what}: {answer}: {advice.cause}. {_sentence(advice.fix)}")


def _outage(status: int | None, code: str | None, text: str) -> str:
    if status is not None:
        return f"the store answered {status}{f' {code}' if code else ''}"
    if "kind: Timeout" in text or "TimedOut" in text:
        return "the store did not answer in time"
    if "kind: Connect" in text:
        host = _host(text)
        return f"the store cannot be reached{f' at {host}' if host else ''}. Check the network; {_ENDPOINT}"
    return f"the connection failed ({_first_line(text)})"


def _host(text: str) -> str | None:
    """Return the host and port of the request that failed, without what may be secret in its address."""
    found = re.search(r"https?://([^/?#\s)]+)", text)
    return found[1].rpartition("@")[2] if found else None


def _first_line(text: str) -> str:
    """Return the first line of a message, without the address of the request, which may carry a signature."""
    line = re.sub(r"https?://\S+", "...", text.partition("\n")[0])
    return redaction.hidden(line, redaction.known())[:200]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
