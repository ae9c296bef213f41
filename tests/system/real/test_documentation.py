"""The tables that this suite writes."""

from __future__ import annotations

from . import report


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
