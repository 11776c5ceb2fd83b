"""Object store: objects below one prefix of a bucket, in S3, Google Cloud Storage, Azure or a compatible store.

The only module that imports obstore (extra ``cloud``). Credentials, region and endpoint come from the environment, by
the names that the stores' own tools use. Every error of the store ends here as a StoreError that states what to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, partial
from importlib.util import find_spec
from secrets import token_hex
from threading import Lock
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from anyio import to_thread

from .. import redaction
from ..object_url import ObjectUrl
from .last_call import last_call
from .object_errors import StoreRefusal, explain, is_bare
from .store_variables import ENDPOINTS, secrets_of

#: How to install what this module needs.
EXTRA = "pip install 'batchgen[cloud]'"
#: One request may take so long: 2 MB at the pace of a slow line that 64 uploads share.
_PATIENCE = timedelta(minutes=3)
#: The upload of an object of this size or more may take longer. It is one request, too: obstore cannot make an upload
#: in parts conditional, and without a condition one of two writers could lose its object.
_LARGE, _LONG_PATIENCE = 16 * 1024 * 1024, timedelta(minutes=30)
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
#: The beginning of the names of batchgen's own metadata.
_METADATA = "batchgen-"
#: What a client depends on: another one is made where a variable has changed.
_VARIABLES = (
    *(name for names in ENDPOINTS.values() for name in names),
    *("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AZURE_STORAGE_ACCOUNT_NAME"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """Facts about an object."""

    name: str  #: below the prefix
    size_bytes: int
    changed: datetime  #: by the clock of the store
    etag: str | None = None  #: without quotes
    facts: Mapping[str, str] | None = None  #: Content-Type and metadata; only ``head`` asks for them


#: What a store compares before it replaces an object.
Version = Mapping[str, str]


def is_installed() -> bool:
    """Return whether the extra is installed, without loading it."""
    return find_spec("obstore") is not None


class ObjectStore:
    """The objects below one prefix; every method raises StoreError, and OutageError where a later try may succeed."""

    def __init__(self, url: ObjectUrl) -> None:
        """Raise StoreError if the extra is missing or the endpoint may not be used."""
        self.url = url
        self._bucket = _bucket(url.root, tuple(os.environ.get(name) for name in _VARIABLES))
        self._client = self._bucket.client

    def test_conditional(self) -> bool:
        """Return whether the store refuses to create an object a second time; the first call writes one to find out.

        Where it does not, a name is looked up before it is written: that is no protection against a second writer at
        the same moment.
        """
        with self._bucket.trying:
            stated = self._bucket.is_conditional
            return self.require_writable() if stated is None else stated

    def require_writable(self) -> bool:
        """Create an object twice, and remove it; raise StoreError if that cannot be done. Returns as the above."""
        name = f".batchgen/test-{token_hex(8)}"
        put = partial(_obstore().put, self._client, self._path(name), **_options(_TEXT, "create"))
        with _errors("write", self.url / name):
            if not _is_new(lambda: put(b"batchgen tests whether it can write here\n")):
                return True
            self._bucket.is_conditional = not _is_new(lambda: put(b"a second writer must be refused\n"))
        self.delete(name)
        return self._bucket.is_conditional

    def put_new(self, name: str, data: bytes, facts: Mapping[str, str]) -> bool:
        """Create an object; return False, and change nothing, if one has that name."""
        if not self.test_conditional():
            return self._put_missing(name, data, facts)
        with _errors("write", self.url / name):
            return _is_new(lambda: self._put(name, data, facts, "create"))

    async def put_new_soon(self, name: str, data: bytes, facts: Mapping[str, str]) -> bool:
        """Create an object without a thread; return False, and change nothing, if one has that name."""
        api = _obstore()
        if self._bucket.is_conditional is not True and not await to_thread.run_sync(self.test_conditional):
            return await to_thread.run_sync(self._put_missing, name, data, facts)
        with _errors("write", self.url / name):
            try:
                client, options = self._bucket.client_for(data), _options(self._attributes(facts), "create")
                await api.put_async(client, self._path(name), data, **options)
            except api.exceptions.AlreadyExistsError:
                return False
            finally:
                last_call.at = time.monotonic()
            return True

    def put(self, name: str, data: bytes, facts: Mapping[str, str]) -> None:
        """Create or replace an object."""
        with _errors("write", self.url / name):
            self._put(name, data, facts, "overwrite")

    def replace(self, name: str, data: bytes, facts: Mapping[str, str], version: Version) -> bool:
        """Replace *version* of an object; return False, and change nothing, if it is not the present one."""
        mode: Any = dict(version) if self.test_conditional() else "overwrite"
        with _errors("write", self.url / name):
            try:
                self._put(name, data, facts, mode)
            except _obstore().exceptions.PreconditionError:
                return False
        return True

    def head(self, name: str) -> StoredObject | None:
        """Return the facts about an object; None if there is none."""
        with _errors("read", self.url / name):
            try:
                answer = _obstore().get(self._client, self._path(name), options={"head": True})
            except FileNotFoundError:
                self._confirm_bucket(name)
                return None
            except _obstore().exceptions.BaseError as error:
                if is_bare(error):  # The store states its reason only to a request whose answer has a body.
                    _obstore().get_range(self._client, self._path(name), start=0, length=1)
                raise
            facts = {_fact(key): str(value) for key, value in answer.attributes.items()}
            return _stored(name, answer.meta, facts)

    def get(self, name: str, etag: str | None = None) -> bytes:
        """Return the bytes of an object; raise FileNotFoundError if there is none, or none that has *etag*."""
        return b"".join(self.chunks(name, etag))

    def find(self, name: str) -> bytes | None:
        """Return the bytes of an object; None if there is none."""
        try:
            return self.get(name)
        except FileNotFoundError:
            return None

    def find_version(self, name: str) -> tuple[bytes, Version] | None:
        """Return the bytes of an object and their version; None if there is none."""
        with _errors("read", self.url / name):
            try:
                answer = _obstore().get(self._client, self._path(name))
                version = {key: answer.meta[key] for key in ("e_tag", "version") if answer.meta[key] is not None}
                return b"".join(answer), version
            except FileNotFoundError as error:
                _require_bucket(error)
                return None

    def get_to(self, name: str, file: BinaryIO, etag: str | None = None) -> None:
        """Write the bytes of an object to *file*, piece by piece; raise FileNotFoundError as ``get`` does."""
        file.writelines(self.chunks(name, etag))

    def chunks(self, name: str, etag: str | None = None) -> Iterator[bytes]:
        """Yield the bytes of an object, piece by piece; raise FileNotFoundError as ``get`` does."""
        api, missing = _obstore(), False
        options = {} if etag is None else {"options": {"if_match": f'"{etag}"'}}
        with _errors("read", self.url / name):
            try:
                yield from api.get(self._client, self._path(name), **options)
            except FileNotFoundError as error:
                _require_bucket(error)
                missing = True
            except api.exceptions.PreconditionError:
                missing = True
        if missing:
            raise FileNotFoundError(f"{self.url / name} does not exist" + (" any more in that version" if etag else ""))

    def list(self, below: str = "") -> Iterator[StoredObject]:
        """Yield the objects in the folder *below* and its folders, by name."""
        prefix = self._path(below) if below else "" if self.url == self.url.root else str(self.url.path)
        cut = 0 if self.url == self.url.root else len(str(self.url.path)) + 1
        with _errors("list", self.url / below if below else self.url):
            for chunk in _obstore().list(self._client, prefix or None, chunk_size=1_000):
                for meta in chunk:
                    yield _stored(meta["path"][cut:], meta)

    def delete(self, names: str | Sequence[str]) -> None:
        """Remove objects; those that are missing do no harm."""
        names = [names] if isinstance(names, str) else list(names)
        with _errors("remove", self.url / names[0] if names else self.url):
            try:
                _obstore().delete(self._client, [self._path(name) for name in names])
            except FileNotFoundError as error:
                _require_bucket(error)

    def _put(self, name: str, data: bytes, facts: Mapping[str, str], mode: Any) -> None:  # noqa: ANN401 - obstore's
        client, options = self._bucket.client_for(data), _options(self._attributes(facts), mode)
        _obstore().put(client, self._path(name), data, **options)

    def _put_missing(self, name: str, data: bytes, facts: Mapping[str, str]) -> bool:
        if self.head(name) is not None:
            return False
        self.put(name, data, facts)
        return True

    def _confirm_bucket(self, name: str) -> None:
        """Make sure, once, that the bucket of a missing object is there: an answer to HEAD does not show it."""
        if not self._bucket.is_there:
            try:
                _obstore().get(self._client, self._path(name))
            except FileNotFoundError as error:
                _require_bucket(error)
            self._bucket.is_there = True

    def _attributes(self, facts: Mapping[str, str]) -> Mapping[str, str]:
        """Return *facts* as the store takes them: Azure allows no hyphens in names of metadata."""
        if self.url.scheme != "az":
            return facts
        return {key.replace("-", "_") if key.startswith(_METADATA) else key: value for key, value in facts.items()}

    def _path(self, name: str) -> str:
        return str((self.url / name).path)


def _fact(key: str) -> str:
    """Return the name of a fact as ``put`` takes it."""
    return key.replace("_", "-") if key.replace("_", "-").startswith(_METADATA) else key


def _options(facts: Mapping[str, str], mode: Any) -> dict[str, Any]:  # noqa: ANN401 - obstore's
    return {"attributes": dict(facts), "mode": mode, "use_multipart": False}


def _is_new(put: Callable[[], object]) -> bool:
    try:
        put()
    except _obstore().exceptions.AlreadyExistsError:
        return False
    return True


def _require_bucket(error: FileNotFoundError) -> None:
    """Raise *error* again if it means that the bucket is missing, and not only the object."""
    if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
        raise error


def _stored(name: str, meta: Any, facts: Mapping[str, str] | None = None) -> StoredObject:  # noqa: ANN401 - obstore's
    return StoredObject(
        name=name,
        size_bytes=meta["size"],
        changed=meta["last_modified"],
        etag=_bare(meta["e_tag"]),
        facts=facts,
    )


def _bare(etag: str | None) -> str | None:
    return None if etag is None else etag.removeprefix("W/").strip('"')


@contextmanager
def _errors(verb: str, url: ObjectUrl) -> Iterator[None]:
    """Turn every error of the store into a StoreError."""
    api = _obstore()
    try:
        yield
    except (api.exceptions.BaseError, FileNotFoundError, PermissionError, ValueError, OSError) as error:
        raise explain(error, verb, url) from error


def _obstore() -> Any:  # noqa: ANN401 - a module
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise StoreRefusal(f"object stores need the extra cloud: {EXTRA}") from error
    return obstore


@dataclass(slots=True)
class _Bucket:
    """A bucket, with the connections that all its users share."""

    client: Any
    slow_client: Any  #: for large objects
    is_conditional: bool | None = None  #: None: not tried yet
    trying: Lock = field(default_factory=Lock)
    is_there: bool = False  #: it has been seen to exist

    def client_for(self, data: bytes) -> Any:  # noqa: ANN401 - obstore's
        return self.client if len(data) < _LARGE else self.slow_client


@lru_cache(32)
def _bucket(bucket: ObjectUrl, environment: tuple[str | None, ...]) -> _Bucket:  # noqa: ARG001 - a key
    redaction.register(secrets_of(os.environ))
    config: dict[str, Any] = {}
    client_options: dict[str, Any] = {"connect_timeout": timedelta(seconds=10)}
    variable = next(filter(os.environ.get, ENDPOINTS.get(bucket.scheme, ())), None)
    if variable is not None:
        config["endpoint"] = os.environ[variable]
        if bucket.scheme == "s3":
            config["disable_bulk_delete"] = True  # not every store has the request that removes many
        client_options |= {"allow_http": _may_be_plain(variable)}
    retries = {
        "max_retries": 3,
        "retry_timeout": timedelta(seconds=20),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    with _errors("open", bucket):
        open_client = partial(_obstore().store.from_url, str(bucket), config=config, retry_config=retries)
        clients = [
            open_client(client_options=client_options | {"timeout": each}) for each in (_PATIENCE, _LONG_PATIENCE)
        ]
    return _Bucket(*clients)


def _may_be_plain(variable: str) -> bool:
    """Return whether *variable* names an endpoint on this machine without TLS; raise StoreError for one elsewhere."""
    address = urlsplit(os.environ[variable])
    if address.scheme != "http":
        return False
    if address.hostname not in _LOOPBACK:
        raise StoreRefusal(
            f"the object store's endpoint {address.scheme}://{address.hostname} is not encrypted: credentials and "
            f"images would be readable on the way. Set {variable} to its https:// address; plain http is "
            "allowed to this machine only"
        )
    return True
