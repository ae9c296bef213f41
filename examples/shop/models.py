"""The shop's tables as Django models. `schema.py` creates them, so Django does not."""

from __future__ import annotations

from django.db import models


class Category(models.Model):
    slug = models.TextField(unique=True)
    name = models.TextField()

    class Meta:
        managed = False
        db_table = "categories"


class Product(models.Model):
    name = models.TextField()
    category = models.ForeignKey(Category, models.DO_NOTHING, related_name="products")
    brand = models.TextField()
    price = models.IntegerField()
    rating = models.FloatField()
    version = models.IntegerField(default=1)

    class Meta:
        managed = False
        db_table = "products"


class Inventory(models.Model):
    product = models.OneToOneField(Product, models.DO_NOTHING, primary_key=True)
    stock = models.IntegerField()
    version = models.IntegerField(default=1)

    class Meta:
        managed = False
        db_table = "inventory"


class Customer(models.Model):
    name = models.TextField()
    email = models.TextField()
    city = models.TextField()
    version = models.IntegerField(default=1)

    class Meta:
        managed = False
        db_table = "customers"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING, related_name="orders")
    day = models.IntegerField()
    total = models.IntegerField()

    class Meta:
        managed = False
        db_table = "orders"


class Item(models.Model):
    pk = models.CompositePrimaryKey("order_id", "product_id")
    order = models.ForeignKey(Order, models.DO_NOTHING, related_name="items")
    product = models.ForeignKey(Product, models.DO_NOTHING, related_name="items")
    quantity = models.IntegerField()
    price = models.IntegerField()

    class Meta:
        managed = False
        db_table = "items"


class Event(models.Model):
    kind = models.TextField()
    subject = models.TextField()

    class Meta:
        managed = False
        db_table = "events"
