"""Notes what answers read through Django's database connections, and purges what is written.

Each connection has one observer, which Django calls around every statement. What is read goes to the
recording of the answer that is being made. What is written is purged after it is committed, at once
under autocommit, and once for each transaction: a rolled back savepoint takes its writes along.

A fault in here fails no statement: a read becomes one of unknown rows, and a write one of anything.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save

from cachemw.django import registry
from cachemw.django.schema import describe, keys_of, schema
from cachemw.recording.context import Recording, current, describers
from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.rows import UNKNOWN, Changes, record
from cachemw.recording.sql.statements import observe

__all__ = ["install"]

_FAULTS = logging.getLogger("cachemw.faults")
_UID = "cachemw.django.recorder"
_Execute = Callable[[Any, Any, bool, Any], Any]
_on: bool | None = None
"""Whether the configuration wants this; None before the first statement."""


def install() -> None:
    """Observe the connections of this process, those to come and those that are there."""
    connection_created.connect(_created, dispatch_uid=_UID)
    post_save.connect(_saved, dispatch_uid=_UID)
    if describe not in describers:
        describers.append(describe)
    for connection in connections.all(initialized_only=True):
        _attach(connection)


def _created(*, connection: Any, **_: Any) -> None:
    _attach(connection).begin_anew()


def _attach(connection: Any) -> _Observer:
    """Give a connection's observer; the first of its wrappers, for those who add some take the last off."""
    found = _observer_of(connection)
    if found is None:
        found = _Observer()
        connection.execute_wrappers.insert(0, found)
        # Nothing else tells where transactions are managed by hand.
        connection.commit = _then(connection.commit, found.ended)
        connection.rollback = _then(connection.rollback, found.rolled_back)
    return found


def _observer_of(connection: Any) -> _Observer | None:
    for each in connection.execute_wrappers:
        if isinstance(each, _Observer):
            return each
    return None


