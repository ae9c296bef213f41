from __future__ import annotations

import uuid
from typing import Any

from django.db import models


class Shop(models.Model):
    name = models.CharField(max_length=50)


class Tag(models.Model):
    word = models.SlugField(primary_key=True)


class Product(models.Model):
    name = models.CharField(max_length=50)
    price = models.IntegerField(default=1)
    shop = models.ForeignKey(Shop, on_delete=models.CASCADE, related_name="products")
    tags = models.ManyToManyField(Tag)


class Cheap(Product):
    class Meta:
        proxy = True


class Listed(models.Model):
    """The products once more, as another system sees them."""

    name = models.CharField(max_length=50)
    shop = models.ForeignKey(Shop, on_delete=models.CASCADE, related_name="+")

    class Meta:
        managed = False
        db_table = "shop_product"


class Stranger(models.Model):
    """Strange once more, by another key."""

    number = models.IntegerField(primary_key=True)

    class Meta:
        managed = False
        db_table = "shop_strange"


class Review(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    stars = models.IntegerField()


class Log(models.Model):
    product = models.ForeignKey(Product, on_delete=models.DO_NOTHING, db_constraint=False)


class Place(models.Model):
    city = models.CharField(max_length=50)


class Cafe(Place):
    seats = models.IntegerField()


class Odd(models.CharField):
    """A text that the project gives a column type of its own."""

    def db_type(self, connection: Any) -> str:
        return "text"


class Strange(models.Model):
    code = Odd(primary_key=True, max_length=50)
