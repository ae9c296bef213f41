"""What changes the shop. Each write returns what to answer, and what it made out of date.

The caller purges that after the transaction is committed and before it answers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from .database import Database, Row, ShopError, required
from .schema import TODAY


class Written(NamedTuple):
    """What to answer, and the tags and URLs of what is out of date now."""

    body: Row
    tags: tuple[str, ...]
    urls: tuple[str, ...] = ()


class Writes:
    """Every write of the shop: one short transaction each."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def set_price(self, product: int, form: object) -> Written:
        """Change a product's price: `{"price": cents}`."""
        price = _whole(_fields(form), "price", least=1)
        with self._db.transaction() as connection:
            body = required(
                connection.execute(
                    "UPDATE products SET price = ?, version = version + 1 WHERE id = ?"
                    " RETURNING id, price, version",
                    (price, product),
                ).fetchone(),
                "product",
            )
            category = connection.execute(
                "SELECT c.slug FROM products p JOIN categories c ON c.id = p.category_id"
                " WHERE p.id = ?",
                (product,),
            ).fetchone()["slug"]
            _note(connection, "price", f"product:{product}")
        return Written(body, (f"product:{product}", f"category:{category}"))

    def set_stock(self, product: int, form: object) -> Written:
        """Change a product's stock: `{"stock": units}`."""
        stock = _whole(_fields(form), "stock", least=0)
        with self._db.transaction() as connection:
            body = required(
                connection.execute(
                    "UPDATE inventory SET stock = ?, version = version + 1 WHERE product_id = ?"
                    " RETURNING product_id AS product, stock, version",
                    (stock, product),
                ).fetchone(),
                "product",
            )
            _note(connection, "stock", f"inventory:{product}")
        return Written(body, (f"inventory:{product}",))

    def place_order(self, form: object) -> Written:
        """Order `{"customer": id, "items": [{"product": id, "quantity": units}]}` from stock."""
        fields = _fields(form)
        customer, basket = _whole(fields, "customer", least=1), _basket(fields)
        with self._db.transaction() as connection:
            buyer = required(
                connection.execute(
                    "UPDATE customers SET version = version + 1 WHERE id = ? RETURNING id, version",
                    (customer,),
                ).fetchone(),
                "customer",
            )
            stock = [_take(connection, *line) for line in basket.items()]
            order = _record(connection, customer, basket)
            _note(connection, "order", f"order:{order['id']}")
        body = order | {"customer": buyer, "stock": stock}
        tags = (f"customer:{customer}", *(f"inventory:{product}" for product in basket))
        return Written(body, tags, (f"/orders?customer={customer}",))


def _take(connection: sqlite3.Connection, product: int, quantity: int) -> Row:
    """Take units from stock; raises ShopError: 404 for no such product, 409 for too few."""
    row = connection.execute(
        "UPDATE inventory SET stock = stock - :n, version = version + 1"
        " WHERE product_id = :product AND stock >= :n"
        " RETURNING product_id AS product, stock, version",
        {"product": product, "n": quantity},
    ).fetchone()
    if row is None:
        known = connection.execute("SELECT 1 FROM products WHERE id = ?", (product,)).fetchone()
        required(known, "product")
        raise ShopError(409, f"not enough of product {product} in stock")
    return dict(row)


def _record(connection: sqlite3.Connection, customer: int, basket: Mapping[int, int]) -> Row:
    prices = {
        product: connection.execute(
            "SELECT price FROM products WHERE id = ?", (product,)
        ).fetchone()["price"]
        for product in basket
    }
    total = sum(prices[product] * quantity for product, quantity in basket.items())
    order: Row = connection.execute(
        "INSERT INTO orders (customer_id, day, total) VALUES (?, ?, ?) RETURNING id, total",
        (customer, TODAY, total),
    ).fetchone()
    connection.executemany(
        "INSERT INTO items VALUES (?, ?, ?, ?)",
        [(order["id"], product, n, prices[product]) for product, n in basket.items()],
    )
    return order


def _note(connection: sqlite3.Connection, kind: str, subject: str) -> None:
    connection.execute("INSERT INTO events (kind, subject) VALUES (?, ?)", (kind, subject))


def _fields(form: object) -> Mapping[str, Any]:
    if not isinstance(form, dict):
        raise ShopError(400, "the body must be a JSON object")
    return form


def _whole(fields: Mapping[str, Any], name: str, *, least: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not least <= value < 10**9:
        raise ShopError(400, f"{name} must be a whole number of at least {least}")
    return value


def _basket(fields: Mapping[str, Any]) -> dict[int, int]:
    lines = fields.get("items")
    if not isinstance(lines, list) or not 1 <= len(lines) <= 100:
        raise ShopError(400, "items must be a list of 1 to 100 lines")
    basket: dict[int, int] = {}
    for line in map(_fields, lines):
        product = _whole(line, "product", least=1)
        basket[product] = basket.get(product, 0) + _whole(line, "quantity", least=1)
    return basket
