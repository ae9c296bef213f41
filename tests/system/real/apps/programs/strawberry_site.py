"""A GraphQL API by Strawberry, with its page to try queries: `python strawberry_site.py FD FOLDER`.

The cache is in front of it if `SITE_CACHED` is set.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import strawberry
import uvicorn
from strawberry.asgi import GraphQL

BOOKS = 20
READERS = ("alice", "bob")
FOLDER = Path(sys.argv[2])


def connect() -> sqlite3.Connection:
    return sqlite3.connect(FOLDER / "site.sqlite3", timeout=30)


@strawberry.type
class Book:
    number: int
    title: str


def all_books() -> list[Book]:
    with closing(connect()) as database:
        rows = database.execute("select number, title from book order by number")
        return [Book(number=number, title=title) for number, title in rows]


@strawberry.type
class Query:
    books: list[Book] = strawberry.field(resolver=all_books)

    @strawberry.field
    def book(self, number: int) -> Book | None:
        return next((book for book in all_books() if book.number == number), None)

    @strawberry.field
    def me(self, info: strawberry.Info) -> str | None:
        """Who is asking: in a site of its own this would be a session's owner."""
        name = info.context["request"].cookies.get("reader")
        return f"{name}-of-the-api" if name in READERS else None


@strawberry.type
class Mutation:
    @strawberry.mutation
    def rename(self, number: int, title: str) -> Book:
        with closing(connect()) as database, database:
            database.execute("update book set title = ? where number = ?", (title, number))
        return Book(number=number, title=title)


def application():
    """Make the application, behind the cache where that is asked for."""
    with closing(connect()) as database, database:
        database.execute("create table if not exists book (number integer primary key, title text)")
        rows = [(number, f"Book {number:02}") for number in range(1, BOOKS + 1)]
        database.executemany("insert or ignore into book values (?, ?)", rows)
    app = GraphQL(strawberry.Schema(Query, Mutation))
    if "SITE_CACHED" not in os.environ:
        return app
    from cachemw import Cache
    from cachemw.asgi import CacheMiddleware

    return CacheMiddleware(app, cache=Cache.from_file(Path(__file__).with_suffix(".toml")))


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(application(), log_level="warning"))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
