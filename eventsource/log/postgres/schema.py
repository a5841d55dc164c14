"""The tables, functions and triggers of a log in PostgreSQL: made, and compared with what is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from ..sql.connection import Sql
from .server import Server

FORMAT = 2
_TABLE = re.compile(r"^CREATE TABLE (\w+) \(([^;]*?)\n?\)(?: WITH [^;]*)?;$", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"(?:^|,)\s*([a-z_0-9]+) (?=BIGINT|TEXT|BYTEA|VARCHAR)")
_FUNCTION = re.compile(r"^CREATE FUNCTION (\w+)\(.*?AS \$\$(.*?)\$\$;$", re.MULTILINE | re.DOTALL)
_TRIGGER = re.compile(r"^CREATE TRIGGER (\w+)\s.*?ON (\w+)", re.MULTILINE | re.DOTALL)
_KEPT = re.compile(r"^CREATE (TABLE|SEQUENCE|INDEX) ", re.MULTILINE)
_MADE_ANEW = re.compile(r"^CREATE (FUNCTION|TRIGGER|VIEW) ", re.MULTILINE)
_SAID_ONCE = re.compile(r"^INSERT INTO refold_format .*$", re.MULTILINE)
_COLUMNS_THERE = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"""
_FUNCTIONS_THERE = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
_TRIGGERS_THERE = """
SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"""


def schema() -> LiteralString:
    """Return the statements that make the tables of an empty log."""
    text: LiteralString = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    return text


_GRANTS: tuple[LiteralString, ...] = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT ON events TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, updates, bodies, refs, keys, snapshots, frames TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON search_texts, search_tools TO {role}",
    "GRANT SELECT ON refold_format, event, history TO {role}",
    "GRANT USAGE ON SEQUENCE session_numbers TO {role}",
    "GRANT EXECUTE ON FUNCTION refold_put_shape, refold_remove_events TO {role}",
)


@cache
def _expected() -> tuple[set[tuple[str, str]], set[tuple[str, str]], set[tuple[str, str]]]:
    """Return (table, column), (function, source) and (trigger, table) of what there ought to be."""
    text = schema()
    columns = {(table, name) for table, body in _TABLE.findall(text) for name in _COLUMN.findall(body)}
    return columns, set(_FUNCTION.findall(text)), set(_TRIGGER.findall(text))


def schema_problems(connection: Sql) -> list[str]:
    """Say what of the tables, functions and triggers is missing or otherwise than this release makes it."""
    problems = list[str]()
    kinds = (("column", _COLUMNS_THERE), ("function", _FUNCTIONS_THERE), ("trigger", _TRIGGERS_THERE))
    for (kind, query), expected in zip(kinds, _expected(), strict=True):
        rows = connection.execute(query)
        there = {(first.decode("utf-8", "replace"), second.decode("utf-8", "replace")) for first, second in rows}
        for one in sorted(expected - there):
            name = one[0] if kind == "function" else " of ".join(one) if kind == "trigger" else ".".join(one)
            problems.append(f"the {kind} {name} is missing, or not as this release makes it")
    return problems


def stored_format(connection: Sql) -> int:
    """Return the format of the log in the schema that the connection is in; 0 when there is none."""
    query = "SELECT 1 FROM pg_class WHERE relname = 'refold_format' AND relnamespace = current_schema()::regnamespace"
    if connection.execute(query).fetchone() is None:
        return 0
    row = connection.execute("SELECT number FROM refold_format").fetchone()
    return int(row[0]) if row else 0


def make_log(server: Server, role: str = "") -> bool:
    """Make the tables of a log, and the schema they are in if there is none.

    Args:
        role: who may then use the log, but change or delete no event of it otherwise than by `erase` and `delete`.

    Returns: whether the search has an index of three letters. Raises: StoreError when there is a log, or no right.
    """
    with server.translated(), server.connect() as raw:
        with raw.transaction():
            raw.execute("SELECT pg_advisory_xact_lock(hashtext('refold db init'))")
            named = raw.execute("SELECT current_schemas(false)").fetchone()
            if not named or not named[0]:  # the first of the path that is no variable is meant, and not there
                path = raw.execute("SELECT current_setting('search_path')").fetchone()
                first = str(path[0]).split(",")[0].strip() if path else "public"
                raw.execute(f"CREATE SCHEMA {first}")
            if raw.execute("SELECT to_regclass('refold_format')").fetchone() != (None,):
                raise server.error("there is a log already", "name another schema: ?options=-csearch_path=NAME")
            raw.execute(schema())
            _set_rights(raw, role)
        return _make_search_index(raw)


def renew_log(server: Server, role: str = "") -> bool:
    """Make a log's functions, triggers and rights those of this release, and what it lacks of tables and indexes.

    The index of the search too, if it can be made now. Returns: as `make_log`. Raises: StoreError when there is no log,
        no right, or when a table lacks columns, which no released program made.
    """
    with server.translated(), server.connect() as raw:
        with raw.transaction():
            if raw.execute("SELECT to_regclass('refold_format')").fetchone() == (None,):
                raise server.no_log()
            (number,) = raw.execute("SELECT max(number) FROM refold_format").fetchone() or (None,)
            if number != FORMAT:
                raise server.error(f"it is a log of format {number}, this program makes {FORMAT}", "use its release")
            there = {(str(table), str(name)) for table, name in raw.execute(_COLUMNS_THERE)}
            tables = {table for table, _ in there}
            if lacking := sorted(one for one in _expected()[0] - there if one[0] in tables):
                raise server.error(
                    f"its table {lacking[0][0]} has no column {lacking[0][1]}: no released program made it",
                    "copy it with the program that did: refold db copy",
                )
            made = _SAID_ONCE.sub("", _KEPT.sub(r"CREATE \1 IF NOT EXISTS ", schema()))
            raw.execute(_MADE_ANEW.sub(r"CREATE OR REPLACE \1 ", made).encode())
            _set_rights(raw, role)
        return _make_search_index(raw)


def _set_rights(raw: psycopg.Connection[Any], role: str) -> None:
    """Let what runs as the owner of the tables find these tables, and a role use the log."""
    schema_name = sql.Identifier(str((raw.execute("SELECT current_schema()").fetchone() or ("public",))[0]))
    for function in ("refold_put_shape", "refold_remove_events"):
        raw.execute(
            sql.SQL("ALTER FUNCTION {} SET search_path = {}, pg_temp").format(sql.Identifier(function), schema_name)
        )
        raw.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.Identifier(function)))
    for grant in _GRANTS if role else ():
        raw.execute(sql.SQL(grant).format(schema=schema_name, role=sql.Identifier(role)))


def _make_search_index(raw: psycopg.Connection[Any]) -> bool:
    """Make the index of three letters, where the server has what it needs. Returns: whether there is one."""
    try:
        with raw.transaction():
            raw.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            row = raw.execute("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'")
            (where,) = row.fetchone() or ("public",)  # that of the log which had it first
            made = sql.SQL("CREATE INDEX IF NOT EXISTS search_letters ON search_texts USING gin (text {}.gin_trgm_ops)")
            raw.execute(made.format(sql.SQL(where)))
    except psycopg.Error:
        return False
    return True
