"""The writes of the shop, with Django's ORM; each is one short transaction."""

from __future__ import annotations

from django.db.models import F
from django.db.transaction import atomic

from .forms import Row, ShopError, basket, required, whole
from .models import Customer, Event, Inventory, Item, Order, Product
from .schema import TODAY


@atomic
def set_price(product: int, form: object) -> Row:
    """Change a product's price: `{"price": cents}`."""
    price = whole(form, "price", least=1)
    rows = Product.objects.filter(id=product)
    rows.update(price=price, version=F("version") + 1)
    body = required(rows.values("id", "price", "version").first(), "product")
    Event.objects.create(kind="price", subject=f"product:{product}")
    return body


@atomic
def set_stock(product: int, form: object) -> Row:
    """Change a product's stock: `{"stock": units}`."""
    stock = whole(form, "stock", least=0)
    Inventory.objects.filter(product=product).update(stock=stock, version=F("version") + 1)
    body = _stock(product)
    Event.objects.create(kind="stock", subject=f"inventory:{product}")
    return body


@atomic
def place_order(form: object) -> Row:
    """Place an order: `{"customer": id, "items": [{"product": id, "quantity": units}]}`."""
    customer, units = whole(form, "customer", least=1), basket(form)
    buyer = Customer.objects.filter(id=customer)
    buyer.update(version=F("version") + 1)
    bought_by = required(buyer.values("id", "version").first(), "customer")
    stock = [_take(product, quantity) for product, quantity in units.items()]
    order = _record(customer, units)
    Event.objects.create(kind="order", subject=f"order:{order.id}")
    return {"id": order.id, "total": order.total, "customer": bought_by, "stock": stock}


def _take(product: int, quantity: int) -> Row:
    """Take units from stock; raises ShopError: 404 for an unknown product, 409 for too few units."""
    enough = Inventory.objects.filter(product=product, stock__gte=quantity)
    taken = enough.update(stock=F("stock") - quantity, version=F("version") + 1)
    left = _stock(product)
    if not taken:
        raise ShopError(409, f"not enough of product {product} in stock")
    return left


def _stock(product: int) -> Row:
    rows = Inventory.objects.filter(product=product)
    return required(rows.values("product", "stock", "version").first(), "product")


def _record(customer: int, units: dict[int, int]) -> Order:
    products = Product.objects.in_bulk(units)
    total = sum(products[product].price * quantity for product, quantity in units.items())
    order = Order.objects.create(customer_id=customer, day=TODAY, total=total)
    Item.objects.bulk_create(
        Item(order=order, product=products[product], quantity=n, price=products[product].price)
        for product, n in units.items()
    )
    return order
