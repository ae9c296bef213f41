"""The shop's tables.

Rows that a cached page might show too late have a `version` that only grows. With it, a test can
tell from outside whether an answer is old.
"""

from __future__ import annotations

VERSION = 1
"""Increased with every change of the tables or of the rows in `seed.py`."""

TODAY = 730
"""The current day. Days are numbered; in this shop it is always day 730, two years after opening."""

TABLES = """
CREATE TABLE categories (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  category_id INTEGER NOT NULL REFERENCES categories,
  brand TEXT NOT NULL,
  price INTEGER NOT NULL,             -- cents
  rating REAL NOT NULL,
  version INTEGER NOT NULL DEFAULT 1  -- grows with every change of the row
);
CREATE TABLE inventory (
  product_id INTEGER PRIMARY KEY REFERENCES products,
  stock INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  city TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1  -- grows with every order placed
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers,
  day INTEGER NOT NULL,
  total INTEGER NOT NULL              -- cents
);
CREATE TABLE items (
  order_id INTEGER NOT NULL REFERENCES orders,
  product_id INTEGER NOT NULL REFERENCES products,
  quantity INTEGER NOT NULL,
  price INTEGER NOT NULL,             -- cents, as it was when ordered
  PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL);
"""

INDEXES = """
CREATE INDEX products_by_category ON products (category_id, price);
CREATE INDEX products_by_brand ON products (brand, price);
CREATE INDEX products_by_name ON products (name);
CREATE INDEX products_by_price ON products (price);
CREATE INDEX products_by_rating ON products (rating);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_day ON orders (day);
CREATE INDEX items_by_product ON items (product_id, order_id, quantity);
"""
