"""What the shop shows. Every query is as a shop would write it: joins, sums, rankings."""

from __future__ import annotations

from . import origin
from .database import Database, Row, ShopError, required
from .schema import TODAY

PAGE = 24
RECENT = TODAY - 14
SORTS = {
    "name": "p.name",
    "price": "p.price",
    "-price": "p.price DESC",
    "rating": "p.rating DESC",
    "popular": "sold_recently DESC",
}
_PLAIN = "SELECT p.id, p.name, p.price, p.brand, p.rating, p.version FROM products p"
_POPULAR = (
    "SELECT p.id, p.name, p.price, p.brand, p.rating, p.version, s.units AS sold_recently"
    " FROM (SELECT i.product_id AS id, sum(i.quantity) AS units FROM orders o"
    " JOIN items i ON i.order_id = o.id WHERE o.day >= :recent GROUP BY i.product_id) s"
    " JOIN products p ON p.id = s.id"
)


Shown = Row | str
"""An object for JSON, or plain text."""


class Reads:
    """Every read of the shop."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @origin.counted
    def products(self, *, page: str, sort: str, category: str | None) -> Shown:
        """Return a page of products with the total and the facets of the selection."""
        number, order = _number(page, "page"), _order_by(sort)
        where = "p.category_id = (SELECT id FROM categories WHERE slug = :category)"
        values = {"category": category, "recent": RECENT, "skip": (number - 1) * PAGE}
        brands = self._db.rows(
            "SELECT p.brand, count(*) AS products, min(p.price) AS cheapest FROM products p"
            f" WHERE {where if category else 1} GROUP BY p.brand ORDER BY p.brand",
            **values,
        )
        sold = _POPULAR if sort == "popular" else _PLAIN
        items = self._db.rows(
            f"{sold} WHERE {where if category else 1} ORDER BY {order}, p.id"
            f" LIMIT {PAGE} OFFSET :skip",
            **values,
        )
        return {
            "page": number,
            "sort": sort,
            "category": category,
            "total": sum(brand["products"] for brand in brands),
            "brands": brands,
            "items": items,
        }

    @origin.counted
    def product(self, product: int) -> Shown:
        """Return a product with how it sells, and its place in its category."""
        body = required(
            self._db.row(
                "SELECT p.id, p.name, p.price, p.brand, p.rating, p.version, c.slug AS category,"
                " count(i.order_id) AS orders, coalesce(sum(i.quantity), 0) AS sold"
                " FROM products p JOIN categories c ON c.id = p.category_id"
                " LEFT JOIN items i ON i.product_id = p.id WHERE p.id = :product GROUP BY p.id",
                product=product,
            ),
            "product",
        )
        place = self._db.row(
            "SELECT count(*) + 1 AS place FROM (SELECT 1 FROM products p"
            " JOIN categories c ON c.id = p.category_id JOIN items i ON i.product_id = p.id"
            " WHERE c.slug = :category GROUP BY p.id HAVING sum(i.quantity) > :sold)",
            category=body["category"],
            sold=body["sold"],
        )
        return body | (place or {})

    @origin.counted
    def catalog(self) -> Shown:
        """Return every category with its size, its prices and what it sold lately."""
        categories = self._db.rows(
            "SELECT c.slug, c.name, s.* FROM (SELECT category_id, count(*) AS products,"
            " min(price) AS cheapest, round(avg(price)) AS average, max(price) AS dearest"
            " FROM products GROUP BY category_id) s"
            " JOIN categories c ON c.id = s.category_id ORDER BY c.name"
        )
        sold = self._db.rows(
            "SELECT p.category_id AS id, sum(i.quantity) AS units FROM orders o"
            " JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id"
            " WHERE o.day >= :recent GROUP BY p.category_id",
            recent=RECENT,
        )
        units = {row["id"]: row["units"] for row in sold}
        for category in categories:
            category["sold_recently"] = units.get(category.pop("category_id"), 0)
        return {"categories": categories}

    @origin.counted
    def category(self, slug: str) -> Shown:
        """Return a category with its best sellers and how its prices are spread."""
        body = required(
            self._db.row("SELECT slug, name FROM categories WHERE slug = :slug", slug=slug),
            "category",
        )
        best = self._db.rows(
            "SELECT p.id, p.name, p.price, p.version, sum(i.quantity) AS sold FROM products p"
            " JOIN categories c ON c.id = p.category_id JOIN items i ON i.product_id = p.id"
            " WHERE c.slug = :slug GROUP BY p.id ORDER BY sold DESC, p.id LIMIT 10",
            slug=slug,
        )
        bands = self._db.rows(
            "SELECT p.price / 10000 * 100 AS from_price, count(*) AS products FROM products p"
            " JOIN categories c ON c.id = p.category_id WHERE c.slug = :slug GROUP BY 1 ORDER BY 1",
            slug=slug,
        )
        return body | {"items": best, "price_bands": bands}

    @origin.counted
    def recommendations(self, product: int) -> Shown:
        """Return what customers who bought this product also bought."""
        found = self._db.row("SELECT id FROM products WHERE id = :product", product=product)
        required(found, "product")
        items = self._db.rows(
            "SELECT p.id, p.name, p.brand, count(*) AS together FROM items mine"
            " JOIN orders o ON o.id = mine.order_id"
            " JOIN orders theirs ON theirs.customer_id = o.customer_id"
            " JOIN items also ON also.order_id = theirs.id AND also.product_id <> mine.product_id"
            " JOIN products p ON p.id = also.product_id"
            " WHERE mine.product_id = :product AND mine.order_id > :since"
            " GROUP BY p.id ORDER BY together DESC, p.id LIMIT 12",
            product=product,
            since=self._order_before_season(),
        )
        return {"product": product, "items": items}

    @origin.counted
    def inventory(self, product: int) -> Shown:
        """Return a product's stock and how long it lasts at the present pace."""
        body = required(
            self._db.row(
                "SELECT n.product_id AS product, n.stock, n.version,"
                " (SELECT coalesce(sum(i.quantity), 0) FROM items i JOIN orders o"
                "  ON o.id = i.order_id WHERE i.product_id = :product AND o.day >= :recent)"
                " AS sold_recently FROM inventory n WHERE n.product_id = :product",
                product=product,
                recent=RECENT,
            ),
            "product",
        )
        sold = body["sold_recently"]
        body["lasts_days"] = round((TODAY - RECENT) * body["stock"] / sold) if sold else None
        return body

    @origin.counted
    def customer(self, customer: int) -> Shown:
        """Return a customer with what they spent and what they like."""
        body = required(
            self._db.row(
                "SELECT c.id, c.name, c.email, c.city, c.version, count(o.id) AS orders,"
                " coalesce(sum(o.total), 0) AS spent FROM customers c"
                " LEFT JOIN orders o ON o.customer_id = c.id WHERE c.id = :customer GROUP BY c.id",
                customer=customer,
            ),
            "customer",
        )
        body["favourites"] = self._db.rows(
            "SELECT g.slug, sum(i.quantity) AS units FROM orders o"
            " JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id"
            " JOIN categories g ON g.id = p.category_id WHERE o.customer_id = :customer"
            " GROUP BY g.id ORDER BY units DESC, g.slug LIMIT 3",
            customer=customer,
        )
        return body

    @origin.counted
    def orders(self, customer: str) -> Shown:
        """Return a customer's latest orders."""
        number = _number(customer, "customer")
        body = required(
            self._db.row("SELECT id, version FROM customers WHERE id = :number", number=number),
            "customer",
        )
        orders = self._db.rows(
            "SELECT o.id, o.day, o.total, count(*) AS lines, sum(i.quantity) AS units"
            " FROM orders o JOIN items i ON i.order_id = o.id WHERE o.customer_id = :number"
            " GROUP BY o.id ORDER BY o.id DESC LIMIT 50",
            number=number,
        )
        return {"customer": body, "orders": orders}

    @origin.counted
    def order(self, order: int) -> Shown:
        """Return an order with its lines."""
        body = required(
            self._db.row(
                "SELECT o.id, o.customer_id AS customer, o.day, o.total FROM orders o"
                " WHERE o.id = :order",
                order=order,
            ),
            "order",
        )
        body["lines"] = self._db.rows(
            "SELECT i.product_id AS product, p.name, i.quantity, i.price FROM items i"
            " JOIN products p ON p.id = i.product_id WHERE i.order_id = :order ORDER BY p.id",
            order=order,
        )
        return body

    @origin.counted
    def metrics(self) -> Shown:
        """Return the shop's own figures in the Prometheus text format."""
        figures = self._db.row(
            "SELECT (SELECT count(*) FROM orders) AS orders_total,"
            " (SELECT sum(total) FROM orders) AS revenue_cents_total,"
            " (SELECT count(DISTINCT customer_id) FROM orders WHERE day >= :recent)"
            "  AS active_customers,"
            " (SELECT count(*) FROM inventory WHERE stock < 600) AS products_low_in_stock",
            recent=RECENT,
        )
        return "".join(f"shop_{name} {n}\n" for name, n in (figures or {}).items())

    @origin.counted
    def logs(self) -> Shown:
        """Return the latest writes, newest first."""
        events = self._db.rows("SELECT id, kind, subject FROM events ORDER BY id DESC LIMIT 50")
        return {"events": events}

    def health(self) -> Shown:
        """Return whether the database answers; raises what the database raises."""
        self._db.row("SELECT 1")
        return {"status": "ok", "worker": origin.worker()}

    def _order_before_season(self) -> int:
        row = self._db.row(
            "SELECT min(id) - 1 AS id FROM orders WHERE day >= :day", day=TODAY - 365
        )
        return int((row and row["id"]) or 0)


def _number(text: str, name: str) -> int:
    """Read a positive whole number; raises ShopError(400)."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise ShopError(400, f"{name} must be a positive whole number")
    return int(text)


def _order_by(text: str) -> str:
    if text not in SORTS:
        raise ShopError(400, f"sort must be one of {', '.join(SORTS)}")
    return SORTS[text]
