"""The writes of the shop, with SQLAlchemy. The caller begins and commits the transaction."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from .forms import Row, ShopError, basket, required, whole
from .schema import TODAY
from .tables import Customer, Event, Inventory, Item, Order, Product

STOCK = (Inventory.product_id.label("product"), Inventory.stock, Inventory.version)


def set_price(db: Session, product: int, form: object) -> Row:
    """Change a product's price: `{"price": cents}`."""
    price = whole(form, "price", least=1)
    change = update(Product).where(Product.id == product)
    change = change.values(price=price, version=Product.version + 1)
    changed = db.execute(change.returning(Product.id, Product.price, Product.version))
    body = required(changed.mappings().one_or_none(), "product")
    db.add(Event(kind="price", subject=f"product:{product}"))
    return body


def set_stock(db: Session, product: int, form: object) -> Row:
    """Change a product's stock: `{"stock": units}`."""
    stock = whole(form, "stock", least=0)
    change = update(Inventory).where(Inventory.product_id == product)
    change = change.values(stock=stock, version=Inventory.version + 1)
    body = required(db.execute(change.returning(*STOCK)).mappings().one_or_none(), "product")
    db.add(Event(kind="stock", subject=f"inventory:{product}"))
    return body


def place_order(db: Session, form: object) -> Row:
    """Place an order: `{"customer": id, "items": [{"product": id, "quantity": units}]}`."""
    customer, units = whole(form, "customer", least=1), basket(form)
    counted = update(Customer).where(Customer.id == customer)
    counted = counted.values(version=Customer.version + 1)
    changed = db.execute(counted.returning(Customer.id, Customer.version))
    buyer = required(changed.mappings().one_or_none(), "customer")
    stock = [_take(db, product, quantity) for product, quantity in units.items()]
    order = _record(db, customer, units)
    db.add(Event(kind="order", subject=f"order:{order.id}"))
    return {"id": order.id, "total": order.total, "customer": buyer, "stock": stock}


def _take(db: Session, product: int, quantity: int) -> Row:
    """Take units from stock; raises ShopError: 404 for an unknown product, 409 for too few units."""
    change = update(Inventory).where(Inventory.product_id == product, Inventory.stock >= quantity)
    change = change.values(stock=Inventory.stock - quantity, version=Inventory.version + 1)
    left = db.execute(change.returning(*STOCK)).mappings().one_or_none()
    if left is None:
        known = db.execute(select(Product.id).where(Product.id == product))
        required(known.mappings().one_or_none(), "product")
        raise ShopError(409, f"not enough of product {product} in stock")
    return dict(left)


def _record(db: Session, customer: int, units: dict[int, int]) -> Order:
    query = select(Product.id, Product.price).where(Product.id.in_(units))
    prices = {row.id: row.price for row in db.execute(query)}
    items = [Item(product_id=id_, quantity=n, price=prices[id_]) for id_, n in units.items()]
    total = sum(item.price * item.quantity for item in items)
    order = Order(customer_id=customer, day=TODAY, total=total, items=items)
    db.add(order)
    db.flush()
    return order
