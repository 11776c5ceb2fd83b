"""The address of a job database: what is read, what is shown, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.database_url import DatabaseUrl, parse_database, without_passwords
from batchgen.errors import UsageError

SECRET = "pw:canary/@%Zq8vT3xW9pL5"
QUOTED = "pw%3Acanary%2F%40%25Zq8vT3xW9pL5"


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_address_is_shown_with_its_usual_scheme(scheme: str) -> None:
    url = DatabaseUrl.parse(f"{scheme}://ann@db.example.com:5433/shop?sslmode=require")
    assert str(url) == "postgresql+psycopg://ann@db.example.com:5433/shop?sslmode=require"
    assert url.conninfo == "postgresql://ann@db.example.com:5433/shop?sslmode=require"
    assert url.password is None


@pytest.mark.parametrize(
    "text",
    [f"postgresql+psycopg://ann:{QUOTED}@host/shop", f"postgresql+psycopg://ann@host/shop?password={QUOTED}"],
    ids=["before the host", "as an option"],
)
def test_password_is_read_and_never_shown(text: str) -> None:
    url = DatabaseUrl.parse(text)
    assert url.password == SECRET
    assert str(url) == "postgresql+psycopg://ann@host/shop"
    for shown in (str(url), repr(url), url.conninfo, f"{url}"):
        assert "canary" not in shown


def test_password_of_a_client_key_is_passed_on_and_never_shown() -> None:
    url = DatabaseUrl.parse("postgresql://ann@host/shop?sslkey=a.key&sslpassword=canary")
    assert url.conninfo.endswith("?sslkey=a.key&sslpassword=canary")
    assert str(url) == "postgresql+psycopg://ann@host/shop?sslkey=a.key"
    assert "canary" not in repr(url)


def test_schema_of_its_own_is_kept_as_it_was_typed() -> None:
    url = DatabaseUrl.parse("postgresql+psycopg://ann@host/shop?options=-csearch_path%3Dshop")
    assert url.conninfo == "postgresql://ann@host/shop?options=-csearch_path%3Dshop"


@pytest.mark.parametrize("address", ["/shop", "ann@/shop?host=/run/postgresql", "ann@a:1,b:2/shop", "?dbname=shop"])
def test_whatever_libpq_reads_is_left_to_it(address: str) -> None:
    parts = DatabaseUrl.parse(f"postgresql://{address}").conninfo
    assert parts.removeprefix("postgresql://").replace("%2F", "/") == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://ann@host/shop", "unknown kind of database"),
        ("postgresql+psycopg2://ann@host/shop", "unknown kind of database"),
        ("postgresql+psycopg://ann@host", "does not name a database"),
        ("postgresql+psycopg://ann@[host/shop", "cannot be read"),
        ("postgresql+psycopg://ann:pw/x@host/shop", "must be encoded"),
        ("postgresql+psycopg:/ann:pw@host/shop", "has // after its scheme"),
    ],
)
def test_what_is_wrong_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        parse_database(text)
    assert "ann:pw" not in str(refusal.value)
    assert "postgresql+psycopg://user@host:5432/database" in str(refusal.value)


def test_refusal_does_not_show_the_password() -> None:
    with pytest.raises(UsageError) as refusal:
        parse_database(f"postgresql+psycopg://ann:{QUOTED}@host")
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("batchgen run m.yaml --db postgresql://ann:pw@host/shop --yes", "--db postgresql://ann@host/shop --yes"),
        ("--db=postgres://ann:p%40w@host:1/shop?a=b", "--db=postgres://ann@host:1/shop?a=b"),
        ("'postgresql+psycopg://ann:p@w@host/shop?password=pw&a=b'", "'postgresql+psycopg://ann@host/shop?a=b'"),
        ("postgresql://ann@host/shop?a=b&password=pw", "postgresql://ann@host/shop?a=b&"),
        (
            "postgresql://host:5432/shop --notify https://hook:5@x",
            "postgresql://host:5432/shop --notify https://hook:5@x",
        ),
    ],
)
def test_commands_are_stored_without_the_password(command: str, shown: str) -> None:
    assert without_passwords(command).endswith(shown)
    assert "pw" not in without_passwords(command)


def test_paths_stay_paths() -> None:
    assert parse_database("state/shop.db") == Path("state/shop.db")
