"""The tables of functions are those of the servers of this machine."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.functions.tables import FunctionTable, table_of

from .functions import mysql, postgresql
from .functions.__main__ import asked
from .functions.names import Query
from .servers import MariaDB, MissingServer, PostgreSQL

ADVICE = "run `python -m tests.system.databases.functions`, and review what is new"


def missing(made: dict[str, list[str]], table: FunctionTable) -> dict[str, set[str]]:
    """Return the names that a table lacks."""
    return {
        "pure": {*made["pure"]} - table.pure,
        "reading": {*made["reading"]} - table.reading,
        "keywords": {*made["keywords"]} - table.keywords,
    }


def test_the_functions_of_postgresql_are_known() -> None:
    try:
        with asked(PostgreSQL()) as query:
            made = postgresql.read(only_available(query))
    except MissingServer as missing_server:
        pytest.skip(str(missing_server))
    assert not any(missing(made, table_of("postgresql")).values()), ADVICE


def only_available(query: Query) -> Query:
    """Leave out the extensions that are not installed: the package of PostGIS may not be."""
    available = {*query("SELECT name FROM pg_available_extensions")}

    def ask(sql: str) -> list[str]:
        words = sql.split('"')
        if sql.startswith("CREATE EXTENSION") and words[1] not in available:
            return []
        return query(sql)

    return ask


def test_the_functions_of_mariadb_are_known() -> None:
    try:
        with asked(MariaDB()) as query:
            made = mysql.read(query)
    except MissingServer as missing_server:
        pytest.skip(str(missing_server))
    assert not any(missing(made, table_of("mysql")).values()), ADVICE
