"""A few mapped classes over SQLite, and a cache that tells what was purged from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from cachemw import Cache
from cachemw.recording.context import Recording


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

    books: Mapped[list[Book]] = relationship(back_populates="author", passive_deletes=True)


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))

    author: Mapped[Author | None] = relationship(back_populates="books")


class Review(Base):
    __tablename__ = "review"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    book_id: Mapped[int | None] = mapped_column(ForeignKey("book.id", ondelete="SET NULL"))


class Loan(Base):
    """A key of two columns, of which no row is told apart."""

    __tablename__ = "loan"

    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)


class Purges:
    """A cache in memory, and the purges that it was asked for, each the tags in order."""

    def __init__(self, **settings: object) -> None:
        self.cache = Cache.from_dict({"routes": [{"path": "/", "ttl": "60s"}], **settings})
        self.awaited = 0
        self._seen: list[list[str]] = []
        invalidate, ainvalidate = (
            self.cache._core.purger.invalidate,
            self.cache._core.purger.ainvalidate,
        )

        def note(tags: tuple[str, ...]) -> None:
            self._seen.append(sorted(tags))
            invalidate(tags)

        async def anote(tags: tuple[str, ...]) -> None:
            self._seen.append(sorted(tags))
            await ainvalidate(tags)
            self.awaited += 1

        self.cache._core.purger.invalidate = note  # type: ignore[method-assign]
        self.cache._core.purger.ainvalidate = anote  # type: ignore[method-assign]

    def take(self) -> list[list[str]]:
        """Give what was purged since the last time."""
        seen, self._seen = self._seen, []
        return seen


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Record what is read in the block; the list is filled when it ends."""
    found: list[str] = []
    recording = Recording()
    with recording:
        yield found
    found += recording.close()
