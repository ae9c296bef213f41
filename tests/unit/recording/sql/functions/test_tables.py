"""The tables of functions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files

import pytest

from cachemw.recording.sql.functions.tables import _FILES, table_of
from tests.system.databases.functions import sqlite
from tests.system.databases.functions.__main__ import written_by_hand
from tests.system.databases.functions.names import listed

VENDORS = [*sorted(_FILES), "snowflake", ""]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_table_has_names_in_lower_case_only_once(vendor: str) -> None:
    table = table_of(vendor)
    assert len(table.pure) > 100
    for name in table.pure | table.reading | table.writing | table.keywords:
        assert name == name.lower()
    assert not table.pure & (table.reading | table.writing)
    assert {"select", "and", "in"} <= table.keywords


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_functions_of_the_standard_are_known(vendor: str) -> None:
    table = table_of(vendor)
    assert {"lower", "upper", "count", "sum", "coalesce", "abs"} <= table.pure | table.keywords


RUN_QUERIES = listed(
    """
    query_to_xml table_to_xml cursor_to_xml schema_to_xml database_to_xml query_to_xmlschema
    table_to_xml_and_xmlschema ts_stat ts_rewrite crosstab connectby dblink dblink_exec xpath_table lo_put
    lo_import lowrite current_price generate_invoice quote_total search delete sort index each difference
    st_fromflatgeobuftotable populate_geometry_columns addgeometrycolumn updategeometrysrid
    """
)


@pytest.mark.parametrize("name", RUN_QUERIES)
def test_what_reads_or_writes_tables_is_not_harmless(name: str) -> None:
    assert name not in table_of("postgresql").pure


def test_the_files_that_are_written_by_hand_are_those_of_the_generator() -> None:
    folder = files("cachemw.recording.sql.functions")
    for name, text in written_by_hand().items():
        assert folder.joinpath(f"{name}.txt").read_text("utf-8") == text, (
            "run `python -m tests.system.databases.functions`"
        )


def test_the_functions_of_this_sqlite_are_known_or_left_out_on_purpose() -> None:
    table = table_of("sqlite")
    with closing(sqlite3.connect(":memory:")) as connection:
        found = sqlite.built_in(connection)
    assert len(found) > 80
    assert found - table.pure - table.reading - {*sqlite.LEFT_OUT} == set()


def test_the_functions_that_django_adds_to_sqlite_are_known() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert sqlite.of_django(connection) - table_of("sqlite").pure == set()
