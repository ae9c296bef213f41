"""The document says what the suite does: its code is the code, its figures are the figures."""

from __future__ import annotations

import re

import pytest

from . import report

SAME_AS = re.compile(r"<!-- same as: (\S+) -->\n```\w+\n(.*?)\n```", re.S)


TABLES = (report.APPLICATIONS, report.SITES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.document)
def test_a_documented_recipe_is_the_one_that_the_site_uses(table: report.Table) -> None:
    blocks = SAME_AS.findall((report.ROOT / "docs" / table.document).read_text())
    assert blocks
    for path, code in blocks:
        assert (report.ROOT / path).read_text().strip() == code


def test_rows_of_the_table_are_rewritten_between_its_markers() -> None:
    rows = [
        report.Row(application=name, pages=8, hits=hits, off_ms=5.0, hit_ms=1.0)
        for name, hits in (("Site", 6), ("Another", 2), ("Site", 4))
    ]
    once = f"before\n{report.BEGIN}\n{report.END}\nafter\n"
    for row in rows:
        once = report.rewritten(once, report.APPLICATIONS, [row])
    assert report.rewritten(once, report.APPLICATIONS, rows[1:]) == once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert report.documented(once, report.APPLICATIONS) == {"Another": 25.0, "Site": 50.0}
