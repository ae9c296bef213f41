"""The document says what the suite does: its code is the code, its figures are the figures."""

from __future__ import annotations

import re

from . import report

SAME_AS = re.compile(r"<!-- same as: (\S+) -->\n```\w+\n(.*?)\n```", re.S)


def test_the_documented_recipe_is_the_one_that_the_site_uses() -> None:
    blocks = SAME_AS.findall(report.DOCUMENT.read_text())
    assert blocks
    for path, code in blocks:
        assert (report.ROOT / path).read_text().strip() == code


def test_the_table_is_rewritten_between_its_markers() -> None:
    row = report.Row(application="Site", pages=8, hits=6, off_ms=5.0, hit_ms=1.0)
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.rewritten(text, [row])
    assert report.rewritten(once, [row]) == once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert report.documented(once) == {"Site": 75.0}
