"""Writes by Django's ORM, and by its cursors in ways that only some drivers have."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F
from django.db.models.signals import post_save

from tests.system.databases.cases import Raw, Read, Write, raw_for, unseen_for

from .models import (
    Author,
    Book,
    Folder,
    Genre,
    Note,
    Novel,
    Odd,
    Offer,
    Publisher,
    Review,
    Weather,
    Word,
)
from .raw import execute, executemany, rows

__all__ = ["unseen", "writes"]


def writes(driver: str) -> list[Write]:
    """Return the writes that a driver can make."""
    vendor = connection.vendor
    database = str(connection.settings_dict["NAME"])
    raw = [_raw(each, database) for each in raw_for(vendor, "writes.toml")]
    by_orm = [
        Write(name=f"ORM: {name}", write=write, opens_block=name in OWN_BLOCK)
        for name, write in ORM.items()
    ]
    known = [
        Write(name=name, write=write, opens_block=name in OWN_BLOCK, known="atomic")
        for name, write in KNOWN.items()
    ]
    if vendor != "sqlite":
        known += [Write(name=name, write=write, known=True) for name, write in SERVERS.items()]
    special = [
        Write(name=name, write=write, known=True) for name, write in DRIVERS.get(driver, {}).items()
    ]
    return [*raw, *by_orm, *known, *special]


def unseen(driver: str) -> dict[str, tuple[Read, Write]]:
    """Return reads, and writes that change what they read past the recorder."""
    vendor = connection.vendor
    pairs = [
        (read.name, partial(rows, read.sql), partial(execute, write.sql))
        for read, write in unseen_for(vendor)
    ]
    count = partial(rows, "SELECT count(*) FROM note")
    if driver == "psycopg":
        pairs.append(("COPY by psycopg", count, _copy))
    if driver == "psycopg2":
        pairs.append(("COPY by psycopg2", count, _copy_expert))
    if vendor == "mysql":
        price = partial(rows, "SELECT price FROM book WHERE id = 1")
        pairs.append(("callproc", price, partial(_callproc, "raise_price", 1)))
    if vendor == "postgresql":
        pairs.append(("callproc", count, partial(_callproc, "generate_note", "four")))
    pairs.append(("a cursor of the driver", count, _by_the_driver))
    return {
        name: (Read(name=name, read=read), Write(name=name, write=write))
        for name, read, write in pairs
    }


def _copy() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY note (body) FROM STDIN") as copy:
        copy.write_row(("four",))


def _copy_expert() -> None:
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY note (body) FROM STDIN", io.StringIO("four\n"))


def _callproc(name: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.callproc(name, parameters)


def _by_the_driver() -> None:
    cursor = connection.connection.cursor()
    cursor.execute("INSERT INTO note (body) VALUES ('four')")
    cursor.close()


def _raw(raw: Raw, database: str) -> Write:
    sql = raw.sql.replace("{database}", database)
    call = (
        partial(executemany, sql, raw.many) if raw.many else partial(execute, sql, raw.parameters)
    )
    return Write(
        name=raw.name,
        write=call,
        undo=raw.undo,
        locks=raw.locks,
        commits=raw.commits,
        known=raw.known,
    )


def _change(found: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(found, name, value)
    found.save()


def _save_fields() -> None:
    book = Book.objects.get(pk=2)
    book.price = 201
    book.save(update_fields=["price"])


def _bulk_update() -> None:
    books = list(Book.objects.filter(pk__in=[1, 2]))
    for book in books:
        book.price += 1000
    Book.objects.bulk_update(books, ["price"])


def _bulk_upsert() -> None:
    genres = [Genre(code="sf", label="SF"), Genre(code="drama", label="Drama")]
    target = {} if connection.vendor == "mysql" else {"unique_fields": ["code"]}
    Genre.objects.bulk_create(genres, update_conflicts=True, update_fields=["label"], **target)


def _locked() -> None:
    with transaction.atomic():
        _change(Book.objects.select_for_update().get(pk=3), price=203)


def _two_notes() -> None:
    execute("INSERT INTO note (body) VALUES ('raw')")
    Note.objects.create(body="by the ORM")


def _two_notes_of_known_keys() -> None:
    execute("INSERT INTO note (body) VALUES ('raw')")
    Note(pk=900, body="of a given key").save(force_insert=True)


def _signal_by_hand() -> None:
    execute("INSERT INTO note (body) VALUES ('raw')")
    instance = Note(pk=901)
    options = {"created": True, "using": "default", "raw": False, "update_fields": None}
    post_save.send(Note, instance=instance, **options)


def _several_and_one() -> None:
    Note.objects.bulk_create([Note(body="a"), Note(body="b")])
    Note.objects.create(body="c")


def _rewritten() -> None:
    """Change books where the text that is run names the weather."""

    def rewrite(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        changed = sql.replace("weather", "book").replace("degrees", "price")
        return execute(changed, params, many, context)

    with connection.execute_wrapper(rewrite):
        Weather.objects.filter(pk=1).update(degrees=204)


def _by_schema_editor() -> None:
    with connection.schema_editor(atomic=False) as editor:
        editor.execute("UPDATE book SET price = 205 WHERE id = 1")


def _as_bytes() -> None:
    with connection.cursor() as cursor:
        cursor.execute(b"UPDATE book SET price = 206 WHERE id = 1")


def _composed() -> None:
    from psycopg import sql

    text = sql.SQL("UPDATE {} SET price = 207 WHERE id = {}")
    with connection.cursor() as cursor:
        cursor.execute(text.format(sql.Identifier("book"), sql.Literal(1)))


def _pipeline() -> None:
    with connection.cursor() as cursor, connection.connection.pipeline():
        cursor.execute("UPDATE book SET price = 208 WHERE id = %s", [1])


def _values() -> None:
    from psycopg2.extras import execute_values

    text = "UPDATE book SET price = d.p FROM (VALUES %s) AS d (i, p) WHERE book.id = d.i"
    with connection.cursor() as cursor:
        execute_values(cursor, text, [(1, 209), (2, 210)])


def _batch() -> None:
    from psycopg2.extras import execute_batch

    with connection.cursor() as cursor:
        execute_batch(cursor, "UPDATE book SET price = %s WHERE id = %s", [(211, 1), (212, 2)])


async def _aupdate() -> None:
    await Book.objects.filter(pk=4).aupdate(price=213)


ORM: dict[str, Callable[[], object]] = {
    "save": lambda: _change(Book.objects.get(pk=1), price=214),
    "save of some fields": _save_fields,
    "save of a new parent": lambda: _change(Book.objects.get(pk=1), publisher_id=4),
    "create": lambda: Note.objects.create(body="four"),
    "create with a key": lambda: Note.objects.create(pk=4, body="four"),
    "create of a child": lambda: Publisher.objects.get(pk=4).books.create(
        title="n", slug="new", price=1
    ),
    "create of a text key": lambda: Genre.objects.create(code="drama", label="Drama"),
    "create of a UUID": lambda: Review.objects.create(id=UUID(int=9), book_id=5, stars=1),
    "create of what inherits": lambda: Novel.objects.create(
        title="n", slug="new", price=1, pages=1
    ),
    "get_or_create": lambda: Author.objects.get_or_create(name="Eve"),
    "update_or_create that updates": lambda: Book.objects.update_or_create(
        {"price": 215}, slug="slug-2"
    ),
    "update_or_create that creates": lambda: Note.objects.update_or_create({"body": "four"}, pk=4),
    "delete": lambda: Note.objects.get(pk=3).delete(),
    "delete that cascades": lambda: Publisher.objects.get(pk=3).delete(),
    "delete that cascades in the database": lambda: Folder.objects.filter(pk=1).delete(),
    "delete of a query": lambda: Offer.objects.filter(amount__gt=5).delete(),
    "delete of what inherits": lambda: Novel.objects.get(pk=7).delete(),
    "update": lambda: Book.objects.filter(pk=1).update(price=216),
    "update by slug": lambda: Book.objects.filter(slug="slug-3").update(price=217),
    "update by a relation": lambda: Book.objects.filter(publisher__name="Ash").update(stock=99),
    "update of all": lambda: Book.objects.update(stock=98),
    "update of a key": lambda: Note.objects.filter(pk=3).update(id=4),
    "update of a foreign key": lambda: Book.objects.filter(pk=2).update(publisher=4),
    "F": lambda: Book.objects.filter(pk=5).update(price=F("price") + 1),
    "JSON": lambda: Book.objects.filter(pk=1).update(attrs={"color": "pink"}),
    "bulk_create of one": lambda: Note.objects.bulk_create([Note(body="four")]),
    "bulk_create of several": lambda: Note.objects.bulk_create([Note(body="a"), Note(body="b")]),
    "bulk_create that updates": _bulk_upsert,
    "bulk_update": _bulk_update,
    "many to many: add": lambda: Book.objects.get(pk=1).authors.add(3, 4),
    "many to many: remove": lambda: Book.objects.get(pk=1).authors.remove(1),
    "many to many: set": lambda: Book.objects.get(pk=2).authors.set([2, 3]),
    "many to many: clear": lambda: Author.objects.get(pk=1).books.clear(),
    "what inherits, its parent's part": lambda: _change(Novel.objects.get(pk=7), title="changed"),
    "what inherits, its own part": lambda: _change(Novel.objects.get(pk=8), pages=1),
    "the parent of what inherits": lambda: Book.objects.filter(pk=7).update(title="changed"),
    "composite key": lambda: Offer.objects.filter(pk=(1, 2)).update(amount=218),
    "UUID": lambda: Review.objects.filter(pk=UUID(int=2)).update(stars=8),
    "select_for_update": _locked,
    "asynchronous": lambda: async_to_sync(_aupdate)(),
    "weather": lambda: Weather.objects.filter(pk=2).update(degrees=-1),
}

OWN_BLOCK = {
    "bulk_create and create",
    "bulk_create of one",
    "bulk_create of several",
    "bulk_create that updates",
    "bulk_update",
    "create of what inherits",
    "delete of a query",
    "delete of what inherits",
    "delete that cascades",
    "delete that cascades in the database",
    "get_or_create",
    "many to many: add",
    "many to many: clear",
    "many to many: remove",
    "many to many: set",
    "select_for_update",
    "update_or_create that creates",
    "update_or_create that updates",
    "what inherits, its own part",
    "what inherits, its parent's part",
}
"""Writes that are a block themselves."""

KNOWN: dict[str, Callable[[], object]] = {
    "a raw insert and one by the ORM": _two_notes,
    "a raw insert and one of a given key": _two_notes_of_known_keys,
    "a raw insert and a signal sent by hand": _signal_by_hand,
    "bulk_create and create": _several_and_one,
    "a wrapper that rewrites the text": _rewritten,
    "a field of its own": lambda: Odd.objects.filter(pk=1).update(value=9),
    "a text key in another spelling": lambda: Word.objects.filter(pk="CO-OP").update(uses=219),
}
"""Families that once left old answers."""

SERVERS: dict[str, Callable[[], object]] = {"SQL as bytes": _as_bytes}

_BY_EDITOR = {"through the editor of schemas": _by_schema_editor}
"""Not in MariaDB, where Django refuses it in a transaction."""

DRIVERS: dict[str, dict[str, Callable[[], object]]] = {
    "psycopg": {**_BY_EDITOR, "composed SQL": _composed, "psycopg's pipeline": _pipeline},
    "psycopg2": {
        **_BY_EDITOR,
        "psycopg2's execute_values": _values,
        "psycopg2's execute_batch": _batch,
    },
}
