"""Tags of rows whose keys are texts: what may be a secret is a keyed digest in them.

A primary key may be a session's key or a token of an API. Tags are written to Redis, into entries and
into the log, and are shown to operators. So wherever a tag leaves the process or is kept, the text in it
is replaced by a keyed digest:

| a recorder or a user writes | an entry and a purge carry |
|---|---|
| `db:shop_product:5` | the same: a number is no secret |
| `db:shop_word:'red`, or `db:shop_word:red` | `db:shop_word:~` and a digest |
| `db:shop_product:by:color='red` | `db:shop_product:by:color=~` and a digest |

Recorders put an apostrophe before every text, because a text may look like a number. A user need not,
unless the text looks like one.

A digest begins with a mark of the secret that made it. A process with another secret (while a new one is
rolled out) cannot know which row is meant, and reads such a tag as all rows of the table (`widen`). That
costs misses, and a purge reaches every entry that it must (I5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cachemw.engine.model.keys import KeyMaker

__all__ = ["DATABASE", "QUOTE", "RowTags", "plain"]

DATABASE = "db:"
"""The beginning of all tags of rows and tables."""
QUOTE = "'"
"""Stands before a key that is a text."""
_BY = "by:"
_MARK, _DIGEST = 8, 32
"""Hexadecimal digits. A digest has 128 bits, so nobody finds two rows that share one."""
_NUMBER = re.compile(r"-?\d+")
_CONCEALED = re.compile(rf"~([0-9a-f]{{{_MARK}}})[0-9a-f]{{{_DIGEST}}}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class _Row:
    """The tag of a row whose key is a text, in its parts."""

    start: str
    """What stands before the text."""
    text: str
    family: str
    """The tag of all rows, or of all rows by any foreign key."""


class RowTags:
    """The conversion of tags for one cache. Other tags than those of rows pass unchanged."""

    def __init__(self, keys: KeyMaker) -> None:
        self._keys = keys
        self._mark = keys.conceal(b"the mark of this secret in tags").hex()[:_MARK]

    def conceal(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Replace texts by digests. Tags that are concealed already stay as they are."""
        return _converted(tags, self._concealed)

    def widen(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Replace the tag of a row by that of all rows, unless this secret has made it.

        This is for tags that another process has purged.
        """
        return _converted(tags, self._widened)

    def _concealed(self, row: _Row) -> str:
        if _CONCEALED.fullmatch(row.text):
            return row.start + row.text
        text = row.text.removeprefix(QUOTE).lower().replace(":", "%3a")
        if _UUID.fullmatch(text):
            text = text.replace("-", "")  # as recorders spell it
        # The start is in the digest: equal keys of two tables have different digests.
        digest = self._keys.conceal(f"{row.start} {text}".encode("ascii"))
        return f"{row.start}~{self._mark}{digest.hex()[:_DIGEST]}"

    def _widened(self, row: _Row) -> str:
        found = _CONCEALED.fullmatch(row.text)
        return row.start + row.text if found and found[1] == self._mark else row.family


def plain(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as users write them: without apostrophes, and all rows in place of a digest."""
    return _converted(tuple(tags), _plain)


def _plain(row: _Row) -> str:
    if _CONCEALED.fullmatch(row.text):
        return row.family
    return row.start + row.text.removeprefix(QUOTE)


def _converted(tags: tuple[str, ...], convert: Callable[[_Row], str]) -> tuple[str, ...]:
    """Convert the tags of rows whose keys are texts. Return the same object if there are none."""
    rows = {tag: row for tag in tags if tag.startswith(DATABASE) and (row := _row(tag))}
    if not rows:
        return tags
    found = [convert(rows[tag]) if tag in rows else tag for tag in tags]
    return tuple(dict.fromkeys(found))


def _row(tag: str) -> _Row | None:
    """Read the tag of a row; None for that of a table, of a family, or of a row with a number as its key."""
    colon = tag.find(":", len(DATABASE))
    if colon < 0:
        return None
    table, key = tag[: colon + 1], tag[colon + 1 :]
    start, family = table, f"{table}*"
    if key.startswith(_BY):
        column, _, key = key.partition("=")
        start, family = f"{table}{column}=", f"{table}{_BY}*"
    if not key or key[-1] == "*" or _NUMBER.fullmatch(key):
        return None
    return _Row(start, key, family)
