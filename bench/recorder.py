"""A database query with Django's recorder, beside the same query without it.

The figures are ratios of processor time, for a query inside a recording, a query outside of one, and
an update with its purge. SQLite in memory makes the queries as fast as they can be, so the share of
the recorder is the largest possible. The last figure is in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

from django.db import connections

from bench import django_calls
from bench.effort import Effort
from bench.rows import Row, at_most, note
from bench.timing import SLICES, Subject, interleave, ratio, spread
from cachemw.django import get_cache
from cachemw.recording.context import Recording, current
from cachemw.recording.sql.statements import observe

__all__ = ["recorder"]

_CALLS = 20
_ROWS = 20
_READ_WITHIN = 1.25
_WRITE_WITHIN = 2.0
_KNOWN_WITHIN = 1.0
_SQL = "SELECT auth_group.id, auth_group.name FROM auth_group WHERE auth_group.id = %s"


def recorder(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    groups = _groups()
    times = interleave(
        [
            *_subjects("read", lambda alias, number: groups.using(alias).get(pk=number)),
            *_subjects("SQL", _execute),
            _subject("write, bare", lambda number: _rename(groups, "bare", number)),
            _subject("write, outside", lambda number: _rename(groups, "default", number)),
            Subject("known", _known),
        ],
        effort.rounds,
        slices=SLICES,
    )
    yield from _read_rows(times)
    yield from _write_rows(times)


def _read_rows(times: dict[str, list[float]]) -> Iterator[Row]:
    micro = _microseconds(times)
    yield at_most(
        "query of the ORM for one row, inside a recording, against the same without the recorder"
        " (SQLite in memory)",
        ratio(times["read, inside"], times["read, bare"]),
        _READ_WITHIN,
        unit=" x",
        beside=_beside(micro, "read, inside", "read, bare"),
    )
    yield note(
        "the same outside of a recording",
        ratio(times["read, outside"], times["read, bare"]),
        unit=" x",
        beside=_beside(micro, "read, outside", "read, bare"),
    )
    yield note(
        "the statement alone, by a cursor, inside a recording",
        ratio(times["SQL, inside"], times["SQL, bare"]),
        unit=" x",
        beside=_beside(micro, "SQL, inside", "SQL, bare"),
    )
    yield note(
        "the same outside of a recording",
        ratio(times["SQL, outside"], times["SQL, bare"]),
        unit=" x",
        beside=_beside(micro, "SQL, outside", "SQL, bare"),
    )


def _write_rows(times: dict[str, list[float]]) -> Iterator[Row]:
    micro = _microseconds(times)
    yield at_most(
        "update of one row by the ORM, with its purge in memory, against the same without the recorder",
        ratio(times["write, outside"], times["write, bare"]),
        _WRITE_WITHIN,
        unit=" x",
        beside=_beside(micro, "write, outside", "write, bare"),
    )
    yield at_most(
        "look-up of what a known SQL text reads and writes",
        spread(times["known"]),
        _KNOWN_WITHIN,
        unit=" µs",
        scale=1e6,
    )


def _microseconds(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: spread(seconds).median * 1e6 for name, seconds in times.items()}


def _groups() -> Any:
    """Create the table, with some rows, on a connection with the recorder and on one without."""
    django_calls.configure()
    from django.contrib.auth.models import Group

    assert get_cache().config.recording.database
    for alias in ("default", "bare"):
        with connections[alias].schema_editor() as editor:
            editor.create_model(Group)
        Group.objects.using(alias).bulk_create([Group(name=str(n)) for n in range(_ROWS)])
    bare = vars(connections["bare"])
    for name in ("make_cursor", "make_debug_cursor", "commit", "rollback", "set_autocommit"):
        del bare[name]  # the method of the class is there again
    assert "make_cursor" in vars(connections["default"])
    return Group.objects


def _subjects(name: str, call: Callable[[str, int], object]) -> Iterator[Subject]:
    yield _subject(f"{name}, bare", lambda number: call("bare", number))
    yield _subject(f"{name}, outside", lambda number: call("default", number))

    def inside(number: int) -> None:
        token = current.set(Recording())
        try:
            call("default", number)
        finally:
            current.reset(token)

    yield _subject(f"{name}, inside", inside)


def _subject(name: str, call: Callable[[int], object]) -> Subject:
    def measured() -> float:
        began = process_time()
        for number in range(1, _CALLS + 1):
            call(number)
        return (process_time() - began) / _CALLS

    return Subject(name, measured)


def _execute(alias: str, number: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(_SQL, [number])
        cursor.fetchall()


def _rename(groups: Any, alias: str, number: int) -> None:
    groups.using(alias).filter(pk=number).update(name=f"group {number}")


def _known() -> float:
    began = process_time()
    for _ in range(1000):
        observe(_SQL, "sqlite")
    return (process_time() - began) / 1000


def _beside(micro: dict[str, float], one: str, other: str) -> str:
    added = micro[one] - micro[other]
    return f"{added:.1f} µs more: {micro[one]:.1f} µs, bare {micro[other]:.1f} µs"
