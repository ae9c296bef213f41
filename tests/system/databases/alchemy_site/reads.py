"""Reads by SQLAlchemy's ORM and Core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    table,
    tuple_,
    union_all,
)
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import aliased, joinedload, load_only, selectinload, subqueryload

import cachemw
from tests.system.databases.cases import Read, raw_for

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
    Shelf,
    Weather,
    Word,
    book_author,
)

__all__ = ["NoResultFound", "plain", "reads"]

SECOND = UUID(int=2)


def reads(vendor: Any, driver: str) -> list[Read]:
    """Return the reads that a driver can make."""
    raw = [
        Read(
            name=each.name,
            read=lambda db, each=each: db.rows(each.sql, each.parameters),
            known=each.known,
        )
        for each in raw_for(vendor, "reads.toml")
    ]
    mine = [Read(name=f"ORM: {name}", read=read) for name, read in ORM.items()]
    mine += [Read(name=f"Core: {name}", read=read) for name, read in CORE.items()]
    if vendor != "sqlite":
        mine.append(Read(name="Core: a function that reads", read=_by_function, known=True))
    if vendor == "postgresql":
        mine.append(Read(name="Core: lateral", read=_lateral))
    return [*raw, *mine]


def plain(vendor: Any) -> list[Read]:
    """Return what changes nothing."""
    raw = [
        Read(name=each.name, read=lambda db, each=each: db.rows(each.sql, each.parameters))
        for each in raw_for(vendor, "plain.toml")
    ]
    return [*raw, *(Read(name=f"Core: {name}", read=read) for name, read in PLAIN.items())]


def _all(db: Db, query: Any) -> list[Any]:
    return sorted(tuple(row) for row in db.session.execute(query))


def _dependent(db: Db) -> Any:
    """Return a value that is read unrecorded, and declared."""
    with cachemw.unrecorded():
        note = db.session.get_one(Note, 2)
    cachemw.depends_on(note)
    return note.body


def _by_function(db: Db) -> Any:
    return db.session.scalar(select(func.current_price(1)))


def _lateral(db: Db) -> Any:
    dearest = (
        select(Book.price)
        .where(Book.publisher_id == Publisher.id)
        .order_by(Book.price.desc())
        .limit(1)
        .lateral()
    )
    return _all(db, select(Publisher.id, dearest.c.price).join(dearest, literal(True)))


def _streamed(db: Db) -> Any:
    result = db.session.execute(select(Book.price).execution_options(yield_per=2))
    return sorted(price for part in result.scalars().partitions() for price in part)


def _server_side(db: Db) -> Any:
    options = {"stream_results": True, "max_row_buffer": 2}
    query = select(Book.price).where(Book.publisher_id == 2)
    return sorted(db.connection.execution_options(**options).scalars(query))


def _loaded(strategy: Any) -> Callable[[Db], Any]:
    def read(db: Db) -> Any:
        query = select(Publisher).where(Publisher.id.in_([1, 2])).options(strategy)
        found = db.session.scalars(query).unique()
        return sorted((p.name, [b.price for b in p.books]) for p in found)

    return read


def _ranks(db: Db) -> Any:
    rank = func.rank().over(partition_by=Book.publisher_id, order_by=Book.price)
    return _all(db, select(Book.id, rank))


def _tree(db: Db) -> Any:
    top = select(Folder.id).where(Folder.id == 1).cte(recursive=True)
    down = top.union_all(select(Folder.id).join(top, Folder.parent_id == top.c.id))
    return db.session.scalar(select(func.count()).select_from(down))


def _aliased(db: Db) -> Any:
    child = aliased(Folder)
    return _all(db, select(Folder.name, child.name).join(child, child.parent_id == Folder.id))


def _newest(db: Db) -> Any:
    newest = select(func.max(Book.price)).where(Book.publisher_id == Publisher.id).scalar_subquery()
    return _all(db, select(Publisher.id, func.coalesce(newest, 0)))


def _refreshed(db: Db) -> Any:
    book = db.session.get_one(Book, 4)
    db.session.refresh(book)
    return book.price


def _compiled(db: Db) -> Any:
    query = select(Book.price).where(Book.id == bindparam("wanted"))
    return db.session.scalar(query, {"wanted": 6})


ORM: dict[str, Callable[[Db], object]] = {
    "get": lambda db: db.session.get_one(Book, 1).price,
    "get of another": lambda db: db.session.get_one(Publisher, 2).city,
    "a row that is not there yet": lambda db: db.session.get_one(Note, 4).body,
    "a slug that is not there yet": lambda db: (
        db.session.scalars(select(Book).where(Book.slug == "new")).one().price
    ),
    "in": lambda db: _all(db, select(Book.id, Book.price).where(Book.id.in_([1, 4]))),
    "by foreign key": lambda db: _all(db, select(Book.id).where(Book.publisher_id == 1)),
    "by a relation": lambda db: _all(
        db, select(Book.id).where(Book.publisher.has(Publisher.city == "Oslo"))
    ),
    "by any": lambda db: _all(db, select(Publisher.id).where(Publisher.books.any(Book.price > 75))),
    "by slug": lambda db: db.session.scalars(select(Book).filter_by(slug="slug-2")).one().price,
    "query": lambda db: db.session.query(Book).filter(Book.id == 3).one().price,
    "count": lambda db: db.session.scalar(select(func.count()).select_from(Note)),
    "joinedload": _loaded(joinedload(Publisher.books)),
    "selectinload": _loaded(selectinload(Publisher.books)),
    "subqueryload": _loaded(subqueryload(Publisher.books)),
    "lazy": lambda db: [b.price for b in db.session.get_one(Publisher, 3).books],
    "lazy parent": lambda db: db.session.get_one(Book, 5).publisher.city,
    "many to many": lambda db: [a.name for a in db.session.get_one(Book, 1).authors],
    "many to many, joined": lambda db: _all(
        db, select(Book.id).join(Book.authors).where(Author.name == "Ada")
    ),
    "inherited": lambda db: (lambda n: (n.title, n.pages))(db.session.get_one(Novel, 7)),
    "all that inherit": lambda db: _all(db, select(Novel.title, Novel.pages)),
    "composite key": lambda db: db.session.get_one(Offer, (1, 1)).amount,
    "text key": lambda db: db.session.get_one(Genre, "crime").label,
    "text key without case": lambda db: db.session.get_one(Word, "co-op").uses,
    "UUID": lambda db: db.session.get_one(Review, SECOND).stars,
    "a column with another name": lambda db: db.session.get_one(Shelf, 1).height,
    "a tree": lambda db: [f.id for f in db.session.get_one(Folder, 1).children],
    "load_only": lambda db: (
        db.session.scalars(select(Book).options(load_only(Book.title)).where(Book.id == 6))
        .one()
        .price
    ),
    "refresh": _refreshed,
    "yield_per": _streamed,
    "a declared dependency": _dependent,
    "weather": lambda db: db.session.get_one(Weather, 2).degrees,
    "all weather": lambda db: _all(db, select(Weather.degrees)),
}

CORE: dict[str, Callable[[Db], object]] = {
    "by key": lambda db: db.connection.scalar(select(Book.price).where(Book.id == 2)),
    "a parameter": _compiled,
    "driver's SQL": lambda db: list(
        db.connection.exec_driver_sql("SELECT price FROM book WHERE id = 3").scalars()
    ),
    "server-side": _server_side,
    "outer join": lambda db: _all(
        db, select(Publisher.id, func.count(Book.id)).outerjoin(Book).group_by(Publisher.id)
    ),
    "joined by hand": lambda db: _all(
        db,
        select(Author.name)
        .join(book_author, book_author.c.author_id == Author.id)
        .where(book_author.c.book_id == 2),
    ),
    "exists": lambda db: db.session.scalar(select(exists().where(Book.publisher_id == 4))),
    "scalar subquery": _newest,
    "union": lambda db: _all(
        db,
        union_all(
            select(Note.id).where(Note.id > 2), select(Weather.id).where(Weather.degrees > 11)
        ),
    ),
    "window": _ranks,
    "recursive CTE": _tree,
    "self join": _aliased,
    "or": lambda db: _all(db, select(Book.id).where(or_(Book.id == 1, Book.slug == "slug-5"))),
    "case": lambda db: _all(db, select(Book.id, case((Book.stock > 4, "many"), else_="few"))),
    "tuples": lambda db: _all(
        db, select(Offer.amount).where(tuple_(Offer.shop_id, Offer.book_id).in_([(1, 1), (2, 1)]))
    ),
    "JSON": lambda db: _all(db, select(Book.id).where(Book.attrs["color"].as_string() == "red")),
    "in two hundred": lambda db: _all(
        db, select(Book.id, Book.price).where(Book.id.in_(range(200)))
    ),
    "a table without metadata": lambda db: db.session.scalar(
        select(func.count()).select_from(table("favourite"))
    ),
    "a part of a composite key": lambda db: _all(
        db, select(Offer.amount).where(Offer.shop_id == 1)
    ),
}

PLAIN: dict[str, Callable[[Db], object]] = {
    "seven hundred pairs by OR": lambda db: _all(
        db,
        select(Offer.amount).where(
            or_(*[and_(Offer.shop_id == i, Offer.book_id == i) for i in range(700)])
        ),
    ),
    "seven hundred pairs by IN": lambda db: _all(
        db,
        select(Offer.amount).where(
            tuple_(Offer.shop_id, Offer.book_id).in_([(i, i) for i in range(700)])
        ),
    ),
    "nothing": lambda db: db.session.scalar(select(literal(1))),
    "the hour": lambda db: db.session.scalar(select(func.now())) is not None,
}
