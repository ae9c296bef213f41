"""The library's tables as Django's models. They are made by `tables.py`, not by migrations."""

from __future__ import annotations

from typing import Any

from django.db import connection, models

FOLDED = {"postgresql": "folded", "mysql": "utf8mb4_general_ci", "sqlite": "NOCASE"}
"""The collation of the words: one that knows no case."""


class Publisher(models.Model):
    name = models.CharField(max_length=40)
    city = models.CharField(max_length=40)

    class Meta:
        db_table = "publisher"


class Genre(models.Model):
    code = models.CharField(max_length=20, primary_key=True)
    label = models.CharField(max_length=40)

    class Meta:
        db_table = "genre"


class Author(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        db_table = "author"


class Book(models.Model):
    publisher = models.ForeignKey(Publisher, models.CASCADE, null=True, related_name="books")
    genre = models.ForeignKey(
        Genre, models.DO_NOTHING, null=True, db_constraint=False, related_name="books"
    )
    title = models.CharField(max_length=80)
    slug = models.CharField(max_length=40, unique=True)
    price = models.IntegerField()
    stock = models.IntegerField(default=0)
    attrs = models.JSONField(null=True)
    authors = models.ManyToManyField(Author, related_name="books", db_table="book_author")

    class Meta:
        db_table = "book"


class Novel(Book):
    pages = models.IntegerField()

    class Meta:
        db_table = "novel"


class Review(models.Model):
    id = models.UUIDField(primary_key=True)
    # The database deletes them with their book.
    book = models.ForeignKey(Book, models.DO_NOTHING, related_name="reviews")
    stars = models.IntegerField()
    body = models.CharField(max_length=80, default="")

    class Meta:
        db_table = "review"


class Offer(models.Model):
    pk = models.CompositePrimaryKey("shop_id", "book_id")
    shop_id = models.IntegerField()
    book_id = models.IntegerField()
    amount = models.IntegerField()

    class Meta:
        db_table = "offer"


class Folder(models.Model):
    # The database deletes what is in a folder with it.
    parent = models.ForeignKey("self", models.DO_NOTHING, null=True, related_name="children")
    name = models.CharField(max_length=40)

    class Meta:
        db_table = "folder"


class Note(models.Model):
    body = models.CharField(max_length=80)

    class Meta:
        db_table = "note"


class Word(models.Model):
    word = models.CharField(max_length=40, primary_key=True, db_collation=FOLDED[connection.vendor])
    uses = models.IntegerField()

    class Meta:
        db_table = "word"


class ShiftedField(models.IntegerField):
    """A number that the database has a thousand above."""

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return None if prepared is None else prepared + 1000

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else value - 1000


class Odd(models.Model):
    id = ShiftedField(primary_key=True)
    value = models.IntegerField()

    class Meta:
        db_table = "odd"


class Weather(models.Model):
    degrees = models.IntegerField()

    class Meta:
        db_table = "weather"


class Shelf(models.Model):
    height = models.IntegerField(db_column="Height")

    class Meta:
        db_table = "My Shelf"
