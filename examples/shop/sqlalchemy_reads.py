"""The reads of the shop, with SQLAlchemy.

Figures and rankings are sums over thousands of rows. They may be as old as the lifetime of a page
allows, so they are not recorded. They decide which rows a page shows. These rows are then read by
their keys and recorded, so what a page says about a product, a customer or an order is never out of
date.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased, selectinload

from cachemw import unrecorded

from . import origin
from .forms import PAGE, RECENT, SEASON, Row, Shown, check_sort, number, required
from .schema import TODAY
from .tables import Category, Customer, Event, Inventory, Item, Order, Product

Query = Select[Any]

UNITS = func.sum(Item.quantity)
ORDERS = {
    "name": Product.name,
    "price": Product.price,
    "-price": Product.price.desc(),
    "rating": Product.rating.desc(),
}


@origin.counted
def products(db: Session, page: str, sort: str, category: str | None) -> Shown:
    """Return a page of products with the total and the facets of the selection."""
    chosen = number(page, "page")
    check_sort(sort)
    brands = _brands(db, category)
    listed = _listed(db, sort, category, skip=(chosen - 1) * PAGE)
    columns = (Product.name, Product.price, Product.brand, Product.rating, Product.version)
    return {
        "page": chosen,
        "sort": sort,
        "category": category,
        "total": sum(brand["products"] for brand in brands),
        "brands": brands,
        "items": _products(db, listed, *columns),
    }


@origin.counted
def product(db: Session, product: int) -> Shown:
    """Return a product with its sales and its rank in its category."""
    columns = (Product.id, Product.name, Product.price, Product.brand, Product.rating)
    query = select(*columns, Product.version, Product.category_id).where(Product.id == product)
    body = required(_row(db, query), "product")
    category = body.pop("category_id")
    slug = db.scalars(select(Category.slug).where(Category.id == category)).one()
    orders, sold = db.execute(
        select(func.count(), func.coalesce(UNITS, 0)).where(Item.product_id == product)
    ).one()
    place = _place(db, category, sold)
    return body | {"category": slug, "orders": orders, "sold": sold, "place": place}


@origin.counted
def catalog(db: Session) -> Shown:
    """Return every category with its size, its prices and its recent sales."""
    figures, sold = _figures_by_category(db), _sold_by_category(db)
    query = select(Category.id, Category.slug, Category.name).order_by(Category.name)
    return {
        "categories": [
            row | figures[id_] | {"sold_recently": sold.get(id_, 0)}
            for row in _rows(db, query)
            if (id_ := row.pop("id")) in figures
        ]
    }


@origin.counted
def category(db: Session, slug: str) -> Shown:
    """Return a category with its best sellers and its price ranges."""
    query = select(Category.id, Category.slug, Category.name).where(Category.slug == slug)
    body = required(_row(db, query), "category")
    category = body.pop("id")
    best = _best_sellers(db, category)
    items = _products(db, best, Product.name, Product.price, Product.version)
    return body | {"items": items, "price_bands": _price_bands(db, category)}


@origin.counted
def recommendations(db: Session, product: int) -> Shown:
    """Return what customers who bought this product also bought."""
    required(_row(db, select(Product.id).where(Product.id == product)), "product")
    return {"product": product, "items": _bought_together(db, product)}


@origin.counted
def inventory(db: Session, product: int) -> Shown:
    """Return a product's stock and how long it lasts at the current sales."""
    columns = (Inventory.product_id.label("product"), Inventory.stock, Inventory.version)
    query = select(*columns).where(Inventory.product_id == product)
    body = required(_row(db, query), "product")
    sold = _sold_recently(db, product)
    lasts = round((TODAY - RECENT) * body["stock"] / sold) if sold else None
    return body | {"sold_recently": sold, "lasts_days": lasts}


@origin.counted
def customer(db: Session, customer: int) -> Shown:
    """Return a customer with what they spent and what they like."""
    columns = (Customer.id, Customer.name, Customer.email, Customer.city, Customer.version)
    body = required(_row(db, select(*columns).where(Customer.id == customer)), "customer")
    spent = func.coalesce(func.sum(Order.total), 0).label("spent")
    sums = select(func.count().label("orders"), spent).where(Order.customer_id == customer)
    return body | _rows(db, sums)[0] | {"favourites": _favourites(db, customer)}


@origin.counted
def orders(db: Session, customer: str) -> Shown:
    """Return a customer's latest orders."""
    chosen = number(customer, "customer")
    query = select(Customer.id, Customer.version).where(Customer.id == chosen)
    body = required(_row(db, query), "customer")
    latest = select(Order).where(Order.customer_id == chosen).order_by(Order.id.desc()).limit(50)
    shown = [
        {
            "id": order.id,
            "day": order.day,
            "total": order.total,
            "lines": len(order.items),
            "units": sum(item.quantity for item in order.items),
        }
        for order in db.scalars(latest.options(selectinload(Order.items)))
    ]
    return {"customer": body, "orders": shown}


@origin.counted
def order(db: Session, order: int) -> Shown:
    """Return an order with its lines."""
    columns = (Order.id, Order.customer_id.label("customer"), Order.day, Order.total)
    body = required(_row(db, select(*columns).where(Order.id == order)), "order")
    items = select(Item).where(Item.order_id == order).order_by(Item.product_id)
    lines = [
        {
            "product": item.product_id,
            "name": item.product.name,
            "quantity": item.quantity,
            "price": item.price,
        }
        for item in db.scalars(items.options(selectinload(Item.product)))
    ]
    return body | {"lines": lines}


