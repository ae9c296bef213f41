"""Datasette over a seeded SQLite database, under a real uvicorn, with the cache or without it.

Run as a program by the tests: the descriptor of a listening socket, a folder, and optionally the
TOML file of the cache.
"""

from __future__ import annotations

import random
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

PRODUCTS, CUSTOMERS, ORDERS = 3000, 1500, 6000
CATEGORIES = ("books", "cameras", "garden", "kitchen", "music", "shoes", "tools", "toys")
COLOURS = ("amber", "blue", "green", "ivory", "red", "teal")
WORDS = ("alpine", "bright", "classic", "dense", "early", "fine", "grand", "humble")
CITIES = ("Bergen", "Cork", "Gdynia", "Lyon", "Porto", "Turku", "Zadar")
SECRET_ROW = "salary-marker-4711"
"""Stands in a table that only the logged-in administrator may read."""

ROOT_TOKEN = "let-me-in"

SCHEMA = """
create table categories (id integer primary key, name text);
create table products (
  id integer primary key, name text, category integer references categories(id),
  colour text, price real, stock integer, tags text
);
create table customers (id integer primary key, name text, city text, since text);
create table orders (
  id integer primary key, product integer references products(id),
  customer integer references customers(id), quantity integer, placed text, state text
);
create view orders_by_city as
  select city, count(*) as orders from orders join customers on customers.id = orders.customer
  group by city order by city;
create virtual table products_search using fts5(name, content='products', content_rowid='id');
"""

# Facets and suggestions that run out of time are left out of an answer: with the limits as they
# come, two answers of a busy machine differ. Here every one has time to finish.
SETTINGS = {
    "facet_time_limit_ms": 20_000,
    "facet_suggest_time_limit_ms": 20_000,
    "sql_time_limit_ms": 20_000,
    # A whole crawl must fit in; Datasette states this as the max-age of its pages.
    "default_cache_ttl": 600,
}
COUNT_LIMIT_MS = 20_000
"""The one limit without a setting: a count that takes longer than 10 ms is left out."""

METADATA = {
    "title": "Trade records",
    "databases": {
        "trade": {
            "tables": {
                "products": {"facets": ["category", "colour"], "size": 25},
                "orders": {"facets": ["state"], "size": 25},
                "customers": {"facets": ["city"], "size": 25},
            },
            "queries": {"by_colour": "select colour, count(*) from products group by colour"},
        },
        "payroll": {"allow": {"id": "root"}},
        "notebook": {
            "queries": {
                "add_note": {
                    "sql": "insert into notes (text) values (:text)",
                    "write": True,
                    "allow": {"id": "root"},
                }
            }
        },
    },
}


def seed(folder: Path) -> None:
    """Write three databases: to read, to write through a form, and one for the administrator."""
    with closing(sqlite3.connect(folder / "trade.db")) as trade, trade:
        trade.executescript(SCHEMA)
        for table, rows in trade_rows(random.Random(20)).items():
            places = ", ".join("?" * len(rows[0]))
            trade.executemany(f"insert into {table} values ({places})", rows)
        trade.execute("insert into products_search(products_search) values ('rebuild')")
    with closing(sqlite3.connect(folder / "notebook.db")) as notebook, notebook:
        notebook.execute("create table notes (id integer primary key, text text)")
        notebook.execute("insert into notes (text) values ('the first note')")
    with closing(sqlite3.connect(folder / "payroll.db")) as payroll, payroll:
        payroll.execute("create table salaries (id integer primary key, remark text)")
        payroll.execute("insert into salaries (remark) values (?)", (SECRET_ROW,))


def trade_rows(draw: random.Random) -> dict[str, list[tuple[object, ...]]]:
    """Draw the rows of each table, the same in every run."""
    return {
        "categories": list(enumerate(CATEGORIES, 1)),
        "products": [
            (
                number,
                f"{draw.choice(WORDS)} {draw.choice(WORDS)} {number}",
                draw.randint(1, len(CATEGORIES)),
                draw.choice(COLOURS),
                draw.randint(100, 99_900) / 100,
                draw.randint(0, 500),
                '["new", "sale"]' if number % 3 else "[]",
            )
            for number in range(1, PRODUCTS + 1)
        ],
        "customers": [
            (number, f"Customer {number}", draw.choice(CITIES), f"20{number % 25:02}-01-15")
            for number in range(1, CUSTOMERS + 1)
        ],
        "orders": [
            (
                number,
                draw.randint(1, PRODUCTS),
                draw.randint(1, CUSTOMERS),
                draw.randint(1, 9),
                f"2025-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
                draw.choice(("open", "sent", "paid")),
            )
            for number in range(1, ORDERS + 1)
        ],
    }


def application(folder: Path, config: Path | None) -> Any:
    """Make Datasette, behind the cache if a configuration is given."""
    from datasette.app import Datasette

    wait_for_counts()
    datasette = Datasette(
        files=[str(folder / "notebook.db"), str(folder / "payroll.db")],
        immutables=[str(folder / "trade.db")],
        settings=SETTINGS,
        metadata=METADATA,
        secret="the same in every server, so that a log-in holds in all",
    )
    datasette._root_token = ROOT_TOKEN
    app = datasette.app()
    if config is None:
        return app
    from cachemw import Cache
    from cachemw.asgi import CacheMiddleware

    return CacheMiddleware(app, cache=Cache.from_file(config))


def wait_for_counts() -> None:
    """Let Datasette finish counting rows."""
    from datasette.database import Database

    count = Database.table_counts

    async def patient(database: Any, limit: int = 0) -> Any:
        return await count(database, COUNT_LIMIT_MS)

    Database.table_counts = patient


def main(descriptor: str, folder: str, config: str | None = None) -> None:
    """Serve on the inherited socket until told to stop."""
    import uvicorn

    app = application(Path(folder), Path(config) if config else None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    server.run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
