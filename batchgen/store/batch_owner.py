"""Owners of batches: a server's job database is open to several projects, and a batch belongs to one of them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ..database_url import DatabaseUrl
from ..errors import UsageError
from .tables import batches


def require_owner(connection: Connection, *, database: DatabaseUrl, name: str, manifest: str, folder: str) -> None:
    """Raise UsageError if the batch is another project's."""
    row = connection.execute(select(batches.c.manifest, batches.c.folder).where(batches.c.name == name)).one_or_none()
    if row is not None and row.manifest != manifest and row.folder != folder:
        moved = f"UPDATE batches SET manifest = '{manifest}' WHERE name = '{name}'"  # noqa: S608 - for users to type
        raise UsageError(
            f"Job database {database}: batch {name!r} belongs to another project, with the manifest {row.manifest} and "
            f"the output {row.folder}. Nothing was sent. Give this batch another name in the manifest, or use a schema "
            "of its own: CREATE SCHEMA NAME, and add ?options=-csearch_path%3DNAME to --db. "
            f"If it is the same project, which was moved: {moved}"
        )
