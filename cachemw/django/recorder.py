"""Recording of what is read and written through Django's database connections.

What is recorded: every connection gets one observer, an execute wrapper that Django calls around each
statement. What a statement reads goes to the recording of the response that the application is making
(`cachemw.recording.context`), as tags (see `cachemw.recording.sql.rows`). What it writes becomes
`Changes`, whose tags are purged.

When a write is purged, so that a purged entry is never made again from old rows (I5):

| how the statement runs | its tags are purged |
|---|---|
| autocommit | at once, after the statement |
| `atomic`, or a transaction that Django manages | once, by `on_commit`, after the commit |
| a transaction begun by a statement, or by `set_autocommit(False)` | at once, and again after the commit |

Why at once *and* again in the last case: Django does not tell when such a transaction ends. The end is
seen in most cases only (a `COMMIT` statement, `connection.commit()`, the next statement under
autocommit). The first purge is there in case the end is missed; the second one removes what other
processes stored from the old rows in between.

A write that raises is purged all the same: the database may have carried it out, and only its
acknowledgement was lost. A rolled back savepoint takes its writes along: Django drops the `on_commit`
hooks of that savepoint, and with them the only strong reference to the batch of its changes.

A fault in this module fails no statement (I3). A read then counts as a read of unknown rows, and a
write as a write of anything, so that a fault costs misses and never a stale response.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save

from cachemw.django.schema import describe, keys_of, schema
from cachemw.recording.context import Recording, current, describers
from cachemw.recording.sql.functions.known import BUILT_IN, KnownFunctions
from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.read_rows import record
from cachemw.recording.sql.rows import UNKNOWN
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import Changes

if TYPE_CHECKING:
    from cachemw.cache import Cache

__all__ = ["install"]

_FAULTS = logging.getLogger("cachemw.faults")
_UID = "cachemw.django.recorder"
_Execute = Callable[[Any, Any, bool, Any], Any]
_get_cache: Callable[[], Cache]
_is_being_made_here: Callable[[], bool]
_on: bool | None = None
"""Whether the configuration asks for recording; None before the first statement."""
_functions = BUILT_IN
"""The database functions that the configuration declares."""


def install(get_cache: Callable[[], Cache], is_being_made_here: Callable[[], bool]) -> None:
    """Observe the connections of this process, those to come and those that are there.

    `get_cache` returns the cache to purge. `is_being_made_here` tells whether this thread is making
    it: then `get_cache` would wait for itself.
    """
    global _get_cache, _is_being_made_here
    _get_cache, _is_being_made_here = get_cache, is_being_made_here
    connection_created.connect(_connection_created, dispatch_uid=_UID)
    post_save.connect(_saved, dispatch_uid=_UID)
    if describe not in describers:
        describers.append(describe)
    for connection in connections.all(initialized_only=True):
        _attach(connection)


def _connection_created(*, connection: Any, **_: Any) -> None:
    _attach(connection).reset()


def _attach(connection: Any) -> _Observer:
    """Return a connection's observer, and add one where there is none.

    It is put first: `connection.execute_wrapper()` removes the last wrapper when it ends.
    """
    observer = _observer_of(connection)
    if observer is None:
        observer = _Observer()
        connection.execute_wrappers.insert(0, observer)
        # Django has no signal for the end of a transaction that is managed by hand.
        connection.commit = _call_after(connection.commit, observer.after_commit)
        connection.rollback = _call_after(connection.rollback, observer.after_rollback)
    return observer


def _observer_of(connection: Any) -> _Observer | None:
    for each in connection.execute_wrappers:
        if isinstance(each, _Observer):
            return each
    return None


def _call_after(method: Callable[[], None], callback: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(method)
    def call_both() -> None:
        try:
            method()
        finally:  # a commit that raised may have been carried out
            callback()

    return call_both


def _is_on() -> bool:
    """Tell whether there is a cache whose configuration asks for recording."""
    global _on, _functions
    if _on is None:
        if not hasattr(settings, "CACHEMW") or _is_being_made_here():
            return False
        try:
            recording = _get_cache().config.recording
            _functions = KnownFunctions(recording.pure_functions, recording.reading_functions)
            _on = recording.database
        except Exception:  # a wrong configuration, for example: log it once, and record nothing
            _FAULTS.error("event=recorder_failed", exc_info=True)
            _on = False
    return _on


def _setting_changed(*, setting: str, **_: Any) -> None:
    global _on
    if setting == "CACHEMW":
        _on = None


setting_changed.connect(_setting_changed, dispatch_uid=_UID)


def _report_fault() -> None:
    """Log the exception that is being handled as a fault of the recorder."""
    _get_cache()._core.reporter.logs.failed("recorder_failed")


def _report_functions(observed: Observed) -> None:
    """Warn of functions that a statement calls and that nobody knows."""
    try:
        logs = _get_cache()._core.reporter.logs
        logs.unknown_functions(
            observed.unknown_functions, observed.shape, writes=observed.unknown_write
        )
    except Exception:
        _report_fault()


def _purge(changes: Changes) -> None:
    try:
        tags = changes.tags()
        if tags:
            _get_cache()._core.purger.invalidate(tags)
    except Exception:
        _report_fault()


class _Batch:
    """The changes that were written while the same savepoints were open.

    The observer holds it weakly, Django's `on_commit` hook strongly. Django drops the hooks of a
    savepoint that is rolled back, and so the batch and its changes are gone.
    """

    __slots__ = ("__weakref__", "_observer", "changes", "done")

    def __init__(self, observer: _Observer) -> None:
        self.changes = Changes()
        self.done = False
        self._observer = observer

    def purge(self) -> None:
        """Purge the transaction's changes. Django calls this after the commit."""
        if not self.done:
            self._observer.purge_transaction()


