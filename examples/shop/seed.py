"""The rows of the shop's database: the same for the same sizes, on every machine."""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import schema

SEED = 20_240_607

_GROUPS = ("Garden", "Kitchen", "Office", "Outdoor", "Travel", "Music", "Sports", "Workshop")
_KINDS = (
    *("Tools", "Lights", "Bags", "Boxes", "Games"),
    *("Seats", "Covers", "Stands", "Straps", "Gifts"),
)
_LOOKS = ("Amber", "Basalt", "Cedar", "Dove", "Elm", "Flint", "Grey", "Hazel", "Indigo", "Jade")
_THINGS = ("Lamp", "Chair", "Kettle", "Rope", "Tent", "Drill", "Flask", "Bench", "Clock", "Tray")
_BRANDS = tuple(f"{name}works" for name in ("Arc", "Bolt", "Crest", "Dune", "Echo", "Fjord"))
_FIRST = ("Ada", "Ben", "Chloe", "Dev", "Esra", "Finn", "Gita", "Hugo", "Iris", "Jun")
_LAST = ("Abbot", "Brandt", "Costa", "Dietz", "Eriksen", "Fontana", "Grant", "Haddad", "Ito")
_CITIES = ("Bergen", "Cusco", "Dakar", "Graz", "Hobart", "Izmir", "Kyoto", "Leeds", "Quito")

CATEGORIES = tuple(f"{group} {kind}" for group in _GROUPS for kind in _KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many rows the shop has."""

    products: int = 50_000
    customers: int = 20_000
    orders: int = 200_000


FULL = Sizes()


def default_path(sizes: Sizes = FULL) -> Path:
    """Return the path of the database: `SHOP_DB`, or a file in this user's folder for temporary files."""
    if named := os.environ.get("SHOP_DB"):
        return Path(named)
    folder = Path(tempfile.gettempdir()) / f"cachemw-shop-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Everyone may write to the temp directory, so another user could have created the folder first.
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise SystemExit(f"{folder} belongs to another user: set SHOP_DB to another path")
    return folder / f"v{schema.VERSION}-{sizes.products}x{sizes.orders}.db"


def ensure(path: Path, sizes: Sizes = FULL) -> Path:
    """Return the path of a complete database, which is created if it does not exist.

    If several processes call this at once, one creates the database and the others wait. If that
    process dies, no incomplete database is left under this name.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            if not path.exists():
                _create(path, sizes)
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != schema.VERSION:
        raise SystemExit(
            f"{path} is not a database of this release: delete it, and it is created again"
        )
    return path


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # The folder itself is locked, so no lock file is left. The lock of a dead process ends with it.
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(path: Path, sizes: Sizes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        fill(temporary, sizes)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def fill(path: Path, sizes: Sizes) -> None:
    """Write all rows, then the indexes, without a journal: nobody reads this file yet."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        connection.executescript(schema.TABLES)
        connection.execute("BEGIN")
        _fill_tables(connection, sizes, random.Random(SEED))
        connection.execute("COMMIT")
        connection.executescript(schema.INDEXES)
        connection.executescript(f"ANALYZE; PRAGMA user_version = {schema.VERSION};")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _fill_tables(connection: sqlite3.Connection, sizes: Sizes, dice: random.Random) -> None:
    insert = connection.executemany
    slugs = (name.lower().replace(" ", "-") for name in CATEGORIES)
    insert(
        "INSERT INTO categories VALUES (?, ?, ?)",
        ((number, slug, CATEGORIES[number - 1]) for number, slug in enumerate(slugs, 1)),
    )
    prices = [dice.randrange(199, 49_999) for _ in range(sizes.products)]
    insert(
        "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, 1)",
        (_product(number, price, dice) for number, price in enumerate(prices, 1)),
    )
    insert(
        "INSERT INTO inventory VALUES (?, ?, 1)",
        ((number, dice.randrange(500, 5_000)) for number in range(1, sizes.products + 1)),
    )
    insert(
        "INSERT INTO customers VALUES (?, ?, ?, ?, 1)",
        (_customer(number, dice) for number in range(1, sizes.customers + 1)),
    )
    items: list[tuple[int, int, int, int]] = []
    insert("INSERT INTO orders VALUES (?, ?, ?, ?)", _orders(sizes, prices, items, dice))
    insert("INSERT INTO items VALUES (?, ?, ?, ?)", items)


def _product(number: int, price: int, dice: random.Random) -> tuple[object, ...]:
    name = f"{dice.choice(_LOOKS)} {dice.choice(_THINGS)} {number}"
    category = (number - 1) % len(CATEGORIES) + 1
    return number, name, category, dice.choice(_BRANDS), price, round(dice.uniform(2, 5), 1)


def _customer(number: int, dice: random.Random) -> tuple[object, ...]:
    name = f"{dice.choice(_FIRST)} {dice.choice(_LAST)}"
    return number, name, f"customer{number}@example.org", dice.choice(_CITIES)


def _orders(
    sizes: Sizes,
    prices: list[int],
    items: list[tuple[int, int, int, int]],
    dice: random.Random,
) -> Iterator[tuple[int, int, int, int]]:
    """Yield orders of one to three products, and add their items; low numbers are popular."""
    chance = dice.random
    for order in range(1, sizes.orders + 1):
        chosen = {int(sizes.products * chance() ** 2) + 1 for _ in range(1 + int(3 * chance()))}
        total = 0
        for product in sorted(chosen):
            quantity = 1 + int(3 * chance())
            items.append((order, product, quantity, prices[product - 1]))
            total += quantity * prices[product - 1]
        day = schema.TODAY * order // (sizes.orders + 1)
        yield order, 1 + int(sizes.customers * chance()), day, total
