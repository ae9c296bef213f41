"""The tables of functions are those of the servers of this machine."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.functions.tables import table_of
from tests.system.functions import mysql, postgresql, servers


@pytest.mark.skipif(not servers.find_program("pg_ctl"), reason="needs PostgreSQL")
def test_the_functions_of_postgresql_are_known() -> None:
    with servers.postgresql() as query:
        made = postgresql.read(query)
    table = table_of("postgresql")
    assert {*made["pure"]} - table.pure == set(), "run `python -m tests.system.functions`"
    assert {*made["keywords"]} - table.keywords == set()


@pytest.mark.skipif(not servers.find_program("mariadbd"), reason="needs MariaDB")
def test_the_functions_of_mariadb_are_known() -> None:
    with servers.mariadb() as query:
        made = mysql.read(query)
    table = table_of("mysql")
    assert {*made["pure"]} - table.pure == set(), "run `python -m tests.system.functions`"
