"""Checks of a run whose job database is on PostgreSQL: runs of other batches do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchgen.app.project import Project
from batchgen.app.run_check import examine_run
from batchgen.database_url import DatabaseUrl
from batchgen.errors import ExitCode
from batchgen.store import migrate, run_lock

MANIFEST = """
version: 1
name: cats
output: {dir: output}
defaults: {provider: openai, model: gpt-image-2, quality: low}
budget: {usd: 2}
jobs: [{id: cat, prompt: A cat}]
"""


def test_only_a_run_of_the_same_batch_is_in_the_way(tmp_path: Path, postgres_database: Any) -> None:
    manifest, database = tmp_path / "cats.yaml", DatabaseUrl.parse(postgres_database.url)
    manifest.write_text(MANIFEST)
    project = Project.of(tmp_path, database)
    migrate.ensure(database)

    def codes() -> set[int]:
        return {finding.code for finding in examine_run(project, manifest)}

    with run_lock.hold(database, command="batchgen run", batch="dogs"):
        assert ExitCode.LOCKED not in codes()
    with run_lock.hold(database, command="batchgen run", batch="cats"):
        assert ExitCode.LOCKED in codes()
