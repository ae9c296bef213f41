"""The ways in which a Django application carries out and commits a write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, transaction

from tests.system.databases.acknowledgements import AcknowledgementProxy
from tests.system.databases.cases import Way
from tests.system.databases.worker import Pause

from .models import Weather

__all__ = ["ways"]

Change = Callable[[], object]


class _Undone(Exception):
    """What an application raises in a block that is to be rolled back."""


def ways(proxy: AcknowledgementProxy | None, post: Callable[[Change], None]) -> list[Way]:
    """Return the ways of the database; `post` makes a change by a request.

    `proxy` is in front of the database server; None where there is no server.
    """
    found = [
        Way(name="autocommit", run=_autocommit),
        Way(name="atomic", run=_atomic),
        Way(name="savepoints, one rolled back", run=_savepoints),
        Way(name="savepoints by hand", run=_savepoints_by_hand),
        Way(name="set_autocommit(False)", run=_by_hand),
        Way(name="atomic in set_autocommit(False)", run=_atomic_by_hand),
        Way(name="BEGIN and COMMIT as texts", run=_by_texts, by_texts=True),
        Way(name="ATOMIC_REQUESTS", run=lambda change, pause: post(change)),
        Way(name="a hook that raises before", run=_raising_hook, known=True),
        Way(
            name="a hook that raises after a savepoint rolled back", run=_raising_later, known=True
        ),
        Way(name="a hook that looks", run=_looking_hook, known=True),
        Way(name="a hook that writes", run=_writing_hook),
    ]
    if connection.vendor == "postgresql":
        found.append(Way(name="two phases", run=_two_phases, by_texts=True, known=True))
        found.append(Way(name="START and END as texts", run=_by_other_texts, by_texts=True))
    if connection.vendor == "mysql":
        found.append(Way(name="two phases", run=_xa, by_texts=True, prepares=True, known=True))
        found.append(Way(name="COMMIT AND CHAIN", run=_chain, by_texts=True))
    if proxy is not None:
        lost = Way(name="a commit whose answer is lost", run=_lost(proxy), known=True)
        found.append(lost)
    return found


def _text(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _autocommit(change: Change, pause: Pause) -> None:
    change()


def _atomic(change: Change, pause: Pause) -> None:
    with transaction.atomic():
        change()
        pause("open")


def _savepoints(change: Change, pause: Pause) -> None:
    with transaction.atomic():
        with contextlib.suppress(_Undone), transaction.atomic():
            Weather.objects.update(degrees=50)
            raise _Undone
        with transaction.atomic():
            change()


def _savepoints_by_hand(change: Change, pause: Pause) -> None:
    with transaction.atomic():
        undone = transaction.savepoint()
        Weather.objects.update(degrees=51)
        transaction.savepoint_rollback(undone)
        done = transaction.savepoint()
        change()
        transaction.savepoint_commit(done)


def _by_hand(change: Change, pause: Pause) -> None:
    with _no_autocommit():
        change()
        pause("open")
        connection.commit()


def _atomic_by_hand(change: Change, pause: Pause) -> None:
    with _no_autocommit():
        with transaction.atomic():
            change()
        pause("open")
        connection.commit()


@contextlib.contextmanager
def _no_autocommit() -> Iterator[None]:
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        connection.rollback()
        transaction.set_autocommit(True)


def _by_texts(change: Change, pause: Pause) -> None:
    _text("BEGIN")
    change()
    pause("open")
    _text("COMMIT")


def _by_other_texts(change: Change, pause: Pause) -> None:
    _text("START TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    change()
    pause("open")
    _text("END")


def _chain(change: Change, pause: Pause) -> None:
    _text("START TRANSACTION")
    change()
    pause("open")
    _text("COMMIT AND CHAIN")
    pause("committed")
    _text("COMMIT")


def _two_phases(change: Change, pause: Pause) -> None:
    _text("BEGIN")
    change()
    _text("PREPARE TRANSACTION 'library'")
    pause("open")
    _text("COMMIT PREPARED 'library'")


def _xa(change: Change, pause: Pause) -> None:
    _text("XA START 'library'")
    try:
        change()
    finally:
        _text("XA END 'library'")
    _text("XA PREPARE 'library'")
    pause("open")
    _text("XA COMMIT 'library'")


def _fail() -> None:
    raise _Undone("the broker is away")


def _raising_hook(change: Change, pause: Pause) -> None:
    with _expected(_Undone), transaction.atomic():
        transaction.on_commit(_fail)
        change()


def _raising_later(change: Change, pause: Pause) -> None:
    with _expected(_Undone), transaction.atomic():
        with contextlib.suppress(_Undone), transaction.atomic():
            Weather.objects.update(degrees=52)
            raise _Undone
        transaction.on_commit(_fail)
        change()


def _looking_hook(change: Change, pause: Pause) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: pause("committed"))
        change()


def _writing_hook(change: Change, pause: Pause) -> None:
    with transaction.atomic():
        transaction.on_commit(change)


@contextlib.contextmanager
def _expected(*errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors:
        return
    raise AssertionError(f"expected one of {errors}: the way is not what its name says")


def _lost(proxy: AcknowledgementProxy) -> Callable[[Change, Pause], None]:
    def run(change: Change, pause: Pause) -> None:
        with _through(proxy), _expected(DatabaseError, InterfaceError), transaction.atomic():
            change()
            proxy.lose()

    return run


@contextlib.contextmanager
def _through(proxy: AcknowledgementProxy) -> Iterator[None]:
    """Let this thread's connection go through the proxy."""
    settings: dict[str, Any] = connection.settings_dict
    before = {name: settings[name] for name in ("HOST", "PORT")}
    connection.close()
    settings.update(HOST="127.0.0.1", PORT=proxy.port)
    try:
        connection.ensure_connection()
        yield
    finally:
        connection.close()
        settings.update(before)
