"""The recorder in a FastAPI application behind the cache, with an engine in threads and one in its loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from cachemw import Cache
from cachemw.integrations.sqlalchemy import record
from cachemw.starlette import CacheMiddleware

from .books import Author, Base, Book

CONFIG = {
    "routes": [
        {"path": "/books/{id:int}", "ttl": "60s", "cookies": []},
        {"path": "/authors/{id:int}", "ttl": "60s", "cookies": []},
        {"path": "/authors/{id:int}/books", "ttl": "60s", "cookies": []},
    ]
}


def application(engine: Engine, async_engine: AsyncEngine) -> FastAPI:
    app = FastAPI()

    @app.get("/books/{number}")
    def book(number: int) -> str:
        with Session(engine) as db:
            return db.get_one(Book, number).title

    @app.get("/authors/{number}")
    def author(number: int) -> str:
        with Session(engine) as db:
            return db.get_one(Author, number).name

    @app.get("/authors/{number}/books")
    async def books(number: int) -> list[str]:
        async with AsyncSession(async_engine) as db:
            titles = await db.scalars(select(Book.title).where(Book.author_id == number))
            return list(titles)

    @app.put("/books/{number}")
    def rename(number: int, title: str) -> None:
        change(engine, number, title)

    @app.post("/authors/{number}/books")
    async def write(number: int, title: str) -> None:
        async with AsyncSession(async_engine) as db, db.begin():
            db.add(Book(title=title, author_id=number))

    @app.post("/later/{number}")
    def rename_later(number: int, title: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(change, engine, number, title)

    return app


def change(engine: Engine, number: int, title: str) -> None:
    with Session(engine) as db, db.begin():
        db.get_one(Book, number).title = title


class Client:
    """Asks the application, and says what came and whether it came from the cache."""

    def __init__(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def get(self, path: str) -> tuple[object, bool]:
        answer = await self._client.get(path)
        return answer.json(), "; hit" in answer.headers["cache-status"]

    async def send(self, method: str, path: str) -> None:
        assert (await self._client.request(method, path)).is_success


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Client]:
    path = tmp_path / "books.db"
    engine = create_engine(f"sqlite:///{path}")
    async_engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    Base.metadata.create_all(engine)
    with Session(engine) as db, db.begin():
        db.add(Author(id=1, name="Ada", books=[Book(id=1, title="a"), Book(id=2, title="b")]))
        db.add(Author(id=2, name="Ben"))
    cache = Cache.from_dict(CONFIG)
    recorders = [record(each, cache, Base.metadata) for each in (engine, async_engine)]
    app = application(engine, async_engine)
    app.add_middleware(CacheMiddleware, cache=cache)
    client = Client(app)
    for path_ in ("/books/1", "/books/2", "/authors/1", "/authors/1/books", "/authors/2/books"):
        await client.get(path_)
    try:
        yield client
    finally:
        for recorder in recorders:
            recorder.stop()
        await async_engine.dispose()
        engine.dispose()
        await cache.aclose()


def test_a_write_is_shown_by_the_next_read_and_takes_nothing_else_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as client:
            await client.send("PUT", "/books/1?title=new")
            assert await client.get("/books/1") == ("new", False)
            assert await client.get("/authors/1/books") == (["new", "b"], False)
            assert await client.get("/books/2") == ("b", True)
            assert await client.get("/authors/1") == ("Ada", True)

    asyncio.run(main())


def test_a_write_in_the_event_loop_purges_what_was_read_in_threads_and_in_it(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with running(tmp_path) as client:
            await client.send("POST", "/authors/2/books?title=c")
            assert await client.get("/authors/2/books") == (["c"], False)
            assert await client.get("/authors/1/books") == (["a", "b"], True)
            assert await client.get("/books/1") == ("a", True)

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/later/1?title=new"])
def test_a_write_of_a_background_task_is_purged_too(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as client:
            await client.send("POST", path)
            assert await client.get("/books/1") == ("new", False)
            assert await client.get("/books/2") == ("b", True)

    asyncio.run(main())
