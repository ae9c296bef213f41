"""The shop's tables as SQLAlchemy classes. `schema.py` creates them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, ForeignKey, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Category(Base):
    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id"))
    brand: Mapped[str]
    price: Mapped[int]
    rating: Mapped[float]
    version: Mapped[int] = mapped_column(default=1)

    category: Mapped[Category] = relationship()


class Inventory(Base):
    __tablename__ = "inventory"

    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    stock: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)


class Customer(Base):
    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    city: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    day: Mapped[int]
    total: Mapped[int]

    items: Mapped[list[Item]] = relationship(order_by="Item.product_id")


class Item(Base):
    __tablename__ = "items"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    quantity: Mapped[int]
    price: Mapped[int]

    product: Mapped[Product] = relationship()


class Event(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]


def open_engine(path: Path) -> Engine:
    """Return an engine for the shop's file; its connections are opened when they are needed."""
    engine = create_engine(f"sqlite:///{path}", pool_size=16, connect_args={"timeout": 10})
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.executescript(
        "PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 268435456; PRAGMA foreign_keys = ON;"
    )
