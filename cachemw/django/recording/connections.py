"""Observation of a database connection of Django: its statements, and the ends of its transactions.

Django has no signal for the end of a transaction, and its `on_commit` hooks run too late. Its execute
wrappers see a statement before other wrappers change it. So the methods of the connection are replaced by
ones that call the observer too, and its cursors get a class that does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from django.db.backends.utils import CursorWrapper

from cachemw.django.recording.transactions import Event

__all__ = ["Observer", "observe_connection", "observer_of"]

ATTRIBUTE = "_cachemw_observer"
"""The attribute of a connection that holds its observer."""


class Observer(Protocol):
    """The observer of one connection."""

    def run(
        self,
        execute: Callable[..., Any],
        cursor: Any,
        sql: Any,
        params: Any,
        context: tuple[Any, ...],
        *,
        many: bool = False,
    ) -> Any:
        """Run a statement by `execute`."""

    def after(self, event: Event) -> None:
        """Note the end of a transaction."""

    def look(self, connection: Any) -> None:
        """See whether a transaction is over."""


def observer_of(connection: Any) -> Any:
    """Return the observer of a connection; None if it has none."""
    return getattr(connection, ATTRIBUTE, None)


def observe_connection(connection: Any, observer: Observer) -> None:
    """Show an observer all that is done over a connection from now on."""
    setattr(connection, ATTRIBUTE, observer)
    connection.make_cursor = _watch_cursors(connection.make_cursor)
    connection.make_debug_cursor = _watch_cursors(connection.make_debug_cursor)
    connection.commit = _watch_commit(connection, observer)
    connection.rollback = _watch_rollback(connection, observer)
    connection.set_autocommit = _watch_autocommit(connection, observer)


def _watch_cursors(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(make)
    def watched(cursor: Any) -> Any:
        made = make(cursor)
        kind: Any = type(made)
        made.__class__ = _observed(kind)
        return made

    return watched


class Statements:
    """The part of a cursor that runs statements, observed.

    It is below Django's execute wrappers, which may change a statement, so it sees what really runs.
    """

    db: Any

    def _execute(self, sql: Any, params: Any, *context: Any) -> Any:
        execute = super()._execute  # type: ignore[misc]
        return getattr(self.db, ATTRIBUTE).run(execute, self, sql, params, context)

    def _executemany(self, sql: Any, params: Any, *context: Any) -> Any:
        execute = super()._executemany  # type: ignore[misc]
        return getattr(self.db, ATTRIBUTE).run(execute, self, sql, params, context, many=True)

    @property
    def stream(self) -> Any:
        """The method of psycopg's cursors that gives rows while they arrive, observed."""
        stream = self.__getattr__("stream")  # type: ignore[attr-defined]

        @functools.wraps(stream)
        def observed(sql: Any, params: Any = None, **options: Any) -> Any:
            def execute(sql: Any, params: Any) -> Any:
                return stream(sql, params, **options)

            return getattr(self.db, ATTRIBUTE).run(execute, self, sql, params, ())

        return observed


@functools.cache  # there are two: with and without debugging
def _observed(wrapper: type[CursorWrapper]) -> type[CursorWrapper]:
    """Return a class of cursors whose statements are observed."""
    return type(wrapper.__name__, (Statements, wrapper), {})


def _watch_commit(connection: Any, observer: Observer) -> Callable[[], None]:
    commit = connection.commit

    @functools.wraps(commit)
    def watched() -> None:
        if connection.in_atomic_block:
            return commit()  # type: ignore[no-any-return]  # it raises, and commits nothing
        try:
            commit()
        except BaseException:
            observer.after("failed commit")
            raise
        return observer.after("commit")

    return watched


def _watch_rollback(connection: Any, observer: Observer) -> Callable[[], None]:
    rollback = connection.rollback

    @functools.wraps(rollback)
    def watched() -> None:
        rollback()
        observer.after("rollback")

    return watched


def _watch_autocommit(connection: Any, observer: Observer) -> Callable[..., None]:
    set_autocommit = connection.set_autocommit

    @functools.wraps(set_autocommit)
    def watched(*args: Any, **kwargs: Any) -> None:
        set_autocommit(*args, **kwargs)
        if connection.autocommit:  # some databases commit when it is switched on
            observer.look(connection)

    return watched
