"""Recorder for SQLAlchemy: what responses read through an engine, and purges when that changes.

What is recorded: the tables and rows that each statement reads, as tags (see
`cachemw.recording.sql.rows`), in the recording of the response that the application is making. A read is
recorded before it runs, so a change that is committed meanwhile purges the response.

When a write is purged, so that a purged entry is never made again from old rows (I5):

- In a transaction: once, after the commit, when nobody can read the old rows any more. Until then the
  changes are kept in `connection.info`, which stays with the driver's connection in the pool. They are
  purged also when the commit raises, for it may have been carried out.
- Where statements commit by themselves: after each statement.
- Where a statement may have ended the transaction (`COMMIT` as a text, a procedure): after it, and a
  rollback that follows purges the same again, for it may undo nothing.
- A rollback to a savepoint drops the changes since then.

The recorder replaces the methods by which the engine's dialect calls the driver. SQLAlchemy's own events
do not fit: the one of a commit comes before the commit, and any listener at all costs a query more than
all the work that is done here.

A fault in this module fails no query (I3): it records and purges more than it must.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.util import await_only

from cachemw.integrations.sqlalchemy_drivers import autocommits, is_in_transaction
from cachemw.integrations.sqlalchemy_schema import MetadataTables, describe, kind_of, sole_key
from cachemw.recording.context import Position, Recording, current, open_recording
from cachemw.recording.declared import describers
from cachemw.recording.sql import read_rows
from cachemw.recording.sql.functions.known import KnownFunctions
from cachemw.recording.sql.ignored_tables import IgnoredTables
from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.pending import Pending, may_commit
from cachemw.recording.sql.rows import ALL, UNKNOWN, Schema, spell
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import Changes

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cachemw import Cache

__all__ = ["Recorder", "record"]


def record(
    engine: Engine | AsyncEngine,
    cache: Cache,
    metadata: MetaData | Iterable[MetaData] = (),
) -> Recorder:
    """Record what responses read through an engine, and purge what is changed through it.

    `metadata` (`Base.metadata`, or several) says which columns are keys, so that reads of single rows
    are recorded as such. Without it every read is one of a whole table. Does nothing where the
    configuration says `recording.database = false`.
    """
    given = (metadata,) if isinstance(metadata, MetaData) else tuple(metadata)
    sync_engine = engine if isinstance(engine, Engine) else engine.sync_engine
    config = cache.config.recording
    ignored = IgnoredTables(config.ignore_tables, config.record_tables)
    recorder = Recorder(
        sync_engine, cache, Schema(MetadataTables(given, sync_engine.dialect), ignored)
    )
    if config.database:
        recorder.start()
    if describe not in describers:
        describers.append(describe)
    return recorder


_Method = Callable[..., None]


class Recorder:
    """Recorder of one engine for one cache, until it is stopped. `record` makes one."""

    def __init__(self, engine: Engine, cache: Cache, schema: Schema) -> None:
        self._dialect: Any = engine.dialect
        self._cache = cache
        self._schema = schema
        self._vendor = engine.dialect.name
        self._began = object()
        """The key in `connection.info` of the position of the log when the transaction began."""
        recording = cache.config.recording
        self._functions = KnownFunctions(recording.pure_functions, recording.reading_functions)
        self._wrapped: dict[str, tuple[_Method, _Method | None]] = {}

    def start(self) -> None:
        """Start to record, unless it has started."""
        if self._wrapped:
            return
        self._wrap("do_execute", self._wrap_execute(many=False))
        self._wrap("do_executemany", self._wrap_execute(many=True))
        self._wrap("do_execute_no_params", self._wrap_execute_no_params)
        self._wrap("do_begin", _around(self._beginning))
        self._wrap("do_begin_twophase", _around(self._beginning))
        self._wrap("do_commit", _around(self._committing))
        self._wrap("do_commit_twophase", _around(self._committing))
        self._wrap("do_rollback", _around(self._rolling_back))
        self._wrap("do_rollback_twophase", _around(self._rolling_back))
        self._wrap("do_savepoint", _around(self._setting_savepoint))
        self._wrap("do_rollback_to_savepoint", _around(self._rolling_back_to_savepoint))
        self._wrap("do_release_savepoint", _around(self._releasing_savepoint))

    def stop(self) -> None:
        """Stop recording. Transactions that are open now purge nothing when they are committed."""
        methods = vars(self._dialect)
        wrapped, self._wrapped = self._wrapped, {}
        for name, (ours, theirs) in wrapped.items():
            if methods.get(name) is not ours:  # another recorder wrapped ours later, and calls it
                continue
            del methods[name]
            if theirs is not None:
                methods[name] = theirs

    def _wrap(self, name: str, wrap: Callable[[_Method], _Method]) -> None:
        theirs, method = vars(self._dialect).get(name), getattr(self._dialect, name)
        watched = wrap(method)

        @functools.wraps(method)
        def ours(*args: Any, **kwargs: Any) -> None:
            (watched if self._wrapped else method)(*args, **kwargs)

        setattr(self._dialect, name, ours)
        self._wrapped[name] = (ours, theirs)

    # -- statements ------------------------------------------------------------------------------

    def _wrap_execute(self, *, many: bool) -> Callable[[_Method], _Method]:
        def wrap(method: _Method) -> _Method:
            def execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
                observed = self._record_reads(statement, parameters, context)
                if observed.reads and not observed.changes:  # it surely only reads
                    return method(cursor, statement, parameters, context)
                with self._watching_write(observed, statement, parameters, many, cursor, context):
                    return method(cursor, statement, parameters, context)

            return execute

        return wrap

    def _wrap_execute_no_params(self, method: _Method) -> _Method:
        def execute(cursor: Any, statement: str, context: Any = None) -> None:
            observed = self._record_reads(statement, (), context)
            if observed.reads and not observed.changes:
                return method(cursor, statement, context)
            with self._watching_write(observed, statement, (), False, cursor, context):
                return method(cursor, statement, context)

        return execute

    def _record_reads(self, statement: str, parameters: Any, context: Any) -> Observed:
        """Return what a statement reads and writes, and record what it reads."""
        recording = current.get()
        observed = OPAQUE
        try:
            observed = observe(statement, self._vendor, self._functions)
            if observed.unknown_functions:
                self._cache._core.reporter.logs.unknown_functions(
                    observed.unknown_functions, observed.shape, writes=observed.unknown_write
                )
            if recording is not None:
                read_rows.record(recording, observed, parameters, self._schema)
                self._record_snapshot(recording, context)
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")
            if recording is not None:
                recording.add((UNKNOWN,))
        return observed

    def _record_snapshot(self, recording: Recording, context: Any) -> None:
        """Note how old the rows may be, if they are read in a transaction."""
        if context is None:
            return
        connection = context.root_connection
        began: Position | None = _connection_info(connection).get(self._began)
        if (
            began is not None
            and began is not self._position()
            and not self._is_committed(connection)
        ):
            recording.read_at(began)

    def _position(self) -> Position:
        return self._cache._core.engine.floors.current_position()

    @contextmanager
    def _watching_write(
        self,
        observed: Observed,
        statement: str,
        parameters: Any,
        many: bool,
        cursor: Any,
        context: Any,
    ) -> Iterator[None]:
        """Surround a statement that may write, or may end a transaction."""
        if context is None:  # a statement of the dialect's own: its connection is not known
            yield
            return self._purge((ALL,)) if observed.changes else None
        connection = context.root_connection
        pending = self._pending(connection)
        if observed.changes:
            self._add(pending.changes, observed, parameters, many)
        try:
            yield
        except BaseException:
            if pending and self._is_committed(connection):
                self._purge(self._take_tags(pending))  # it may have been carried out
            raise
        if observed.changes and context.isinsert:
            self._learn_keys(pending, observed, cursor, context, many)
        if pending and self._is_committed(connection):
            self._purge(self._take_tags(pending))
            if cursor.description is None:  # with rows, SQLite commits when the last one is fetched
                del _connection_info(connection)[self]
        elif pending and may_commit(statement):
            self._purge(self._take_tags(pending))

    def _add(self, changes: Changes, observed: Observed, parameters: Any, many: bool) -> None:
        try:
            changes.add(observed, parameters, self._schema, many=many)
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")
            changes.add_everything()

    def _is_committed(self, connection: Connection) -> bool:
        """Tell whether what was written is committed already, without a call of `commit`."""
        try:
            raw = connection.connection
            in_transaction = getattr(raw.driver_connection, "in_transaction", None)
            if isinstance(in_transaction, bool):  # the drivers of SQLite say it, also of reads
                return not in_transaction
            level = connection.get_execution_options().get("isolation_level")
            if level is None:
                level = self._dialect._on_connect_isolation_level
            return level == "AUTOCOMMIT" or autocommits(self._dialect, raw.dbapi_connection)
        except Exception:  # the connection is broken: assume the worse (I5)
            return True

    # -- keys that the database generated ----------------------------------------------------------

    def _learn_keys(
        self, pending: Pending, observed: Observed, cursor: Any, context: Any, many: bool
    ) -> None:
        """Note the keys of inserted rows: from the driver now, or from SQLAlchemy when the tags are taken."""
        try:
            if not many:
                learn_keys(pending.changes, observed, cursor, self._vendor, self._schema)
            if any(pending.changes.unknown_keys(write.table) for write in observed.writes):
                pending.inserts.append((pending.changes, context))
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")

    def _take_tags(self, pending: Pending) -> tuple[str, ...]:
        """Return the tags of all pending changes, which count as possibly committed from now on."""
        self._learn_pending_keys(pending)
        return pending.take_tags()

    def _learn_pending_keys(self, pending: Pending) -> None:
        """Note the keys of inserted rows that SQLAlchemy has learnt since."""
        inserts, pending.inserts = pending.inserts, []
        for changes, context in inserts:
            try:
                table = context.compiled.statement.table
                for key in _inserted_keys(table, context.inserted_primary_key_rows):
                    changes.learn_key(table.name.casefold(), key)
            except Exception:
                self._cache._core.reporter.logs.failed("recording_failed")

    # -- transactions ----------------------------------------------------------------------------

    def _pending(self, connection: Any) -> Pending:
        """Return the changes that are not committed; they stay with the connection in its pool."""
        info = _connection_info(connection)
        pending: Pending | None = info.get(self)
        if pending is None:
            pending = info[self] = Pending()
        return pending

    @contextmanager
    def _beginning(self, connection: Any, *_: object) -> Iterator[None]:
        # Noted before it: what is committed meanwhile is purged at a later position.
        _connection_info(connection)[self._began] = self._position()
        yield

    @contextmanager
    def _committing(self, connection: Any, *_: object, recover: bool = False) -> Iterator[None]:
        pending = _connection_info(connection).pop(self, None)
        try:
            yield
        finally:  # a commit that raised may have been carried out
            if recover:  # a transaction that another process prepared: its writes are not known
                self._purge((ALL,))
            elif pending:
                self._purge(self._take_tags(pending))

    @contextmanager
    def _rolling_back(self, connection: Any, *_: object, **__: object) -> Iterator[None]:
        pending = _connection_info(connection).pop(self, None)
        # The application may have called the driver's own `commit`, past SQLAlchemy.
        is_open = bool(pending) and is_in_transaction(connection) is not False
        yield
        if not pending:
            return
        if not is_open:
            return self._purge(self._take_tags(pending))
        if pending.maybe_committed:
            self._purge(pending.maybe_committed.tags())
        self._forget(pending.all())

    def _forget(self, dropped: Changes) -> None:
        """Purge rows that are as they were again, if a response is being made that may have seen them."""
        if dropped and open_recording() is not None:
            self._purge(dropped.tags())

    @contextmanager
    def _setting_savepoint(self, connection: Connection, name: str) -> Iterator[None]:
        yield
        self._pending(connection).begin_savepoint(name)

    @contextmanager
    def _rolling_back_to_savepoint(self, connection: Connection, name: str) -> Iterator[None]:
        yield
        self._forget(self._pending(connection).roll_back_to(name))

    @contextmanager
    def _releasing_savepoint(self, connection: Connection, name: str) -> Iterator[None]:
        yield
        pending = self._pending(connection)
        self._learn_pending_keys(pending)
        pending.release(name)

    def _purge(self, tags: tuple[str, ...]) -> None:
        if not self._dialect.is_async:
            return self._cache._core.purger.invalidate(tags)
        try:
            return await_only(self._cache._core.purger.ainvalidate(tags))
        except MissingGreenlet:  # the pool closes a connection outside of any task
            return self._cache._core.purger.invalidate(tags)


def _around(surround: Callable[..., AbstractContextManager[None]]) -> Callable[[_Method], _Method]:
    def wrap(method: _Method) -> _Method:
        def call(*args: Any, **kwargs: Any) -> None:
            with surround(*args, **kwargs):
                method(*args, **kwargs)

        return call

    return wrap


def _connection_info(connection: Any) -> dict[Any, Any]:
    """Return the dict that SQLAlchemy keeps with a connection in its pool."""
    try:
        info: dict[Any, Any] = connection.info
    except NotImplementedError:  # while the dialect asks a new server for its version
        return {}
    return info


def _inserted_keys(table: Any, keys: Iterable[Sequence[Any]]) -> list[str]:
    """Return the spelling of the keys of inserted rows, of each that is sure."""
    key = sole_key(table) if isinstance(table, Table) else None
    if key is None:
        return []
    spelt = [spell(kind_of(key), value) for (value,) in keys]
    return [each for each in spelt if each is not None]
