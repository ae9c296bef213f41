"""Recording of the rows that a statement reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cachemw.recording.sql.observed import Observed, Read
from cachemw.recording.sql.parameters import Parameters, ParameterValues
from cachemw.recording.sql.rows import (
    UNKNOWN,
    Schema,
    Table,
    by_tag,
    key_tag,
    table_tag,
)

__all__ = ["record"]


class _ReadTags(Protocol):
    """The place that tags of reads are added to: a `Recording`."""

    def add(self, tags: Iterable[str]) -> None:
        """Add tags."""

    def add_parts(self, whole: str, parts: Iterable[str]) -> None:
        """Add tags of parts of something, by the tag of the whole."""


def record(recording: _ReadTags, observed: Observed, params: Parameters, schema: Schema) -> None:
    """Add the tags of what a statement reads to a recording."""
    if observed.unknown_read:
        recording.add((UNKNOWN,))
    if not observed.reads:
        return
    values = ParameterValues(observed, params)
    for read in observed.reads:
        if read.table in schema.ignored:
            continue
        whole = table_tag(read.table)
        row_tags = _row_tags(read, schema.get(read.table), values)
        if row_tags is None:
            recording.add((whole,))
        else:
            recording.add_parts(whole, row_tags)


def _row_tags(read: Read, table: Table, values: ParameterValues) -> list[str] | None:
    """Return the tags of the rows that a read is restricted to; None where it may be any row.

    The primary key is tried first: its tags are purged by fewer writes.
    """
    for equals in read.equals:
        if equals.column == table.key:
            keys = values.spell_condition(equals, table)
            if keys is not None:
                return [key_tag(read.table, key) for key in keys]
    for equals in read.equals:
        if equals.column in table.foreign:
            keys = values.spell_condition(equals, table)
            if keys is not None:
                return [by_tag(read.table, equals.column, key) for key in keys]
    return None
