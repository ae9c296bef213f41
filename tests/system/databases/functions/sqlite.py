"""The functions of SQLite, and those that Django registers on each connection to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.system.databases.functions.names import listed

__all__ = ["LEFT_OUT", "NEWER", "built_in", "of_django", "read"]

READING = ["dbstat", "optimize", "rtreecheck"]
"""Functions that read a table which an argument names, or all of them."""

LEFT_OUT = ["fts3_tokenizer", "fts5", "load_extension"]
"""Functions that change what other names mean."""

NEWER = listed(
    """
    concat concat_ws current_date current_time current_timestamp format if iif json_array_insert
    json_each json_error_position json_group_array json_group_object json_pretty json_tree jsonb
    jsonb_array jsonb_array_insert jsonb_each jsonb_extract jsonb_group_array jsonb_group_object
    jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set jsonb_tree median
    octet_length percentile percentile_cont percentile_disc sqlite_offset string_agg timediff unhex
    unistr unistr_quote generate_series geopoly_area geopoly_bbox geopoly_blob geopoly_ccw
    geopoly_contains_point geopoly_group_bbox geopoly_json geopoly_overlap geopoly_regular geopoly_svg
    geopoly_within geopoly_xform acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp
    floor ln log log10 log2 mod pi pow power radians sign sin sinh sqrt tan tanh trunc
    any_value bit_and bit_or bit_xor uuidv4 uuidv7
    """
)
"""Functions of newer versions, up to 3.51, of options that SQLite may be compiled with, and those that
Django 6 registers."""

PRAGMAS = listed(
    """
    pragma_application_id pragma_collation_list pragma_compile_options pragma_database_list
    pragma_encoding pragma_foreign_key_check pragma_foreign_key_list pragma_foreign_keys
    pragma_freelist_count pragma_function_list pragma_index_info pragma_index_list pragma_index_xinfo
    pragma_integrity_check pragma_journal_mode pragma_module_list pragma_page_count pragma_page_size
    pragma_pragma_list pragma_quick_check pragma_schema_version pragma_table_info pragma_table_list
    pragma_table_xinfo pragma_user_version
    """
)

KEYWORDS = listed(
    """
    all and as between by case cast check collate conflict default delete distinct else end except exists
    filter from group having in index insert intersect into is isnull join limit materialized not notnull
    null offset on or order over partition primary raise references returning select set table then union
    unique using values when where with
    """
)


def built_in(connection: sqlite3.Connection) -> set[str]:
    """Return the functions that this SQLite has."""
    listed = connection.execute("SELECT name FROM pragma_function_list")
    return {name.lower() for (name,) in listed if name[0].isalpha()}


def of_django(connection: sqlite3.Connection) -> set[str]:
    """Return the functions that Django registers."""
    from django.db.backends.sqlite3._functions import register

    before = built_in(connection)
    register(connection)
    return built_in(connection) - before


def read() -> dict[str, list[str]]:
    """Return the sections of the file, from the SQLite of this Python and from Django."""
    with closing(sqlite3.connect(":memory:")) as connection:
        pure = built_in(connection) | of_django(connection) | {*NEWER, *PRAGMAS, "regexp"}
    return {
        "pure": sorted(pure - {*READING, *LEFT_OUT}),
        "reading": READING,
        "keywords": sorted({*KEYWORDS} - {"filter", "over"}),
    }