@origin.counted
@unrecorded()
def metrics(db: Session) -> Shown:
    """Return the shop's own figures in the Prometheus text format."""
    active = select(func.count(Order.customer_id.distinct())).where(Order.day >= RECENT)
    low = select(func.count()).where(Inventory.stock < 600)
    count, revenue = db.execute(select(func.count(), func.sum(Order.total))).one()
    figures = {
        "orders_total": count,
        "revenue_cents_total": revenue,
        "active_customers": db.scalar(active),
        "products_low_in_stock": db.scalar(low),
    }
    return "".join(f"shop_{name} {n}\n" for name, n in figures.items())


@origin.counted
def logs(db: Session) -> Shown:
    """Return the latest writes, newest first."""
    latest = select(Event.id, Event.kind, Event.subject).order_by(Event.id.desc()).limit(50)
    return {"events": _rows(db, latest)}


def health(db: Session) -> Shown:
    """Return that the database answers; an error of the database is raised."""
    db.execute(select(1))
    return {"status": "ok", "worker": origin.worker()}


def _rows(db: Session, query: Query) -> list[Row]:
    return [dict(row) for row in db.execute(query).mappings()]


def _row(db: Session, query: Query) -> Row | None:
    return next(iter(_rows(db, query)), None)


def _products(db: Session, listed: list[Row], *columns: Any) -> list[Row]:
    """Return rows that have an `id`, in their order, with columns of the products they name."""
    ids = [row["id"] for row in listed]
    rows = _rows(db, select(Product.id, *columns).where(Product.id.in_(ids)))
    by_id = {row["id"]: row for row in rows}
    return [by_id[row["id"]] | row for row in listed]


# -- figures and rankings --------------------------------------------------------------------------


@unrecorded()
def _brands(db: Session, category: str | None) -> list[Row]:
    figures = (func.count().label("products"), func.min(Product.price).label("cheapest"))
    brands = select(Product.brand, *figures).group_by(Product.brand).order_by(Product.brand)
    return _rows(db, _within(brands, category))


def _within(query: Query, category: str | None) -> Query:
    if category is None:
        return query
    return query.join(Category, Category.id == Product.category_id).where(Category.slug == category)


@unrecorded()
def _listed(db: Session, sort: str, category: str | None, *, skip: int) -> list[Row]:
    """Return the ids of the products on a page of a list."""
    if sort == "popular":
        query = select(Product.id, UNITS.label("sold_recently"))
        query = query.join_from(Product, Item).join_from(Item, Order)
        query = query.where(Order.day >= RECENT).group_by(Product.id).order_by(UNITS.desc())
    else:
        query = select(Product.id).order_by(ORDERS[sort])
    ranked = _within(query, category).order_by(Product.id)
    return _rows(db, ranked.limit(PAGE).offset(skip))


@unrecorded()
def _place(db: Session, category: int, sold: int) -> int:
    sales = select(Product.id).join_from(Product, Item).where(Product.category_id == category)
    better = sales.group_by(Product.id).having(sold < UNITS)
    return db.scalars(select(func.count() + 1).select_from(better.subquery())).one()


@unrecorded()
def _figures_by_category(db: Session) -> dict[int, Row]:
    figures = select(
        Product.category_id,
        func.count().label("products"),
        func.min(Product.price).label("cheapest"),
        func.round(func.avg(Product.price)).label("average"),
        func.max(Product.price).label("dearest"),
    )
    return {row.pop("category_id"): row for row in _rows(db, figures.group_by(Product.category_id))}


@unrecorded()
def _sold_by_category(db: Session) -> dict[int, int]:
    sales = select(Product.category_id, UNITS).join_from(Product, Item).join_from(Item, Order)
    recent = sales.where(Order.day >= RECENT).group_by(Product.category_id)
    return {row.category_id: row[1] for row in db.execute(recent)}


@unrecorded()
def _best_sellers(db: Session, category: int) -> list[Row]:
    query = select(Product.id, UNITS.label("sold")).join_from(Product, Item)
    query = query.where(Product.category_id == category).group_by(Product.id)
    return _rows(db, query.order_by(UNITS.desc(), Product.id).limit(10))


@unrecorded()
def _price_bands(db: Session, category: int) -> list[Row]:
    band = (Product.price // 10000 * 100).label("from_price")
    query = select(band, func.count().label("products")).where(Product.category_id == category)
    return _rows(db, query.group_by(band).order_by(band))


@unrecorded()
def _bought_together(db: Session, product: int) -> list[Row]:
    """Return the products that customers of this product ordered most, in any of their orders."""
    theirs, also = aliased(Order), aliased(Item)
    first = db.scalar(select(func.min(Order.id)).where(Order.day >= SEASON)) or 1
    together = func.count().label("together")
    query = (
        select(Product.id, Product.name, Product.brand, together)
        .join_from(Item, Order)
        .join(theirs, theirs.customer_id == Order.customer_id)
        .join(also, also.order_id == theirs.id)
        .join(Product, Product.id == also.product_id)
        .where(Item.product_id == product, Item.order_id >= first, also.product_id != product)
        .group_by(Product.id)
        .order_by(together.desc(), Product.id)
    )
    return _rows(db, query.limit(12))


@unrecorded()
def _sold_recently(db: Session, product: int) -> int:
    query = select(func.coalesce(UNITS, 0)).join_from(Item, Order)
    return db.scalars(query.where(Item.product_id == product, Order.day >= RECENT)).one()


@unrecorded()
def _favourites(db: Session, customer: int) -> list[Row]:
    query = select(Category.slug, UNITS.label("units")).join_from(Category, Product)
    query = query.join_from(Product, Item).join_from(Item, Order).group_by(Category.slug)
    query = query.where(Order.customer_id == customer)
    return _rows(db, query.order_by(UNITS.desc(), Category.slug).limit(3))
