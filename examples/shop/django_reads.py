"""The reads of the shop, with Django's ORM.

Figures and rankings are sums over thousands of rows. They may be as old as the lifetime of a page
allows, so they are not recorded. They decide which rows a page shows. These rows are then read by
their keys and recorded, so what a page says about a product, a customer or an order is never out of
date.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import Avg, Count, F, Max, Min, QuerySet, Sum
from django.db.models.functions import Round

from cachemw import unrecorded

from . import origin
from .forms import PAGE, RECENT, SEASON, Row, Shown, check_sort, number, required
from .models import Category, Customer, Event, Inventory, Item, Order, Product
from .schema import TODAY


@origin.counted
def products(page: str, sort: str, category: str | None) -> Shown:
    """Return a page of products with the total and the facets of the selection."""
    chosen = number(page, "page")
    check_sort(sort)
    brands = _brands(category)
    listed = _listed(sort, category, skip=(chosen - 1) * PAGE)
    return {
        "page": chosen,
        "sort": sort,
        "category": category,
        "total": sum(brand["products"] for brand in brands),
        "brands": brands,
        "items": _products(listed, "name", "price", "brand", "rating", "version"),
    }


@origin.counted
def product(product: int) -> Shown:
    """Return a product with its sales and its rank in its category."""
    columns = ("id", "name", "price", "brand", "rating", "version", "category_id")
    body = required(Product.objects.filter(id=product).values(*columns).first(), "product")
    category = Category.objects.get(id=body.pop("category_id"))
    sales = Item.objects.filter(product=product).aggregate(
        orders=Count("*"), sold=Sum("quantity", default=0)
    )
    place = {"place": _place(category, sales["sold"])}
    return body | {"category": category.slug} | sales | place


@origin.counted
def catalog() -> Shown:
    """Return every category with its size, its prices and its recent sales."""
    sold = _sold_by_category()
    categories = Category.objects.order_by("name").values("id", "slug", "name")
    figures = _figures_by_category()
    return {
        "categories": [
            row | figures[id_] | {"sold_recently": sold.get(id_, 0)}
            for row in categories
            if (id_ := row.pop("id")) in figures
        ]
    }


@origin.counted
def category(slug: str) -> Shown:
    """Return a category with its best sellers and its price ranges."""
    found = Category.objects.filter(slug=slug).values("id", "slug", "name").first()
    body = required(found, "category")
    category = body.pop("id")
    items = _products(_best_sellers(category), "name", "price", "version")
    return body | {"items": items, "price_bands": _price_bands(category)}


@origin.counted
def recommendations(product: int) -> Shown:
    """Return what customers who bought this product also bought."""
    required(Product.objects.filter(id=product).values("id").first(), "product")
    return {"product": product, "items": _bought_together(product)}


@origin.counted
def inventory(product: int) -> Shown:
    """Return a product's stock and how long it lasts at the current sales."""
    rows = Inventory.objects.filter(product=product)
    body = required(rows.values("product", "stock", "version").first(), "product")
    sold = _sold_recently(product)
    lasts = round((TODAY - RECENT) * body["stock"] / sold) if sold else None
    return body | {"sold_recently": sold, "lasts_days": lasts}


@origin.counted
def customer(customer: int) -> Shown:
    """Return a customer with what they spent and what they like."""
    body = required(Customer.objects.filter(id=customer).values().first(), "customer")
    body |= Order.objects.filter(customer=customer).aggregate(
        orders=Count("*"), spent=Sum("total", default=0)
    )
    return body | {"favourites": _favourites(customer)}


@origin.counted
def orders(customer: str) -> Shown:
    """Return a customer's latest orders."""
    found = Customer.objects.filter(id=number(customer, "customer"))
    body = required(found.values("id", "version").first(), "customer")
    latest = Order.objects.filter(customer=body["id"]).order_by("-id")[:50]
    shown = [
        {
            "id": order.id,
            "day": order.day,
            "total": order.total,
            "lines": len(order.items.all()),
            "units": sum(item.quantity for item in order.items.all()),
        }
        for order in latest.prefetch_related("items")
    ]
    return {"customer": body, "orders": shown}


@origin.counted
def order(order: int) -> Shown:
    """Return an order with its lines."""
    found = Order.objects.filter(id=order).values("id", "customer", "day", "total")
    body = required(found.first(), "order")
    items = Item.objects.filter(order=order).order_by("product_id").prefetch_related("product")
    lines = [
        {
            "product": item.product_id,
            "name": item.product.name,
            "quantity": item.quantity,
            "price": item.price,
        }
        for item in items
    ]
    return body | {"lines": lines}


