"""Connections to a PostgreSQL server that no longer answers."""

import threading

import pytest

from batchgen.database_url import DatabaseUrl
from batchgen.errors import StoreError
from batchgen.store import postgres, silent_server


def test_thread_that_waits_for_a_silent_server_gets_an_error(postgres_server, postgres_database):
    url = DatabaseUrl.parse(postgres_database.url)
    assert postgres.answers(url, 5)
    dbapi, ends = postgres.connect(url), []

    def ask():
        try:
            with postgres.plain_errors(url):
                postgres.rows(dbapi, "SELECT 1")
        except StoreError as error:
            ends.append(error)

    thread = threading.Thread(target=ask)
    with silent_server.until_end(url):
        with postgres_server.paused():
            thread.start()
            assert not postgres.answers(url, 2)
            silent_server.give_up(url)
            thread.join(30)
            assert len(ends) == 1
        with pytest.raises(StoreError, match="kept in the spool"):
            postgres.connect(url)
    postgres.connect(url).close()
