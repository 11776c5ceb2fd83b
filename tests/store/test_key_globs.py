"""Globs of job keys on PostgreSQL: they match what they match on SQLite."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgen.planning.selection import named
from batchgen.store.key_globs import as_regex

LETTERS = "ab-]![^*?.\\+(){}|$ é\n"
KEYS = st.text(LETTERS, max_size=6)
GLOBS = st.text(LETTERS, max_size=7)


@pytest.fixture(scope="module")
def matches(postgres_server):
    with closing(postgres_server.postgres.connect()) as connection:
        yield lambda key, regex: connection.execute('SELECT %s COLLATE "C" ~ %s', (key, regex)).fetchone()[0]


@given(key=KEYS, pattern=GLOBS)
@example(key="a", pattern="[a-b]")
@example(key="-", pattern="[a-]")
@example(key="b", pattern="[!a]")
@example(key="]", pattern="[]]")
@example(key="x", pattern="[b-a]")
@example(key="b", pattern="[a-b-c]")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_glob_matches_what_it_matches_on_sqlite(matches, key: str, pattern: str) -> None:
    assert matches(key, as_regex(pattern)) == bool(named(key, pattern)), (key, pattern, as_regex(pattern))
