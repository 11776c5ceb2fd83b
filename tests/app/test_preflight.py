"""Preflight: how many calls a limit of open files carries."""

from __future__ import annotations

import resource

import pytest

from batchgen.app.preflight import limited_widths


@pytest.mark.parametrize(
    ("limit", "wanted", "given"),
    [
        (20_000, {"a": 5_000}, {"a": 5_000}),
        (20_000, {"a": 4_000, "b": 1_000}, {"a": 4_000, "b": 1_000}),
        (1_024, {"a": 240, "b": 240}, {"a": 160, "b": 160}),
        (64, {"a": 5}, {"a": 1}),
    ],
)
def test_widths_fit_a_limit_of_open_files(monkeypatch, limit, wanted, given):
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))
    assert limited_widths(wanted) == given
