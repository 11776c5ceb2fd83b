"""Faults of the network (N1 to N30)."""

from __future__ import annotations

import pytest

from tests.rawserver import closed_port

from . import kit
from .kit import Site, shows


@pytest.fixture
def site(tmp_path, monkeypatch):
    with kit.site(tmp_path, monkeypatch) as made:
        yield made


def test_try(site: Site):
    stage = site.serve(shows())
    told = site.run_all(stage, "a", "b")
    print(told, site.jobs(), site.bill(), site.files())
