"""The simulated nights: commits wait for no company, as real time passes for nothing on the virtual clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchgen.store import committer, writer


@pytest.fixture(scope="package", autouse=True)
def _immediate_commits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "PAUSE_PER_CALL", 0.0)
        patch.setattr(committer, "PATIENCE", 0.0)
        yield
