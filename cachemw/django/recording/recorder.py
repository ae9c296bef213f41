"""Recording of what is read and written through Django's database connections.

What is recorded: every connection gets one observer, which its cursors call around each statement. What a
statement reads goes to the recording of the response that the application is making
(`cachemw.recording.context`), as tags (see `cachemw.recording.sql.rows`). What it writes becomes
`Changes`, whose tags are purged.

When a write is purged is decided by `cachemw.django.recording.transactions`.

A fault in this module fails no statement (I3). A read then counts as a read of unknown rows, and a
write as a write of anything, so that a fault costs misses and never a stale response.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save, pre_save

from cachemw.django.recording.connections import observe_connection, observer_of
from cachemw.django.recording.early_reads import early_recording, record_early_reads
from cachemw.django.recording.inserted_keys import Saves, is_silent, reports_keys
from cachemw.django.recording.schema import (
    cache_tables,
    describe,
    keys_of,
    session_table,
    tables,
)
from cachemw.django.recording.transactions import Event, Transaction
from cachemw.recording.context import Position, current
from cachemw.recording.declared import describers
from cachemw.recording.sql.functions.known import BUILT_IN, KnownFunctions
from cachemw.recording.sql.ignored_tables import IgnoredTables
from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.read_rows import record
from cachemw.recording.sql.rows import ALL, UNKNOWN, Schema
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import Changes

if TYPE_CHECKING:
    from cachemw.cache import Cache

__all__ = ["install"]

_FAULTS = logging.getLogger("cachemw.faults")
_UID = "cachemw.django.recording.recorder"
_Execute = Callable[..., Any]
_get_cache: Callable[[], Cache]
_is_being_made_here: Callable[[], bool]
_on: bool | None = None
"""Whether the configuration asks for recording; None before the first statement."""
_functions = BUILT_IN
"""The database functions that the configuration declares."""
_ignored = IgnoredTables()
_known = Schema()
"""What is known of the tables of the project."""


def install(get_cache: Callable[[], Cache], is_being_made_here: Callable[[], bool]) -> None:
    """Observe the connections of this process, those to come and those that are there.

    `get_cache` returns the cache to purge. `is_being_made_here` tells whether this thread is making
    it: then `get_cache` would wait for itself.
    """
    global _get_cache, _is_being_made_here
    _get_cache, _is_being_made_here = get_cache, is_being_made_here
    connection_created.connect(_connection_created, dispatch_uid=_UID)
    pre_save.connect(_saving, dispatch_uid=_UID)
    post_save.connect(_saved, dispatch_uid=_UID)
    record_early_reads(_early_position)
    if describe not in describers:
        describers.append(describe)
    for connection in connections.all(initialized_only=True):
        _attach(connection)


def _connection_created(*, connection: Any, **_: Any) -> None:
    _attach(connection).after("new connection")


def _attach(connection: Any) -> _Observer:
    """Return a connection's observer, and add one where there is none."""
    observer: _Observer | None = observer_of(connection)
    if observer is None:
        observer = _Observer()
        observe_connection(connection, observer)
    return observer


def _is_on() -> bool:
    """Tell whether there is a cache whose configuration asks for recording."""
    global _on, _functions, _ignored
    if _on is None:
        if not hasattr(settings, "CACHEMW") or _is_being_made_here():
            return False
        try:
            config = _get_cache().config.recording
            table = session_table()
            also = (*cache_tables(), *((table,) if table is not None else ()))
            _ignored = IgnoredTables((*config.ignore_tables, *also), config.record_tables)
            _functions = KnownFunctions(config.pure_functions, config.reading_functions)
            _on = config.database
        except Exception:  # a wrong configuration, for example: log it once, and record nothing
            _FAULTS.error("event=recorder_failed", exc_info=True)
            _on = False
    return _on


def _schema() -> Schema:
    global _known
    known = tables()
    if _known.tables is not known or _known.ignored is not _ignored:
        _known = Schema(known, _ignored)
    return _known


def _setting_changed(*, setting: str, **_: Any) -> None:
    global _on
    if setting in ("CACHEMW", "CACHES"):
        _on = None


setting_changed.connect(_setting_changed, dispatch_uid=_UID)


def _report_fault() -> None:
    """Log the exception that is being handled as a fault of the recorder."""
    try:
        _get_cache()._core.reporter.logs.failed("recorder_failed")
    except Exception:  # there is no cache
        _FAULTS.error("event=recorder_failed", exc_info=True)


def _report_functions(observed: Observed) -> None:
    """Warn of functions that a statement calls and that nobody knows."""
    try:
        logs = _get_cache()._core.reporter.logs
        logs.unknown_functions(
            observed.unknown_functions, observed.shape, writes=observed.unknown_write
        )
    except Exception:
        _report_fault()


def _purge(tags: tuple[str, ...]) -> None:
    try:
        if tags:
            _get_cache()._core.purger.invalidate(tags)
    except Exception:
        _report_fault()


def _fail() -> None:
    """Report a fault, after which nobody knows what was written."""
    _report_fault()
    _purge((ALL,))


def _position() -> Position:
    return _get_cache()._core.engine.floors.current_position()


def _early_position() -> Position | None:
    try:
        return _position() if _on else None
    except Exception:  # the cache was given up, and its settings are wrong now
        return None


