"""Dialects of SQL: the few things that differ between SQLite and PostgreSQL (types, expressions, functions).

All other statements are one text for both: ``POSTGRES_FUNCTIONS`` gives PostgreSQL the functions of SQLite that they
call, and SQLite gets those of ``selection`` with each connection that reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .key_globs import as_regex

if TYPE_CHECKING:
    from sqlalchemy.dialects import sqlite

#: The type of all numbers: SQLite counts rows by INTEGER columns only, and PostgreSQL's INTEGER holds no microseconds.
Number = BigInteger().with_variant(Integer, "sqlite")
#: The type of all texts: compared byte by byte, as SQLite does, whatever the language of the server.
Words = Text().with_variant(Text(collation="C"), "postgresql")


def partial_index(where: str) -> dict[str, Any]:
    """Return the arguments of an index on those rows only for which *where* is true; for migrations.

    The condition of PostgreSQL makes SQLAlchemy load that dialect, which every command would pay for if the tables
    named it.
    """
    return {"sqlite_where": text(where), "postgresql_where": text(where)}


def is_postgres(connection: Connection) -> bool:
    """Return whether a connection leads to PostgreSQL."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, table: Table) -> sqlite.Insert:
    """Return an INSERT into *table* that may be followed by ``on_conflict_do_update``."""
    if is_postgres(connection):
        from sqlalchemy.dialects.postgresql import insert as insert_postgres

        return cast("sqlite.Insert", insert_postgres(table))
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table)


class named(ColumnElement[bool]):  # noqa: N801 - SQL functions are lower case
    """The condition that the glob *pattern* matches a key."""

    inherit_cache = False

    def __init__(self, key: ColumnElement[str], pattern: str) -> None:
        self.glob = func.named(key, pattern)
        self.regex = key.regexp_match(as_regex(pattern))


@compiles(named)
def _named_sqlite(element: named, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.glob, **options)


@compiles(named, "postgresql")
def _named_postgres(element: named, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.regex, **options)


class of_last(GenericFunction[Any]):  # noqa: N801
    """The *value* in the row of a group with the highest *number*; ``max(number)`` must be selected too."""

    name = "of_last"
    inherit_cache = True


@compiles(of_last)
def _of_last_sqlite(element: of_last, compiler: SQLCompiler, **options: object) -> str:
    # With max(), SQLite returns the other columns of the row that has the maximum.
    return compiler.process(next(iter(element.clauses)), **options)


@compiles(of_last, "postgresql")
def _of_last_postgres(element: of_last, compiler: SQLCompiler, **options: object) -> str:
    value, number = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(array_agg({value} ORDER BY {number} DESC))[1]"


def newest_first(connection: Connection, rows: Select[Any], table: FromClause) -> Select[Any]:
    """Return *rows* of attempts or artifacts, those added last first."""
    if not is_postgres(connection):
        return rows.order_by(text("rowid DESC"))
    return rows.order_by(table.c.id.desc() if table.name == "artifacts" else table.c.started_at.desc())  # type: ignore[attr-defined]


#: Advisory locks of transactions that write: what they protect.
LEDGER, TOTALS, MIGRATION, BATCH, SHARES = 1, 2, 3, 4, 5


def lock_rows_of(connection: Connection, kind: int, number: int = 0, *, shared: bool = False) -> None:
    """Wait until no other transaction writes the same; SQLite has one writer at a time anyway."""
    if is_postgres(connection):
        share = "_shared" if shared else ""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock{share}({_KEY.format(kind, number)})")


_KEY = "hashtext('batchgen ' || current_schema() || ' {} {}')"

#: Indexes of PostgreSQL besides those of the tables: SQLite has its own numbers of rows instead. By time first, for the
#: newest attempts of all providers, too.
POSTGRES_INDEXES: Sequence[str] = ("CREATE INDEX IF NOT EXISTS attempts_sent ON attempts (started_at, provider)",)
#: Functions of SQLite for PostgreSQL. A change needs a migration, so that databases of older versions get it.
POSTGRES_FUNCTIONS: Sequence[str] = (
    """CREATE OR REPLACE FUNCTION json_each(document text) RETURNS TABLE (value text)
    LANGUAGE sql IMMUTABLE AS 'SELECT json_array_elements_text(document::json)'""",
    """CREATE OR REPLACE FUNCTION json_extract(document text, path text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$SELECT document::json #>> string_to_array(substr(path, 3), '.')$$""",
    """CREATE OR REPLACE FUNCTION json_each(document text, path text) RETURNS TABLE (value text)
    LANGUAGE sql IMMUTABLE AS
    $$SELECT json_array_elements_text(document::json #> string_to_array(substr(path, 3), '.'))$$""",
    """CREATE OR REPLACE FUNCTION json_array_length(document text, path text) RETURNS integer
    LANGUAGE sql IMMUTABLE AS
    $$SELECT json_array_length(document::json #> string_to_array(substr(path, 3), '.'))$$""",
    """CREATE OR REPLACE FUNCTION json_set(document text, path text, value text) RETURNS text
    LANGUAGE sql IMMUTABLE AS
    $$SELECT jsonb_set(document::jsonb, string_to_array(substr(path, 3), '.'), to_jsonb(value))::text$$""",
    """CREATE OR REPLACE FUNCTION instr(words text, part text) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS 'SELECT strpos(words, part) > 0'""",
    """CREATE OR REPLACE FUNCTION max(a bigint, b bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS 'SELECT greatest(a, b)'""",
    """CREATE OR REPLACE FUNCTION min(a bigint, b bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS 'SELECT least(a, b)'""",
    """CREATE OR REPLACE FUNCTION crc32(words text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    DECLARE
        bytes bytea := convert_to(words, 'UTF8');
        crc bigint := 4294967295;
    BEGIN
        FOR i IN 0 .. length(bytes) - 1 LOOP
            crc := crc # get_byte(bytes, i);
            FOR bit IN 1 .. 8 LOOP
                crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
            END LOOP;
        END LOOP;
        RETURN crc # 4294967295;
    END $$""",
    """CREATE OR REPLACE FUNCTION shard_of(key text, shards bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS 'SELECT crc32(key) % shards + 1'""",
    """CREATE OR REPLACE FUNCTION sample_key(key text, seed text) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS $$SELECT crc32(seed || ':' || key)$$""",
)
