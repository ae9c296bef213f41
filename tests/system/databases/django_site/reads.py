"""Reads by Django's ORM."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.db.models import (
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    Window,
)
from django.db.models.functions import Coalesce, Lower, Rank
from django.http import Http404

import cachemw
from tests.system.databases.cases import Read, raw_for

from .models import (
    Author,
    Book,
    Folder,
    Note,
    Novel,
    Odd,
    Offer,
    Publisher,
    Review,
    Shelf,
    Weather,
    Word,
)
from .owned import owned
from .raw import rows

__all__ = ["plain", "reads"]

SECOND = UUID(int=2)


def reads(driver: str) -> list[Read]:
    """Return the reads that a driver can make."""
    vendor = connection.vendor
    raw = [
        Read(
            name=each.name, read=lambda each=each: rows(each.sql, each.parameters), known=each.known
        )
        for each in raw_for(vendor, "reads.toml")
    ]
    by_orm = [Read(name=f"ORM: {name}", read=read) for name, read in ORM.items()]
    if vendor != "sqlite":
        by_orm.append(Read(name="ORM: Func of a function that reads", read=_by_func, known=True))
    by_orm.append(Read(name=owned.name, read=lambda: owned.city, known=True))
    if driver == "psycopg":
        by_orm.append(Read(name="a cursor's stream", read=_stream))
    return [*raw, *by_orm]


def plain() -> list[Read]:
    """Return what changes nothing."""
    vendor = connection.vendor
    raw = [
        Read(name=each.name, read=lambda each=each: rows(each.sql, each.parameters))
        for each in raw_for(vendor, "plain.toml")
    ]
    return [*raw, *(Read(name=f"ORM: {name}", read=read) for name, read in PLAIN.items())]


def _found(manager: Any, **wanted: Any) -> Any:
    """Return a row, or a 404 as a view does."""
    found = manager.filter(**wanted).first()
    if found is None:
        raise Http404
    return found


def _dependent() -> Any:
    """Return a value that is read unrecorded, and declared."""
    with cachemw.unrecorded():
        odd = Odd.objects.get(pk=1)
    cachemw.depends_on(odd)
    return odd.value


def _in_thread() -> Any:
    found: list[Any] = []

    def read() -> None:
        try:
            found.extend(Book.objects.filter(pk=2).values_list("price"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return found


def _in_pool() -> Any:
    def read(key: int) -> Any:
        try:
            return Book.objects.get(pk=key).price
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(read, [3]))


def _in_old_pool() -> Any:
    with ThreadPool(1) as pool:
        return pool.apply(_titles)


def _titles() -> Any:
    try:
        return sorted(Book.objects.filter(pk__in=[5, 6]).values_list("title"))
    finally:
        connections.close_all()


async def _agather() -> Any:
    found = await asyncio.gather(Book.objects.aget(pk=4), Author.objects.acount())
    return found[0].price, found[1]


def _by_func() -> Any:
    price = Func(1, function="current_price", output_field=IntegerField())
    return list(Publisher.objects.filter(pk=1).annotate(x=price).values_list("name", "x"))


def _stream() -> Any:
    with connection.cursor() as cursor:
        return list(cursor.stream("SELECT price FROM book WHERE id = %s", [1]))


def _prices(books: Any) -> list[tuple[int, int]]:
    return sorted((book.pk, book.price) for book in books)


def _union() -> Any:
    cheap = Book.objects.filter(price__lt=25).values_list("pk")
    return sorted(cheap.union(Book.objects.filter(price__gt=75).values_list("pk")))


def _with_books() -> Any:
    publishers = Publisher.objects.filter(pk__in=[1, 2]).order_by("pk")
    return [sorted(b.price for b in p.books.all()) for p in publishers.prefetch_related("books")]


def _with_cheap_books() -> Any:
    cheap = Prefetch("books", Book.objects.filter(price__lt=45).order_by("pk"), "cheap")
    return [
        [b.pk for b in p.cheap] for p in Publisher.objects.order_by("pk").prefetch_related(cheap)
    ]


def _newest_price() -> Any:
    newest = Book.objects.filter(publisher=OuterRef("pk")).order_by("-pk").values("price")[:1]
    return sorted(Publisher.objects.annotate(newest=Subquery(newest)).values_list("pk", "newest"))


def _ranks() -> Any:
    rank = Window(Rank(), partition_by=[F("publisher_id")], order_by="price")
    return sorted(Book.objects.annotate(rank=rank).values_list("pk", "rank"))


ORM: dict[str, Callable[[], object]] = {
    "get": lambda: Book.objects.get(pk=1).price,
    "get of another": lambda: Publisher.objects.get(pk=2).city,
    "a row that is not there yet": lambda: _found(Note.objects, pk=4).body,
    "a slug that is not there yet": lambda: _found(Book.objects, slug="new").price,
    "in": lambda: _prices(Book.objects.filter(pk__in=[1, 4])),
    "in_bulk": lambda: sorted((k, b.price) for k, b in Book.objects.in_bulk([2, 5]).items()),
    "by foreign key": lambda: _prices(Book.objects.filter(publisher=1)),
    "a manager of a relation": lambda: _prices(Publisher.objects.get(pk=2).books.all()),
    "a key of a text": lambda: sorted(Book.objects.filter(genre_id="sf").values_list("pk")),
    "by slug": lambda: Book.objects.get(slug="slug-2").price,
    "count": lambda: Note.objects.count(),
    "exists": lambda: Book.objects.filter(publisher=4).exists(),
    "aggregate": lambda: sorted(
        Book.objects.filter(publisher=1).aggregate(Sum("price"), Max("stock")).items()
    ),
    "annotate": lambda: sorted(Publisher.objects.annotate(n=Count("books")).values_list("pk", "n")),
    "first and last": lambda: (
        Note.objects.order_by("pk").first().body,
        Note.objects.order_by("pk").last().body,
    ),
    "select_related": lambda: Book.objects.select_related("publisher").get(pk=3).publisher.city,
    "lazy": lambda: Book.objects.get(pk=3).publisher.city,
    "prefetch_related": _with_books,
    "Prefetch": _with_cheap_books,
    "many to many": lambda: sorted(a.name for a in Book.objects.get(pk=1).authors.all()),
    "many to many, filtered": lambda: sorted(
        Book.objects.filter(authors__name="Ada").values_list("pk")
    ),
    "many to many, prefetched": lambda: sorted(
        (b.pk, sorted(a.name for a in b.authors.all()))
        for b in Book.objects.prefetch_related("authors")
    ),
    "inherited": lambda: (lambda novel: (novel.title, novel.pages))(Novel.objects.get(pk=7)),
    "the parent of what inherits": lambda: Book.objects.get(pk=8).novel.pages,
    "Subquery": _newest_price,
    "Exists": lambda: sorted(
        Publisher.objects.filter(
            Exists(Book.objects.filter(publisher=OuterRef("pk"), price__gt=75))
        ).values_list("pk")
    ),
    "union": _union,
    "Window": _ranks,
    "Q": lambda: _prices(Book.objects.filter(Q(pk=1) | Q(slug="slug-5"))),
    "exclude": lambda: sorted(Author.objects.exclude(pk=1).values_list("name")),
    "F": lambda: sorted(Book.objects.filter(price__gt=F("stock") * 10).values_list("pk")),
    "functions": lambda: sorted(
        Author.objects.annotate(x=Lower(Coalesce("name", Value("nobody")))).values_list("x")
    ),
    "composite key": lambda: Offer.objects.get(pk=(1, 1)).amount,
    "text key": lambda: Word.objects.get(pk="co-op").uses,
    "UUID": lambda: Review.objects.get(pk=SECOND).stars,
    "a column with another name": lambda: Shelf.objects.get(pk=1).height,
    "JSON": lambda: sorted(Book.objects.filter(attrs__color="red").values_list("pk")),
    "JSON's key": lambda: list(Book.objects.filter(pk=1).values_list("attrs__color")),
    "a tree": lambda: sorted(Folder.objects.get(pk=1).children.values_list("pk")),
    "iterator": lambda: sorted(b.price for b in Book.objects.iterator(2)),
    "iterator by foreign key": lambda: sorted(
        b.price for b in Book.objects.filter(publisher=2).iterator(1)
    ),
    "defer": lambda: Book.objects.only("title").get(pk=6).price,
    "raw": lambda: [b.price for b in Book.objects.raw("SELECT * FROM book WHERE id = %s", [6])],
    "extra": lambda: sorted(Book.objects.extra(where=["price > 55"]).values_list("pk")),
    "a field of its own": lambda: Odd.objects.get(pk=1).value,
    "a declared dependency": _dependent,
    "in a thread": _in_thread,
    "in a pool": _in_pool,
    "in a pool of multiprocessing": _in_old_pool,
    "asynchronous": lambda: async_to_sync(_agather)(),
    "weather": lambda: Weather.objects.get(pk=2).degrees,
    "all weather": lambda: sorted(Weather.objects.values_list("degrees")),
}

PLAIN: dict[str, Callable[[], object]] = {
    "is_usable": lambda: connection.is_usable(),
    "explain": lambda: Book.objects.filter(pk=1).explain() and None,
    "pairs of 300": lambda: Offer.objects.filter(pk__in=[(i, i) for i in range(300)]).count(),
    "either of 800 pairs": lambda: Offer.objects.filter(
        Q(*(Q(shop_id=i, book_id=i) for i in range(800)), _connector=Q.OR)
    ).count(),
    "regex": lambda: Book.objects.filter(slug__regex=r"^\w").count(),
    "has_key": lambda: Book.objects.filter(attrs__has_key="color").count(),
    "iterator": lambda: len(list(Book.objects.iterator())),
    "nothing": lambda: list(Book.objects.none()),
}
