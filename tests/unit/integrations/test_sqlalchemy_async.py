"""The recorder in an event loop: SQLAlchemy runs there in greenlets, and purges must not block it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import selectinload

from cachemw.integrations.sqlalchemy import record
from cachemw.recording.context import current

from .books import Author, Base, Book, Purges, recorded

BOOK_1 = ["db:?", "db:book", "db:book:1", "db:book:by:*"]


@asynccontextmanager
async def database(tmp_path: Path, purges: Purges) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'books.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as db, db.begin():
        db.add(Author(id=1, name="Ada", books=[Book(id=1, title="a"), Book(id=2, title="b")]))
    recorder = record(engine, purges.cache, Base.metadata)
    try:
        yield engine
    finally:
        recorder.stop()
        await engine.dispose()


def test_a_recording_is_seen_inside_of_a_greenlet(tmp_path: Path) -> None:
    async def main() -> None:
        async with database(tmp_path, Purges()) as engine, engine.connect() as connection:
            with recorded():
                outside = current.get()
                inside = await connection.run_sync(lambda _: current.get())
            assert inside is outside is not None

    asyncio.run(main())


def test_what_an_async_session_reads_is_noted_for_its_own_task(tmp_path: Path) -> None:
    async def read(engine: AsyncEngine, author: int) -> list[str]:
        query = select(Author).options(selectinload(Author.books)).where(Author.id == author)
        with recorded() as tags:
            async with AsyncSession(engine) as db:
                await db.scalars(query)
                async for _ in await db.stream(select(Book.id).where(Book.id == author)):
                    pass
        return tags

    async def main() -> None:
        async with database(tmp_path, Purges()) as engine:
            ones, twos = await asyncio.gather(read(engine, 1), read(engine, 2))
        assert ones == ["db:author:1", "db:book:1", "db:book:by:author_id=1"]
        assert twos == ["db:author:2", "db:book:2"]  # no such author, so no books were looked for

    asyncio.run(main())


def test_a_commit_in_an_event_loop_awaits_its_purge(tmp_path: Path) -> None:
    """Fails where the purge blocks: nothing else in the loop could let it end."""
    purges = Purges()

    async def main() -> None:
        async with database(tmp_path, purges) as engine:
            may_end, began = asyncio.Event(), asyncio.Event()
            purge = purges.cache._core.purger.ainvalidate

            async def wait_and_purge(tags: tuple[str, ...]) -> None:
                began.set()
                await may_end.wait()
                await purge(tags)

            purges.cache._core.purger.ainvalidate = wait_and_purge  # type: ignore[method-assign]
            task = asyncio.create_task(rename(engine))
            await began.wait()
            assert not task.done()
            may_end.set()
            await task

    asyncio.run(main())
    assert purges.take() == [BOOK_1]


async def rename(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as db, db.begin():
        await db.execute(update(Book).where(Book.id == 1).values(title="c"))


def test_what_is_rolled_back_or_cancelled_before_its_commit_is_not_purged(tmp_path: Path) -> None:
    purges = Purges()

    async def main() -> None:
        async with database(tmp_path, purges) as engine:
            written = asyncio.Event()

            async def write_and_wait() -> None:
                async with engine.begin() as connection:
                    await connection.execute(update(Book).values(title="c"))
                    written.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(write_and_wait())
            await written.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await rename(engine)

    asyncio.run(main())
    assert purges.take() == [BOOK_1]


def test_statements_that_commit_by_themselves_are_purged_in_an_event_loop(tmp_path: Path) -> None:
    purges = Purges()

    async def main() -> None:
        async with database(tmp_path, purges) as engine:
            automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
            async with automatic.connect() as connection:
                await connection.execute(update(Book).where(Book.id == 1).values(title="c"))
                assert purges.take() == [BOOK_1]
            assert purges.awaited == 1

    asyncio.run(main())
    assert purges.take() == []


def test_one_engine_serves_several_event_loops_one_after_the_other(tmp_path: Path) -> None:
    purges = Purges()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'books.db'}", poolclass=NullPool)
    record(engine, purges.cache, Base.metadata)

    async def main() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        purges.take()
        await rename(engine)
        assert purges.take() == [BOOK_1]

    asyncio.run(main())
    asyncio.run(main())
