"""A sidecar that cannot be restored stops no run."""

from __future__ import annotations

from batchgen.app import run
from batchgen.errors import StoreError


def test_sidecars_that_cannot_be_written_are_reported(monkeypatch):
    def refuse(*_: object) -> int:
        raise StoreError("cannot write output/a.png.json: Read-only file system")

    monkeypatch.setattr(run, "restore_sidecars", refuse)
    shown: list[str] = []
    run._restore_sidecars(None, None, None, shown.append)
    [text] = shown
    assert "Read-only file system. An image lacks its sidecar; the next run writes it" in text
