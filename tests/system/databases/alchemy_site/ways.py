"""The ways in which an application with SQLAlchemy carries out and commits a write.

They are written once, for synchronous engines. Where the driver is asynchronous they run in a greenlet, as
SQLAlchemy's asynchronous sessions do; some more are coroutines.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import event, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from tests.system.databases.cases import Way
from tests.system.databases.worker import Pause

from .db import Db
from .engines import Engines
from .models import Weather

__all__ = ["Change", "ways"]

Change = Callable[[Db], object]
REPEATABLE = {"sqlite": "SERIALIZABLE"}


class _Undone(Exception):
    """What an application raises in a block that is to be rolled back."""


def ways(engines: Engines, post: Callable[[Change], Any]) -> list[Way]:
    """Return the ways of the driver; `post` makes a change by a request."""
    of_all = {
        "begin": _begin,
        "a session": _session,
        "savepoints, one rolled back": _savepoints,
        "REPEATABLE READ": _repeatable,
        "commit by hand": _by_hand,
        "two commits of a session": _twice,
        "detached after the write": _detached_late,
        "detached before the write": _detached_early,
    }
    found = [Way(name=name, run=partial(run, engines)) for name, run in of_all.items()]
    found += [
        Way(name="AUTOCOMMIT of a connection", run=partial(_autocommit, engines), autocommits=True),
        Way(name="AUTOCOMMIT of an engine", run=partial(_automatic, engines), autocommits=True),
        Way(name="COMMIT as a text", run=partial(_by_text, engines), known=True),
        Way(name="the driver's commit", run=partial(_by_driver, engines), known=True),
        Way(name="a hook that raises", run=partial(_raising_hook, engines), known=True),
        Way(name="a hook that looks", run=partial(_looking_hook, engines), known=True),
        Way(name="a request", run=lambda change, pause: post(change)),
    ]
    found += [Way(name=name, run=run, known=True) for name, run in _special(engines).items()]
    if engines.vendor == "mysql":
        found.append(
            Way(name="two phases", run=partial(_two_phases, engines), prepares=True, known=True)
        )
    return found


def _special(engines: Engines) -> dict[str, Callable[..., Any]]:
    """Return the ways that not every driver has."""
    found: dict[str, Callable[..., Any]] = {}
    if engines.vendor == "postgresql" and engines.writer.dialect.driver != "asyncpg":
        found["two phases"] = partial(_two_phases, engines)
    if engines.proxy is not None:
        found["a commit whose answer is lost"] = partial(_lost, engines)
    if engines.is_async:
        found["an asynchronous session"] = partial(_asynchronous, engines)
        found["an asynchronous connection"] = partial(_aconnection, engines)
        if engines.proxy is not None:
            found["cancelled in its commit"] = partial(_cancelled, engines)
    return found


def _begin(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.begin() as connection:
        change(Db.over(connection))
        pause("open")


def _session(engines: Engines, change: Change, pause: Pause) -> None:
    with Session(engines.writer) as session, session.begin():
        change(Db(session))


def _savepoints(engines: Engines, change: Change, pause: Pause) -> None:
    with Session(engines.writer) as session, session.begin():
        undone = session.begin_nested()
        session.execute(update(Weather).values(degrees=50))
        undone.rollback()
        with session.begin_nested():
            change(Db(session))


def _autocommit(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        change(Db.over(connection.execution_options(isolation_level="AUTOCOMMIT")))


def _automatic(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.automatic.connect() as connection:
        change(Db.over(connection))


def _repeatable(engines: Engines, change: Change, pause: Pause) -> None:
    level = REPEATABLE.get(engines.vendor, "REPEATABLE READ")
    with engines.writer.connect() as connection:
        connection = connection.execution_options(isolation_level=level)
        with connection.begin():
            change(Db.over(connection))
            pause("open")


def _by_hand(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        change(Db.over(connection))
        pause("open")
        connection.commit()


def _twice(engines: Engines, change: Change, pause: Pause) -> None:
    with Session(engines.writer) as session:
        session.execute(update(Weather).where(Weather.id == 3).values(degrees=13))
        session.commit()
        change(Db(session))
        session.commit()


def _detached_late(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        change(Db.over(connection))
        connection.detach()
        connection.commit()


def _detached_early(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        connection.detach()
        change(Db.over(connection))
        connection.commit()


def _by_text(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        change(Db.over(connection))
        pause("open")
        connection.execute(text("COMMIT"))
        pause("committed")
        connection.commit()


def _by_driver(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection:
        change(Db.over(connection))
        pause("open")
        connection.connection.commit()


def _raising_hook(engines: Engines, change: Change, pause: Pause) -> None:
    def fail(session: Session) -> None:
        raise _Undone("the broker is away")

    with _expected(_Undone), Session(engines.writer) as session, session.begin():
        event.listen(session, "after_commit", fail)
        change(Db(session))


def _looking_hook(engines: Engines, change: Change, pause: Pause) -> None:
    with Session(engines.writer) as session, session.begin():
        event.listen(session, "after_commit", lambda session: pause("committed"))
        change(Db(session))


def _two_phases(engines: Engines, change: Change, pause: Pause) -> None:
    with engines.writer.connect() as connection, connection.begin_twophase() as transaction:
        change(Db.over(connection))
        transaction.prepare()
        pause("open")
        transaction.commit()


def _lost(engines: Engines, change: Change, pause: Pause) -> None:
    proxy, engine = engines.proxy, engines.through_proxy
    assert proxy is not None
    assert engine is not None
    with _expected(DBAPIError, OSError), engine.begin() as connection:
        change(Db.over(connection))
        proxy.lose()


@contextlib.contextmanager
def _expected(*errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors:
        return
    raise AssertionError(f"expected one of {errors}: the way is not what its name says")


# -- coroutines ------------------------------------------------------------------------------------


async def _asynchronous(engines: Engines, change: Change, pause: Pause) -> None:
    engine = engines.asynchronous(engines.writer)
    async with AsyncSession(engine) as session, session.begin():
        await session.run_sync(lambda session: change(Db(session)))


async def _aconnection(engines: Engines, change: Change, pause: Pause) -> None:
    async with engines.asynchronous(engines.writer).connect() as connection:
        await connection.run_sync(lambda connection: change(Db.over(connection)))
        pause("open")
        await connection.commit()


async def _cancelled(engines: Engines, change: Change, pause: Pause) -> None:
    """Cancel the task that commits, when the server has committed and before it is heard."""
    proxy, engine = engines.proxy, engines.through_proxy
    assert proxy is not None
    assert engine is not None
    written = asyncio.Event()

    async def write() -> None:
        async with engines.asynchronous(engine).connect() as connection:
            await connection.run_sync(lambda connection: change(Db.over(connection)))
            proxy.hold()
            written.set()
            await connection.commit()

    task = asyncio.create_task(write())
    await asyncio.wait([task, asyncio.create_task(written.wait())], return_when="FIRST_COMPLETED")
    if not task.done():
        await asyncio.to_thread(proxy.carried_out.wait, 10)
        task.cancel()
        proxy.let_pass()
    with contextlib.suppress(asyncio.CancelledError):
        await task