class _Observer:
    """The execute wrapper of one connection."""

    def __init__(self) -> None:
        self._batches: weakref.WeakSet[_Batch] = weakref.WeakSet()
        self._hooks: list[Any] | None = None
        """The list `run_on_commit` of the connection that `_open` belongs to."""
        self._open: dict[tuple[str, ...], _Batch] = {}
        """The batches of the transaction that is open, by its savepoints."""
        self._uncommitted = Changes()
        """Writes of a transaction that Django does not manage: purged already, and to be purged again
        when the transaction ends."""
        self._by_hand = False
        """Whether a statement, such as BEGIN, has begun the transaction."""

    def __call__(
        self, execute: _Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Run a statement, and record what it reads and writes."""
        if not (_on or _is_on()):
            return execute(sql, params, many, context)
        connection = context["connection"]
        observed = observe(sql, connection.vendor, _functions)
        if observed is OPAQUE and not isinstance(sql, str):
            observed = _observe_composed(sql, context)
        if observed.unknown_functions:
            _report_functions(observed)
        if observed.reads or observed.unknown_read:
            recording = current.get()
            if recording is not None:
                # Before it runs: a change that is committed meanwhile then purges the response.
                _record_reads(recording, observed, None if many else params)
        if observed.writes or observed.unknown_write:
            return self._run_write(execute, sql, params, many, context, observed)
        if observed.boundary:
            return self._run_boundary(execute, sql, params, many, context, observed.boundary)
        if self._uncommitted and connection.autocommit and not self._by_hand:
            self.after_commit()  # whose end was not seen: it must be over, for autocommit is on
        return execute(sql, params, many, context)

    # -- writes ----------------------------------------------------------------------------------

    def _run_write(
        self,
        execute: _Execute,
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
        observed: Observed,
    ) -> Any:
        changes = Changes()
        connection = context["connection"]
        try:
            changes.add(observed, params, schema(), many=many)
        except Exception:
            _report_fault()
            changes.add_everything()
        try:
            result = execute(sql, params, many, context)
            if not many:
                _learn_keys(changes, observed, context)
            return result
        finally:  # a statement that failed may have been carried out
            self._after_write(connection, changes)

    def _after_write(self, connection: Any, changes: Changes) -> None:
        """Keep changes for the commit, or purge them now (see the table at the top)."""
        try:
            if connection.in_atomic_block and connection.commit_on_exit:
                self._batch(connection).changes.merge(changes)
                return
            if self._by_hand or not connection.autocommit:
                self._uncommitted.merge(changes)
        except Exception:
            _report_fault()
            changes.add_everything()
        _purge(changes)

    def _batch(self, connection: Any) -> _Batch:
        """Return the batch of the savepoints that are open; Django purges it after the commit."""
        hooks = connection.run_on_commit
        if self._hooks is not hooks:  # a new list: another transaction, or a savepoint rolled back
            self._hooks, self._open = hooks, {}
        savepoints = _savepoints(connection)
        batch = self._open.get(savepoints)
        if batch is None:
            batch = self._open[savepoints] = _Batch(self)
            self._batches.add(batch)
            connection.on_commit(batch.purge, robust=True)
        return batch

    def purge_transaction(self) -> None:
        """Purge the changes of all batches together, when Django calls the first of them."""
        # `_open` may hold batches of savepoints that were rolled back: drop these references first.
        self._hooks, self._open = None, {}
        changes = Changes()
        for batch in list(self._batches):
            if not batch.done:
                batch.done = True
                changes.merge(batch.changes)
        _purge(changes)

    def learn_instance_keys(self, connection: Any, keys: dict[str, str | None]) -> None:
        """Note the keys of an instance that was just inserted, if its transaction is still open."""
        if self._hooks is connection.run_on_commit:
            batch = self._open.get(_savepoints(connection))
            for table, key in keys.items():
                if batch is not None and key is not None:
                    batch.changes.learn_key(table, key)

    # -- transactions by hand --------------------------------------------------------------------

    def _run_boundary(
        self,
        execute: _Execute,
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
        kind: str,
    ) -> Any:
        """Run a statement that begins or ends a transaction."""
        connection = context["connection"]
        try:
            result = execute(sql, params, many, context)
        finally:
            if kind == "commit":  # also one that raised: it may have been carried out
                self.after_commit()
        if kind == "rollback":
            self.after_rollback()
        elif kind == "begin":
            self._by_hand = connection.autocommit and not connection.in_atomic_block
        return result

    def after_commit(self) -> None:
        """Purge again what was purged before the commit: old rows may have been read in between."""
        self._by_hand = False
        if self._uncommitted:
            changes, self._uncommitted = self._uncommitted, Changes()
            _purge(changes)

    def after_rollback(self) -> None:
        """Forget the writes that were not committed."""
        self._by_hand, self._uncommitted = False, Changes()

    def reset(self) -> None:
        """Start again for a new connection to the database, which replaces the old one."""
        self.after_commit()  # whether the old one committed is not known
        self._hooks, self._open = None, {}


def _savepoints(connection: Any) -> tuple[str, ...]:
    return tuple(sid for sid in connection.savepoint_ids if sid is not None)


def _observe_composed(sql: Any, context: dict[str, Any]) -> Observed:
    """Return what a statement reads and writes that psycopg composes from parts (`psycopg.sql`)."""
    try:
        text = sql.as_string(context["cursor"].cursor)
        return observe(text, context["connection"].vendor, _functions)
    except Exception:
        return OPAQUE


def _record_reads(recording: Recording, observed: Observed, params: Any) -> None:
    try:
        record(recording, observed, params, schema())
    except Exception:
        recording.add((UNKNOWN,))
        _report_fault()


def _learn_keys(changes: Changes, observed: Observed, context: dict[str, Any]) -> None:
    try:
        cursor = context["cursor"].cursor
        learn_keys(changes, observed, cursor, context["connection"].vendor, schema())
    except Exception:
        _report_fault()


def _saved(*, instance: Any, created: bool, using: str, **_: Any) -> None:
    """Note the key of a row that the ORM has inserted."""
    if not created or not _on:
        return
    try:
        connection = connections[using]
        observer = _observer_of(connection)
        if observer is not None and connection.in_atomic_block:
            observer.learn_instance_keys(connection, keys_of(instance))
    except Exception:
        _report_fault()
