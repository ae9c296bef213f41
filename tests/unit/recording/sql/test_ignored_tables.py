"""Tables that no answer depends on, by their names and by patterns."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.ignored_tables import IgnoredTables


@pytest.mark.parametrize(
    ("table", "ignored"),
    [
        ("django_session", True),
        ("authtoken_token", False),
        ("menus_cachekey", True),
        ("audit_log", True),
        ("my_audit_log", False),
        ("shop_product", False),
        (None, False),
    ],
)
def test_a_table_is_ignored_by_its_whole_name(table: object, ignored: bool) -> None:
    tables = IgnoredTables(("audit_*",), ("authtoken_*",))
    assert (table in tables) is ignored
