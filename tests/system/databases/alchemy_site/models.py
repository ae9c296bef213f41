"""The library's tables as SQLAlchemy's classes. They are made by `tables.py`, not by the metadata."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, ForeignKey, Integer, MetaData, String, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = [
    "Author",
    "Base",
    "Book",
    "Folder",
    "Genre",
    "Note",
    "Novel",
    "Offer",
    "Publisher",
    "Review",
    "Shelf",
    "Weather",
    "Word",
    "book_author",
]

FOLDED = {"postgresql": "folded", "mysql": "utf8mb4_general_ci", "sqlite": "NOCASE"}
"""The collation of the words: one that knows no case."""


class Base(DeclarativeBase):
    metadata = MetaData()


book_author = Table(
    "book_author",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("book_id", ForeignKey("book.id")),
    Column("author_id", ForeignKey("author.id")),
)


class Publisher(Base):
    __tablename__ = "publisher"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    city: Mapped[str] = mapped_column(String(40))
    books: Mapped[list[Book]] = relationship(back_populates="publisher", order_by="Book.id")


class Genre(Base):
    __tablename__ = "genre"

    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    label: Mapped[str] = mapped_column(String(40))


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    books: Mapped[list[Book]] = relationship(secondary=book_author, back_populates="authors")


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    publisher_id: Mapped[int | None] = mapped_column(ForeignKey("publisher.id"))
    genre_id: Mapped[str | None] = mapped_column(ForeignKey("genre.code"))
    title: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    price: Mapped[int]
    stock: Mapped[int] = mapped_column(default=0)
    attrs: Mapped[Any] = mapped_column(JSON().with_variant(JSONB(), "postgresql"), nullable=True)
    publisher: Mapped[Publisher | None] = relationship(back_populates="books")
    authors: Mapped[list[Author]] = relationship(
        secondary=book_author, back_populates="books", order_by=Author.id
    )
    reviews: Mapped[list[Review]] = relationship(passive_deletes=True, order_by="Review.stars")

    __mapper_args__ = {"polymorphic_identity": "book"}


class Novel(Book):
    __tablename__ = "novel"

    id: Mapped[int] = mapped_column("book_ptr_id", ForeignKey("book.id"), primary_key=True)
    pages: Mapped[int]

    __mapper_args__ = {"polymorphic_identity": "novel"}


class Review(Base):
    __tablename__ = "review"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id", ondelete="CASCADE"))
    stars: Mapped[int]
    body: Mapped[str] = mapped_column(String(80), default="")


class Offer(Base):
    __tablename__ = "offer"

    shop_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    book_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int]


class Folder(Base):
    __tablename__ = "folder"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("folder.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(40))
    children: Mapped[list[Folder]] = relationship(passive_deletes="all", order_by="Folder.id")


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(80))


class Word(Base):
    __tablename__ = "word"

    word: Mapped[str] = mapped_column(String(40), primary_key=True)
    uses: Mapped[int]


class Weather(Base):
    __tablename__ = "weather"

    id: Mapped[int] = mapped_column(primary_key=True)
    degrees: Mapped[int]


class Shelf(Base):
    __tablename__ = "My Shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    height: Mapped[int] = mapped_column("Height")


def fold(vendor: str) -> None:
    """Tell the metadata the collation of the words, which each database calls by another name."""
    Word.__table__.c.word.type = String(40, collation=FOLDED[vendor])
