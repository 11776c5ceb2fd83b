"""Carry out migrations on the connection that batchgen.store.migrate passes in; there is no ini file."""

from alembic import context

import batchgen.store.picture_tables
import batchgen.store.submission_table  # noqa: F401 - and this one its table
from batchgen.store.shared_tables import metadata  # with those of ``tables``

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
