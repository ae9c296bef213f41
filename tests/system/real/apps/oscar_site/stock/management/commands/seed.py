"""Fill the shop: categories, products with prices, customers, and somebody who runs it."""

from decimal import Decimal

from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.core.management.base import BaseCommand
from django.db import transaction
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.core.loading import get_model

CATEGORIES = ("Books > Fiction", "Books > Essays", "Garden > Tools")
PRODUCTS = 24
CUSTOMERS = ("alice", "bob", "carol")


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, **options):
        Site.objects.update(domain="real.test", name="The shop")
        get_model("address", "Country").objects.create(
            iso_3166_1_a2="GB",
            iso_3166_1_a3="GBR",
            iso_3166_1_numeric="826",
            printable_name="United Kingdom",
            name="United Kingdom",
            is_shipping_country=True,
        )
        partner = get_model("partner", "Partner").objects.create(name="The store")
        kind = get_model("catalogue", "ProductClass").objects.create(
            name="Thing", track_stock=True, requires_shipping=True
        )
        categories = [create_from_breadcrumbs(path) for path in CATEGORIES]
        for number in range(1, PRODUCTS + 1):
            add_product(number, kind, partner, categories[number % len(categories)])
        for name in CUSTOMERS:
            get_user_model().objects.create_user(
                f"{name}-of-the-shop",
                f"{name}@customer.test",
                f"password-of-{name}",
                first_name=f"{name.title()}-first-name",
            )
        get_user_model().objects.create_superuser(
            "keeper", "keeper@shop.test", "password-of-keeper"
        )


def add_product(number, kind, partner, category):
    product = get_model("catalogue", "Product").objects.create(
        structure="standalone",
        title=f"Thing {number:02}",
        upc=f"upc{number:04}",
        product_class=kind,
        description=f"<p>A thing of the number {number}.</p>",
    )
    product.categories.add(category)
    get_model("partner", "StockRecord").objects.create(
        product=product,
        partner=partner,
        partner_sku=f"sku{number:04}",
        price_currency="GBP",
        price=Decimal(number) + Decimal("10.11"),
        num_in_stock=1 if number == 5 else 1000,
    )