@origin.counted
@unrecorded()
def metrics() -> Shown:
    """Return the shop's own figures in the Prometheus text format."""
    figures = {
        **Order.objects.aggregate(orders_total=Count("*"), revenue_cents_total=Sum("total")),
        **Order.objects.filter(day__gte=RECENT).aggregate(
            active_customers=Count("customer", distinct=True)
        ),
        "products_low_in_stock": Inventory.objects.filter(stock__lt=600).count(),
    }
    return "".join(f"shop_{name} {n}\n" for name, n in figures.items())


@origin.counted
def logs() -> Shown:
    """Return the latest writes, newest first."""
    return {"events": list(Event.objects.order_by("-id").values("id", "kind", "subject")[:50])}


def health() -> Shown:
    """Return that the database answers; an error of the database is raised."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"status": "ok", "worker": origin.worker()}


def _products(listed: Iterable[Row], *columns: str) -> list[Row]:
    """Return rows that have an `id`, in their order, with columns of the products they name."""
    listed = list(listed)
    rows = Product.objects.filter(id__in=[row["id"] for row in listed]).values("id", *columns)
    by_id = {row["id"]: row for row in rows}
    return [by_id[row["id"]] | row for row in listed]


# -- figures and rankings --------------------------------------------------------------------------


@unrecorded()
def _brands(category: str | None) -> list[Row]:
    brands = _within(category).values("brand").order_by("brand")
    return list(brands.annotate(products=Count("*"), cheapest=Min("price")))


def _within(category: str | None) -> QuerySet[Product]:
    return Product.objects.filter(category__slug=category) if category else Product.objects.all()


@unrecorded()
def _listed(sort: str, category: str | None, *, skip: int) -> list[Row]:
    """Return the ids of the products on a page of a list."""
    if sort != "popular":
        order = "-rating" if sort == "rating" else sort
        return list(_within(category).order_by(order, "id").values("id")[skip : skip + PAGE])
    sold = Item.objects.filter(order__day__gte=RECENT)
    if category:
        sold = sold.filter(product__category__slug=category)
    ranked = sold.values(id=F("product_id")).annotate(sold_recently=Sum("quantity"))
    return list(ranked.order_by("-sold_recently", "id")[skip : skip + PAGE])


@unrecorded()
def _place(category: Category, sold: int) -> int:
    better = Item.objects.filter(product__category=category).values("product")
    return better.annotate(sold=Sum("quantity")).filter(sold__gt=sold).count() + 1


@unrecorded()
def _figures_by_category() -> dict[int, Row]:
    figures = Product.objects.values("category_id").annotate(
        products=Count("*"),
        cheapest=Min("price"),
        average=Round(Avg("price")),
        dearest=Max("price"),
    )
    return {row.pop("category_id"): row for row in figures}


@unrecorded()
def _sold_by_category() -> dict[int, int]:
    recent = Item.objects.filter(order__day__gte=RECENT)
    units = recent.values("product__category").annotate(units=Sum("quantity"))
    return dict(units.values_list("product__category", "units"))


@unrecorded()
def _best_sellers(category: int) -> list[Row]:
    sold = Item.objects.filter(product__category=category).values(id=F("product_id"))
    return list(sold.annotate(sold=Sum("quantity")).order_by("-sold", "id")[:10])


@unrecorded()
def _price_bands(category: int) -> list[Row]:
    bands = Product.objects.filter(category=category).values(from_price=F("price") / 10000 * 100)
    return list(bands.annotate(products=Count("*")).order_by("from_price"))


@unrecorded()
def _bought_together(product: int) -> list[Row]:
    first = Order.objects.filter(day__gte=SEASON).aggregate(id=Min("id"))["id"] or 1
    also = "order__customer__orders__items__product"
    bought = Item.objects.filter(product=product, order_id__gte=first)
    shown = bought.values(id=F(also), name=F(f"{also}__name"), brand=F(f"{also}__brand"))
    ranked = shown.exclude(id=product).annotate(together=Count("*"))
    return list(ranked.order_by("-together", "id")[:12])


@unrecorded()
def _sold_recently(product: int) -> int:
    recent = Item.objects.filter(product=product, order__day__gte=RECENT)
    units: int = recent.aggregate(units=Sum("quantity", default=0))["units"]
    return units


@unrecorded()
def _favourites(customer: int) -> list[Row]:
    slug = F("product__category__slug")
    units = Item.objects.filter(order__customer=customer).values(slug=slug)
    return list(units.annotate(units=Sum("quantity")).order_by("-units", "slug")[:3])