def _then(end: Callable[[], None], told: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(end)
    def end_and_tell() -> None:
        try:
            end()
        finally:
            told()

    return end_and_tell


def _is_on() -> bool:
    """Say whether there is a cache that wants this."""
    global _on
    if _on is None:
        if not hasattr(settings, "CACHEMW") or registry.is_being_made_here():
            return False
        try:
            _on = registry.get_cache().config.recording.database
        except Exception:  # its configuration is at fault, perhaps, which is told once
            _FAULTS.error("event=recorder_failed", exc_info=True)
            _on = False
    return _on


def _changed_setting(*, setting: str, **_: Any) -> None:
    global _on
    if setting == "CACHEMW":
        _on = None


setting_changed.connect(_changed_setting, dispatch_uid=_UID)


def _failed() -> None:
    """Tell of the exception being handled, a fault of our own."""
    registry.get_cache()._core.reporter.logs.failed("recorder_failed")


def _purge(changes: Changes) -> None:
    try:
        tags = changes.tags()
        if tags:
            registry.get_cache()._core.purger.invalidate(tags)
    except Exception:
        _failed()


class _Batch:
    """What was written while the same savepoints were open. It is alive as long as Django means to
    call it: that of a savepoint that was rolled back is dropped, and with it what it holds."""

    __slots__ = ("__weakref__", "_observer", "changes", "done")

    def __init__(self, observer: _Observer) -> None:
        self.changes = Changes()
        self.done = False
        self._observer = observer

    def purge(self) -> None:
        """Be called by Django after the commit."""
        if not self.done:
            self._observer.committed()


class _Observer:
    """Is called around the statements of one connection."""

    def __init__(self) -> None:
        self._batches: weakref.WeakSet[_Batch] = weakref.WeakSet()
        self._hooks: list[Any] | None = None
        self._open: dict[tuple[str, ...], _Batch] = {}
        self._uncommitted = Changes()
        """Written in a transaction that Django does not manage: purged at once, for its end may not
        be seen, and again when it is."""
        self._by_hand = False
        """Whether a transaction was begun by a statement."""

    def __call__(
        self, execute: _Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Carry out a statement, and note what it reads and writes."""
        if not (_on or _is_on()):
            return execute(sql, params, many, context)
        connection = context["connection"]
        observed = observe(sql, connection.vendor)
        if observed is OPAQUE and not isinstance(sql, str):
            observed = _rendered(sql, context)
        if observed.reads or observed.unknown_read:
            recording = current.get()
            if recording is not None:
                _note(recording, observed, None if many else params)
        if observed.writes or observed.unknown_write:
            return self._write(execute, sql, params, many, context, observed)
        if observed.boundary:
            return self._bound(execute, sql, params, many, context, observed.boundary)
        if self._uncommitted and connection.autocommit and not self._by_hand:
            self.ended()
        return execute(sql, params, many, context)

    # -- writes ----------------------------------------------------------------------------------

    def _write(
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
            _failed()
            changes.add_everything()
        try:
            result = execute(sql, params, many, context)
            if not many:
                _learn(changes, observed, context)
            return result
        finally:  # also of one that failed: it may have been carried out
            self._wrote(connection, changes)

    def _wrote(self, connection: Any, changes: Changes) -> None:
        try:
            if connection.in_atomic_block and connection.commit_on_exit:
                self._batch(connection).changes.merge(changes)
                return
            if self._by_hand or not connection.autocommit:
                self._uncommitted.merge(changes)
        except Exception:
            _failed()
            changes.add_everything()
        _purge(changes)

    def _batch(self, connection: Any) -> _Batch:
        """Give the batch of the savepoints that are open, which Django calls after the commit."""
        hooks = connection.run_on_commit
        if self._hooks is not hooks:  # another transaction, or a savepoint was rolled back
            self._hooks, self._open = hooks, {}
        savepoints = _savepoints(connection)
        batch = self._open.get(savepoints)
        if batch is None:
            batch = self._open[savepoints] = _Batch(self)
            self._batches.add(batch)
            connection.on_commit(batch.purge, robust=True)
        return batch

    def committed(self) -> None:
        """Purge, with the first batch that is called, what all of the transaction hold."""
        self._hooks, self._open = None, {}  # which held those of savepoints that were rolled back
        changes = Changes()
        for batch in list(self._batches):
            if not batch.done:
                batch.done = True
                changes.merge(batch.changes)
        _purge(changes)

    def tell(self, connection: Any, keys: dict[str, str | None]) -> None:
        """Learn the keys of a row that has just been inserted, if its transaction is still open."""
        if self._hooks is connection.run_on_commit:
            batch = self._open.get(_savepoints(connection))
            for table, key in keys.items():
                if batch is not None and key is not None:
                    batch.changes.tell(table, key)

    # -- transactions by hand --------------------------------------------------------------------

    def _bound(
        self,
        execute: _Execute,
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
        kind: str,
    ) -> Any:
        connection = context["connection"]
        try:
            result = execute(sql, params, many, context)
        finally:
            if kind == "commit":
                self.ended()
        if kind == "rollback":
            self.rolled_back()
        elif kind == "begin":
            self._by_hand = connection.autocommit and not connection.in_atomic_block
        return result

    def ended(self) -> None:
        """Purge again what was purged before its commit: it may have been read in between."""
        self._by_hand = False
        if self._uncommitted:
            changes, self._uncommitted = self._uncommitted, Changes()
            _purge(changes)

    def rolled_back(self) -> None:
        """Forget what was not committed."""
        self._by_hand, self._uncommitted = False, Changes()

    def begin_anew(self) -> None:
        """Belong to a new connection in the place of an old one."""
        self.ended()
        self._hooks, self._open = None, {}


def _savepoints(connection: Any) -> tuple[str, ...]:
    return tuple(sid for sid in connection.savepoint_ids if sid is not None)


def _rendered(sql: Any, context: dict[str, Any]) -> Observed:
    """Read a statement that psycopg composes from parts."""
    try:
        return observe(sql.as_string(context["cursor"].cursor), context["connection"].vendor)
    except Exception:
        return OPAQUE


def _note(recording: Recording, observed: Observed, params: Any) -> None:
    try:
        record(recording, observed, params, schema())
    except Exception:
        recording.add((UNKNOWN,))
        _failed()


def _learn(changes: Changes, observed: Observed, context: dict[str, Any]) -> None:
    try:
        cursor = context["cursor"].cursor
        learn_keys(changes, observed, cursor, context["connection"].vendor, schema())
    except Exception:
        _failed()


def _saved(*, instance: Any, created: bool, using: str, **_: Any) -> None:
    """Learn the key of a row that the ORM has inserted."""
    if not created or not _on:
        return
    try:
        connection = connections[using]
        observer = _observer_of(connection)
        if observer is not None and connection.in_atomic_block:
            observer.tell(connection, keys_of(instance))
    except Exception:
        _failed()
