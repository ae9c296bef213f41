"""Writes by SQLAlchemy's ORM and Core. Each leaves the commit to the way in which it is carried out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, literal, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import ResourceClosedError

from tests.system.databases.cases import Raw, Read, Write, raw_for, unseen_for

from .db import Db
from .models import (
    Author,
    Book,
    Folder,
    Genre,
    Note,
    Novel,
    Offer,
    Publisher,
    Review,
    Weather,
    Word,
    book_author,
)

__all__ = ["unseen", "writes"]

TAKES_ONE_STATEMENT = ("asyncpg",)


def writes(vendor: Any, driver: str, database: str) -> list[Write]:
    """Return the writes that a driver can make."""
    raw = [
        _raw(each, database)
        for each in raw_for(vendor, "writes.toml")
        if not (each.several and driver in TAKES_ONE_STATEMENT)
    ]
    mine = [
        Write(name=f"ORM: {name}", write=write, in_transaction=name == STREAMED)
        for name, write in ORM.items()
    ]
    mine += [Write(name=f"Core: {name}", write=write) for name, write in CORE.items()]
    mine += [Write(name=name, write=write, known=True) for name, write in KNOWN.items()]
    for name, write in OF_VENDOR[vendor].items():
        mine.append(Write(name=f"Core: {name}", write=write, known=True))
    if vendor != "sqlite":
        mine.append(Write(name="Core: a function that writes", write=_by_function, known=True))
    return [*raw, *mine]


def unseen(vendor: Any, driver: str) -> dict[str, tuple[Read, Write]]:
    """Return reads, and writes that change what they read past the recorder."""
    found = {
        read.name: (
            Read(name=read.name, read=lambda db, read=read: db.rows(read.sql)),
            Write(name=write.name, write=lambda db, write=write: db.rows(write.sql)),
        )
        for read, write in unseen_for(vendor)
    }
    count = Read(name="raw_connection", read=lambda db: db.rows("SELECT count(*) FROM note"))
    found[count.name] = (count, Write(name=count.name, write=_by_the_driver))
    return found


def _by_the_driver(db: Db) -> None:
    raw = db.connection.engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("INSERT INTO note (body) VALUES ('four')")
    cursor.close()
    raw.commit()
    raw.close()


def _raw(raw: Raw, database: str) -> Write:
    sql = raw.sql.replace("{database}", database)

    def write(db: Db) -> object:
        return db.executemany(sql, raw.many) if raw.many else db.rows(sql, raw.parameters)

    return Write(
        name=raw.name,
        write=write,
        undo=raw.undo,
        locks=raw.locks,
        commits=raw.commits,
        known=raw.known,
    )


def _change(found: type[Any], key: Any, **values: Any) -> Callable[[Db], None]:
    def write(db: Db) -> None:
        changed = db.session.get_one(found, key)
        for name, value in values.items():
            setattr(changed, name, value)
        db.session.flush()

    return write


def _add(kind: type[Any], *several: dict[str, Any]) -> Callable[[Db], None]:
    def write(db: Db) -> None:
        db.session.add_all(kind(**values) for values in several)
        db.session.flush()

    return write


def _delete(kind: type[Any], key: Any) -> Callable[[Db], None]:
    def write(db: Db) -> None:
        db.session.delete(db.session.get_one(kind, key))
        db.session.flush()

    return write


def _run(statement: Any, parameters: Any = None) -> Callable[[Db], None]:
    """Return what runs a statement by the session, and fetches its rows if it has any."""

    def run(db: Db) -> None:
        with contextlib.suppress(ResourceClosedError):
            db.session.execute(statement, parameters).all()

    return run


def _core(statement: Any, parameters: Any = None) -> Callable[[Db], object]:
    return lambda db: db.connection.execute(statement, parameters) and None


def _child(db: Db) -> None:
    publisher = db.session.get_one(Publisher, 4)
    publisher.books.append(Book(title="n", slug="new", price=1))
    db.session.flush()


def _moved(db: Db) -> None:
    db.session.get_one(Book, 1).publisher = db.session.get_one(Publisher, 4)
    db.session.flush()


def _authors(db: Db) -> None:
    book = db.session.get_one(Book, 1)
    book.authors = [db.session.get_one(Author, 3)]
    db.session.flush()


def _merged(db: Db) -> None:
    db.session.merge(Genre(code="sf", label="SF"))
    db.session.flush()


def _locked(db: Db) -> None:
    query = select(Book).where(Book.id == 3).with_for_update()
    db.session.scalars(query).one().price = 301
    db.session.flush()


def _expression(db: Db) -> None:
    book = db.session.get_one(Book, 5)
    book.price = Book.price + 1  # type: ignore[assignment]
    db.session.flush()


def _mappings(db: Db) -> None:
    changes = [{"id": 1, "price": 302}, {"id": 2, "price": 303}]
    db.session.bulk_update_mappings(Book.__mapper__, changes)


def _objects(db: Db) -> None:
    db.session.bulk_save_objects([Note(body="a"), Note(body="b")])


def _by_function(db: Db) -> object:
    return db.session.scalar(select(func.generate_note("four")))


def _by_driver(db: Db) -> None:
    db.connection.exec_driver_sql("UPDATE book SET price = 304 WHERE id = 1")


def _named_later(db: Db) -> None:
    found = select(Book).where(Book.id == 2)
    for book in db.session.scalars(found.execution_options(yield_per=1)):
        book.price = 305
    db.session.flush()


def _text_and_object(db: Db) -> None:
    db.session.execute(text("INSERT INTO note (body) VALUES ('raw')"))
    db.session.add(Note(body="five"))
    db.session.flush()


CHANGED = bindparam("changed")

STREAMED = "while rows are streamed"

ORM: dict[str, Callable[[Db], object]] = {
    "a changed object": _change(Book, 1, price=306),
    "a changed parent": _change(Publisher, 3, city="Kiel"),
    "a changed relation": _moved,
    "a changed text key's row": _change(Genre, "crime", label="C"),
    "a changed UUID's row": _change(Review, UUID(int=2), stars=7),
    "a changed composite key's row": _change(Offer, (1, 2), amount=307),
    "a changed key": _change(Note, 3, id=4),
    "an expression": _expression,
    "a new object": _add(Note, {"body": "four"}),
    "a new object with a key": _add(Note, {"id": 4, "body": "four"}),
    "new objects": _add(Note, {"body": "a"}, {"body": "b"}),
    "a new text key": _add(Genre, {"code": "drama", "label": "Drama"}),
    "a new UUID": _add(Review, {"id": UUID(int=9), "book_id": 5, "stars": 1}),
    "a new child": _child,
    "a new object that inherits": _add(
        Novel, {"title": "n", "slug": "new", "price": 1, "pages": 1}
    ),
    "what inherits, its parent's part": _change(Novel, 7, title="changed"),
    "what inherits, its own part": _change(Novel, 8, pages=1),
    "many to many": _authors,
    "merge": _merged,
    "a deleted object": _delete(Note, 3),
    "a deleted object that cascades": _delete(Book, 6),
    "a deleted tree": _delete(Folder, 1),
    "for update": _locked,
    STREAMED: _named_later,
    "update": _run(update(Book).where(Book.id == 1).values(price=308)),
    "update by key": _run(update(Book), [{"id": 1, "price": 309}, {"id": 4, "price": 310}]),
    "update without synchronisation": _run(
        update(Book).where(Book.slug == "slug-3").values(price=311),
    ),
    "delete": _run(delete(Offer).where(Offer.amount > 5)),
    "insert of several": _run(insert(Note), [{"body": "a"}, {"body": "b"}]),
    "insert of one": _run(insert(Note).values(body="four")),
    "bulk_update_mappings": _mappings,
    "bulk_save_objects": _objects,
    "weather": _change(Weather, 2, degrees=-1),
}

CORE: dict[str, Callable[[Db], object]] = {
    "update": _core(update(Book.__table__).where(Book.id == 2).values(price=312)),
    "update of all": _core(update(Book.__table__).values(stock=313)),
    "update by a subquery": _core(
        update(Book.__table__)
        .where(Book.publisher_id.in_(select(Publisher.id).where(Publisher.name == "Ash")))
        .values(stock=314)
    ),
    "update by many": _core(
        update(Book.__table__).where(Book.id == bindparam("k")).values(price=CHANGED),
        [{"k": 1, "changed": 315}, {"k": 2, "changed": 316}],
    ),
    "insert": _core(insert(Note.__table__).values(body="four")),
    "insert of several": _core(insert(Note.__table__).values([{"body": "a"}, {"body": "b"}])),
    "insert by many": _core(insert(Note.__table__), [{"body": "a"}, {"body": "b"}]),
    "insert in a table between": _core(insert(book_author).values(book_id=1, author_id=4)),
    "insert from a select": _core(
        insert(Note.__table__).from_select(["body"], select(Author.name).where(Author.id == 1))
    ),
    "delete": _core(delete(Note.__table__).where(Note.id == 3)),
    "delete of all": _core(delete(Offer.__table__)),
    "driver's SQL": _by_driver,
}

KNOWN: dict[str, Callable[[Db], object]] = {
    "insert whose key is an expression": _core(
        insert(Note.__table__).values(
            id=select(func.count(Author.id)).scalar_subquery(), body="four"
        )
    ),
    "a text key in another spelling": _core(
        update(Word.__table__).where(Word.word == "CO-OP").values(uses=317)
    ),
    "a text and an object": _text_and_object,
}

_RETURNING: dict[str, Callable[[Db], object]] = {
    "insert with RETURNING": _run(insert(Note).values(body="four").returning(Note.id)),
    "insert of several with RETURNING": _run(
        insert(Note).returning(Note.id), [{"body": "a"}, {"body": "b"}]
    ),
    "update with RETURNING": _run(
        update(Book).where(Book.id == 4).values(price=318).returning(Book.price)
    ),
}
_NEW_GENRE = [{"code": "sf", "label": "SF"}, {"code": "drama", "label": "Drama"}]

OF_VENDOR: dict[str, dict[str, Callable[[Db], object]]] = {
    "postgresql": {
        **_RETURNING,
        "upsert": _core(
            (made := postgresql.insert(Genre.__table__).values(_NEW_GENRE)).on_conflict_do_update(
                index_elements=["code"], set_={"label": made.excluded.label}
            )
        ),
        "update from another table": _core(
            update(Book.__table__)
            .where(Book.publisher_id == Publisher.id, Publisher.name == "Birch")
            .values(price=319)
        ),
        "a CTE that writes": _run(
            select(
                (
                    update(Book.__table__)
                    .where(Book.id == 1)
                    .values(price=320)
                    .returning(Book.__table__.c.id)
                )
                .cte("changed")
                .c.id
            ).add_columns(literal(1))
        ),
    },
    "mysql": {
        "upsert": _core(
            (other := mysql.insert(Genre.__table__).values(_NEW_GENRE)).on_duplicate_key_update(
                label=other.inserted.label
            )
        ),
        "update with a prefix": _core(
            update(Book.__table__).prefix_with("LOW_PRIORITY").where(Book.id == 1).values(price=321)
        ),
        "delete with a prefix": _core(
            delete(Note.__table__).prefix_with("QUICK").where(Note.id == 3)
        ),
        "insert with a prefix": _core(
            insert(Note.__table__).prefix_with("IGNORE").values(id=4, body="four")
        ),
        "update of two tables": _core(
            update(Book.__table__)
            .where(Book.publisher_id == Publisher.id)
            .values({Book.__table__.c.price: 322, Publisher.__table__.c.city: "Kiel"})
        ),
    },
    "sqlite": {
        **_RETURNING,
        "upsert": _core(
            (third := sqlite.insert(Genre.__table__).values(_NEW_GENRE)).on_conflict_do_update(
                index_elements=["code"], set_={"label": third.excluded.label}
            )
        ),
        "insert with a prefix": _core(
            insert(Genre.__table__).prefix_with("OR REPLACE").values(code="sf", label="SF")
        ),
    },
}