class _Observer:
    """Sees the statements of one connection, and the ends of its transactions."""

    def __init__(self) -> None:
        self._transaction = Transaction(_purge)
        self.saves = Saves()

    def run(
        self,
        execute: _Execute,
        cursor: Any,
        sql: Any,
        params: Any,
        context: tuple[Any, ...],
        *,
        many: bool = False,
    ) -> Any:
        """Run a statement, and record what it reads and writes."""
        if not (_on or _is_on()):
            return execute(sql, params, *context)
        connection = cursor.db
        self._look(connection)
        observed = observe(sql, connection.vendor, _functions)
        if observed is OPAQUE and not isinstance(sql, str):
            observed = _observe_composed(sql, cursor)
        if observed.unknown_functions:
            _report_functions(observed)
        if observed.reads or observed.unknown_read:
            # Before it runs: a change that is committed meanwhile then purges the response.
            self._record_reads(observed, None if many else params)
            if not observed.changes:
                return execute(sql, params, *context)
        changes = _changes_of(observed, params, many) if observed.changes else None
        try:
            result = execute(sql, params, *context)
        except BaseException:
            self._after_failure(connection, sql, changes)
            if observed.boundary == "commit":
                self.after("failed commit")
            raise
        if changes is not None and not many:
            _learn_keys(changes, observed, cursor)
            self.saves.note_writes(observed)
        self._after_statement(connection, sql, observed, changes)
        return result

    def look(self, connection: Any) -> None:
        """See whether a transaction is over, if the cache is there."""
        if _on or _is_on():
            self._look(connection)

    def _look(self, connection: Any) -> None:
        """Note where the log is when a transaction begins, and the end of one that was not seen."""
        try:
            self._transaction.look(connection, _position)
        except Exception:
            _fail()

    def after(self, event: Event) -> None:
        """Purge what the end of a transaction asks for."""
        try:
            self._transaction.after(event)
        except Exception:
            _fail()

    def _record_reads(self, observed: Observed, params: Any) -> None:
        recording, snapshot = current.get(), self._transaction.snapshot
        if recording is None:
            recording = early_recording()
            if recording is None:
                return
            snapshot = snapshot or _position()
        try:
            if snapshot is not None:
                recording.read_at(snapshot)
            record(recording, observed, params, _schema())
        except Exception:
            recording.add((UNKNOWN,))
            _report_fault()

    def _after_failure(self, connection: Any, sql: Any, changes: Changes | None) -> None:
        """Keep or purge what a statement has written that raised: it may have been carried out."""
        try:
            if changes is not None:
                self._transaction.note_write(connection, changes)
            self._transaction.note_end(connection, sql)
        except Exception:
            _fail()

    def _after_statement(
        self, connection: Any, sql: Any, observed: Observed, changes: Changes | None
    ) -> None:
        """Keep or purge what a statement has written, and follow what it did to the transaction."""
        try:
            if observed.boundary == "begin":
                self._transaction.begin_by_hand(connection)
            if changes is not None:
                self._transaction.note_write(connection, changes)
            if observed.boundary in ("commit", "rollback"):
                return self._transaction.after(observed.boundary)
            self._transaction.note_end(connection, sql)
            if changes is None:
                self._transaction.note_savepoint(connection, sql)
        except Exception:
            _fail()

    def end_save(self, instance: object, keys: dict[str, str | None]) -> None:
        """Note the keys of an instance that was just inserted, if its transaction is still open."""
        self.saves.end(instance, keys, self._transaction.changes)


def _changes_of(observed: Observed, params: Any, many: bool) -> Changes:
    changes = Changes()
    try:
        changes.add(observed, params, _schema(), many=many)
    except Exception:
        _report_fault()
        changes.add_everything()
    return changes


def _observe_composed(sql: Any, cursor: Any) -> Observed:
    """Return what a statement reads and writes that psycopg composes from parts (`psycopg.sql`)."""
    try:
        return observe(sql.as_string(cursor.cursor), cursor.db.vendor, _functions)
    except Exception:
        return OPAQUE


def _learn_keys(changes: Changes, observed: Observed, cursor: Any) -> None:
    try:
        if reports_keys(cursor, observed):
            learn_keys(changes, observed, cursor.cursor, cursor.db.vendor, _schema())
    except Exception:
        _report_fault()


def _saving(*, instance: Any, using: str, **_: Any) -> None:
    """Note that the ORM begins to save a row, where only a signal will tell its key."""
    observer = _observer_with_signals(using)
    if observer is not None:
        observer.saves.begin(instance)


def _saved(*, instance: Any, created: bool, using: str, **_: Any) -> None:
    """Note the key of a row that the ORM has inserted."""
    observer = _observer_with_signals(using)
    if observer is None:
        return
    try:
        observer.end_save(instance, keys_of(instance) if created else {})
    except Exception:
        _report_fault()


def _observer_with_signals(alias: str) -> _Observer | None:
    """Return the observer of a connection whose driver does not report the keys of inserted rows."""
    connection: Any = connections[alias]
    if not _on or not connection.in_atomic_block or not is_silent(connection):
        return None
    observer: _Observer | None = observer_of(connection)
    return observer
