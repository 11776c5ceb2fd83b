"""Owners of batches: a server's job database is open to several projects, and a batch belongs to one of them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ..database_url import DatabaseUrl
from ..errors import UsageError
from .dialects import upsert
from .tables import batches, properties

_KINDS = {False: "real", True: "sandbox"}
_SCHEMA = "use a schema of its own: CREATE SCHEMA NAME, and add ?options=-csearch_path%3DNAME to --db"


def take_batch(
    connection: Connection, *, database: DatabaseUrl, name: str, manifest: str, folder: str, sandbox: bool
) -> None:
    """Reserve a new batch for this project; raise UsageError if it is another project's, or of another kind of run."""
    kind, key = _KINDS[sandbox], f"runs of batch {name}"
    connection.execute(
        upsert(connection, properties).values(name=key, value=kind).on_conflict_do_nothing(index_elements=["name"])
    )
    stored = connection.scalar(select(properties.c.value).where(properties.c.name == key))
    if stored != kind:
        effect = "simulated images would count as bought" if sandbox else "simulated images would not be bought"
        raise UsageError(
            f"Job database {database}: batch {name!r} has {stored} runs there, and this is a {kind} run, so that "
            f"{effect}. Nothing was sent. For sandbox runs {_SCHEMA}."
        )
    row = connection.execute(select(batches.c.manifest, batches.c.folder).where(batches.c.name == name)).one_or_none()
    if row is not None and row.manifest != manifest and row.folder != folder:
        moved = f"UPDATE batches SET manifest = '{manifest}' WHERE name = '{name}'"  # noqa: S608 - for users to type
        raise UsageError(
            f"Job database {database}: batch {name!r} belongs to another project, with the manifest {row.manifest} and "
            f"the output {row.folder}. Nothing was sent. Give this batch another name in the manifest, or {_SCHEMA}. "
            f"If it is the same project, which was moved: {moved}"
        )
