"""Records what answers read through SQLAlchemy, and purges it when it changes.

Reads are noted before they run. What a transaction writes is kept beside its connection, and purged
in one go after the commit, when nobody can read the old state any more. Where statements commit by
themselves, purges follow each of them. A recorder at fault fails no query: it notes and purges more
than it must.

It wraps the methods by which the engine's dialect calls the driver. SQLAlchemy's event of a commit
comes before the commit, and to have any listener costs a query more than all that is done here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.util import await_only

from cachemw.integrations.sqlalchemy_schema import MetadataSchema, describe, kind_of, sole_key
from cachemw.recording.context import current, describers
from cachemw.recording.sql import rows
from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.pending import Pending
from cachemw.recording.sql.rows import ALL, UNKNOWN, Changes, spell
from cachemw.recording.sql.statements import observe

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cachemw import Cache

__all__ = ["Recorder", "record"]

_COMMITS_NOTHING = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|REPLACE|MERGE|VALUES|SET|SHOW|SAVEPOINT|RELEASE"
    r"|ROLLBACK|PRAGMA|EXPLAIN)\b",
    re.IGNORECASE,
)
"""All else may: `COMMIT` as a text, a procedure, and in MySQL every change of a table's shape."""


def record(
    engine: Engine | AsyncEngine,
    cache: Cache,
    metadata: MetaData | Iterable[MetaData] = (),
) -> Recorder:
    """Record what answers read through an engine, and purge from the cache what changes through it.

    `metadata` says which columns are keys (`Base.metadata`, or several): reads of single rows are
    told apart by it, and without it all reads are of whole tables. Does nothing where the
    configuration says `recording.database = false`.
    """
    given = (metadata,) if isinstance(metadata, MetaData) else tuple(metadata)
    sync_engine = engine if isinstance(engine, Engine) else engine.sync_engine
    recorder = Recorder(sync_engine, cache, MetadataSchema(given))
    if cache.config.recording.database:
        recorder.start()
    if describe not in describers:
        describers.append(describe)
    return recorder


_Method = Callable[..., None]


class Recorder:
    """Watches one engine for one cache, until it is stopped. Use `record` to make one."""

    def __init__(self, engine: Engine, cache: Cache, schema: MetadataSchema) -> None:
        self._dialect: Any = engine.dialect
        self._cache = cache
        self._schema = schema
        self._vendor = engine.dialect.name
        self._wrapped: dict[str, tuple[_Method, _Method | None]] = {}

    def start(self) -> None:
        """Begin to watch, unless it has begun."""
        if self._wrapped:
            return
        self._wrap("do_execute", self._executing(many=False))
        self._wrap("do_executemany", self._executing(many=True))
        self._wrap("do_execute_no_params", self._executing_text)
        self._wrap("do_commit", _around(self._committing))
        self._wrap("do_commit_twophase", _around(self._committing))
        self._wrap("do_rollback", _around(self._rolling_back))
        self._wrap("do_rollback_twophase", _around(self._rolling_back))
        self._wrap("do_savepoint", _around(self._setting_savepoint))
        self._wrap("do_rollback_to_savepoint", _around(self._undoing))

    def stop(self) -> None:
        """Stop watching; transactions that are open now purge nothing when they are committed."""
        methods = vars(self._dialect)
        wrapped, self._wrapped = self._wrapped, {}
        for name, (ours, theirs) in wrapped.items():
            if methods.get(name) is not ours:  # another recorder came after, and calls ours
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

    def _executing(self, *, many: bool) -> Callable[[_Method], _Method]:
        def wrap(method: _Method) -> _Method:
            def execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
                observed = self._note(statement, parameters)
                if observed.reads and not observed.changes:  # surely only a read
                    return method(cursor, statement, parameters, context)
                with self._carrying_out(observed, statement, parameters, many, cursor, context):
                    return method(cursor, statement, parameters, context)

            return execute

        return wrap

    def _executing_text(self, method: _Method) -> _Method:
        def execute(cursor: Any, statement: str, context: Any = None) -> None:
            observed = self._note(statement, ())
            if observed.reads and not observed.changes:
                return method(cursor, statement, context)
            with self._carrying_out(observed, statement, (), False, cursor, context):
                return method(cursor, statement, context)

        return execute

    def _note(self, statement: str, parameters: Any) -> Observed:
        """Say what a statement reads and writes, and note what it reads."""
        recording = current.get()
        observed = OPAQUE
        try:
            observed = observe(statement, self._vendor)
            if recording is not None:
                rows.record(recording, observed, parameters, self._schema)
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")
            if recording is not None:
                recording.add((UNKNOWN,))
        return observed

    @contextmanager
    def _carrying_out(
        self,
        observed: Observed,
        statement: str,
        parameters: Any,
        many: bool,
        cursor: Any,
        context: Any,
    ) -> Iterator[None]:
        """Surround what may write, or end a transaction."""
        if context is None:  # a dialect's own; nobody tells its connection
            yield
            return self._purge((ALL,)) if observed.changes else None
        connection = context.root_connection
        pending = self._pending(connection)
        if observed.changes:
            self._add(pending.changes, observed, parameters, many)
        try:
            yield
        except BaseException:
            if pending and self._stands(connection):
                self._purge(self._settle(pending))  # it may have been carried out all the same
            raise
        if observed.changes and context.isinsert:
            self._learn(pending, observed, cursor, context, many)
        if pending and self._stands(connection):
            self._purge(self._settle(pending))
            if cursor.description is None:  # else SQLite commits when the last row is fetched
                del _info(connection)[self]
        elif pending and not _COMMITS_NOTHING.match(statement):
            self._purge(self._settle(pending))

    def _add(self, changes: Changes, observed: Observed, parameters: Any, many: bool) -> None:
        try:
            changes.add(observed, parameters, self._schema, many=many)
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")
            changes.add_everything()

    def _stands(self, connection: Connection) -> bool:
        """Say whether what was written is committed, though nobody has called for it."""
        try:
            raw = connection.connection
            in_transaction = getattr(raw.driver_connection, "in_transaction", None)
            if isinstance(in_transaction, bool):  # SQLite's drivers know
                return not in_transaction
            level = connection.get_execution_options().get("isolation_level")
            if level is None:
                level = self._dialect._on_connect_isolation_level
            return level == "AUTOCOMMIT" or _commits_by_itself(self._dialect, raw.dbapi_connection)
        except Exception:  # the connection is at its end: nobody can say
            return True

    # -- keys that the database made ---------------------------------------------------------------

    def _learn(
        self, pending: Pending, observed: Observed, cursor: Any, context: Any, many: bool
    ) -> None:
        """Learn the keys of inserted rows from the driver now, or from SQLAlchemy later."""
        try:
            if not many:
                learn_keys(pending.changes, observed, cursor, self._vendor, self._schema)
            if any(pending.changes.unknown(write.table) for write in observed.writes):
                pending.inserts.append((pending.changes, context))
        except Exception:
            self._cache._core.reporter.logs.failed("recording_failed")

    def _settle(self, pending: Pending) -> tuple[str, ...]:
        """Give the tags of all that is pending, and keep it as what may be committed."""
        inserts, pending.inserts = pending.inserts, []
        for changes, context in inserts:
            try:
                table = context.compiled.statement.table
                for key in _inserted(table, context.inserted_primary_key_rows):
                    changes.tell(table.name.casefold(), key)
            except Exception:
                self._cache._core.reporter.logs.failed("recording_failed")
        return pending.settle()

    # -- transactions ----------------------------------------------------------------------------

    def _pending(self, connection: Any) -> Pending:
        """Give what was written and not committed, which stays with the connection in its pool."""
        info = _info(connection)
        found: Pending | None = info.get(self)
        if found is None:
            found = info[self] = Pending()
        return found

    @contextmanager
    def _committing(self, connection: Any, *_: object, recover: bool = False) -> Iterator[None]:
        pending = _info(connection).pop(self, None)
        try:
            yield
        finally:  # a commit that failed may have been carried out
            if recover:  # of a transaction that another process prepared
                self._purge((ALL,))
            elif pending:
                self._purge(self._settle(pending))

    @contextmanager
    def _rolling_back(self, connection: Any, *_: object, **__: object) -> Iterator[None]:
        yield
        pending = _info(connection).pop(self, None)
        if pending and pending.lasting:
            self._purge(pending.lasting.tags())

    @contextmanager
    def _setting_savepoint(self, connection: Connection, name: str) -> Iterator[None]:
        yield
        self._pending(connection).mark(name)

    @contextmanager
    def _undoing(self, connection: Connection, name: str) -> Iterator[None]:
        yield
        self._pending(connection).undo(name)

    def _purge(self, tags: tuple[str, ...]) -> None:
        if not self._dialect.is_async:
            return self._cache._core.purger.invalidate(tags)
        try:
            return await_only(self._cache._core.purger.ainvalidate(tags))
        except MissingGreenlet:  # the pool ends a connection by itself, outside of any task
            return self._cache._core.purger.invalidate(tags)


def _around(surround: Callable[..., AbstractContextManager[None]]) -> Callable[[_Method], _Method]:
    def wrap(method: _Method) -> _Method:
        def call(*args: Any, **kwargs: Any) -> None:
            with surround(*args, **kwargs):
                method(*args, **kwargs)

        return call

    return wrap


def _info(connection: Any) -> dict[Any, Any]:
    """Give what is kept with a connection in its pool."""
    try:
        info: dict[Any, Any] = connection.info
    except NotImplementedError:  # a dialect that asks a new server what it is; nothing is written
        return {}
    return info


def _commits_by_itself(dialect: Any, connection: Any) -> bool:
    """Say whether a driver was told to commit each statement, past SQLAlchemy."""
    detect = getattr(dialect, "detect_autocommit_setting", None)  # new in SQLAlchemy 2.0.43
    try:
        return bool(detect and detect(connection))
    except NotImplementedError:
        return False


def _inserted(table: Any, keys: Iterable[Sequence[Any]]) -> list[str]:
    """Spell the keys of inserted rows, as far as they are sure."""
    key = sole_key(table) if isinstance(table, Table) else None
    if key is None:
        return []
    spelt = [spell(kind_of(key), value) for (value,) in keys]
    return [each for each in spelt if each is not None]
