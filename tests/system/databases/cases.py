"""Reads, writes and ways to commit: what a site can be asked to do, each by its name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .tables import VENDORS, Vendor

__all__ = ["Raw", "Read", "Way", "Write", "named", "raw_for", "unseen_for"]


@dataclass(frozen=True, slots=True)
class Raw:
    """A statement as a text, of one of the files in this folder.

    Its parameters are written as `:name`, and `{database}` stands for the name of the database.
    """

    name: str
    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    many: Sequence[Mapping[str, Any]] = ()
    """Parameters of each call of an `executemany`."""
    on: Sequence[Vendor] = VENDORS
    """The databases that understand it."""
    undo: Sequence[str] = ()
    """Statements that restore the tables; the rows are restored after every write."""
    locks: bool = False
    """Whether others have to wait until it is committed before they may read."""
    commits: bool = False
    """Whether it is committed at once, whatever the application says: by MariaDB, by the driver of SQLite,
    or by itself. Then the savepoint is gone, and what follows fails."""
    several: bool = False
    """Whether the text holds several statements, which not every driver takes."""
    known: bool | str = False
    """Whether it is of a family that once left old answers: tried in each run, also in a short one. A text
    names the way in which it did; otherwise it is tried in the first that there is."""


def raw_for(vendor: Vendor, file: str) -> list[Raw]:
    """Return the statements of a file that a database understands."""
    return [Raw(name, **keys) for name, keys in _load(vendor, file)]


def unseen_for(vendor: Vendor) -> list[tuple[Raw, Raw]]:
    """Return the reads, and the writes that nobody sees to change what they read."""
    return [
        (Raw(name, keys["read"]), Raw(name, keys["write"]))
        for name, keys in _load(vendor, "unseen.toml")
    ]


def _load(vendor: Vendor, file: str) -> Iterable[tuple[str, dict[str, Any]]]:
    with Path(__file__).with_name(file).open("rb") as opened:
        for name, keys in tomllib.load(opened).items():
            if vendor in keys.get("on", VENDORS):
                yield name, keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Something that a page shows. Its value must not depend on the order in which rows are found."""

    name: str
    read: Callable[..., object]
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A change of something that is read."""

    name: str
    write: Callable[..., object]
    undo: Sequence[str] = ()
    locks: bool = False
    commits: bool = False
    in_transaction: bool = False
    """Whether it needs one: PostgreSQL has no cursor outside of a transaction."""
    opens_block: bool = False
    """Whether it opens a block of its own, which Django cannot in a transaction that a text has begun."""
    known: bool | str = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way in which a write is carried out and committed."""

    name: str
    run: Callable[..., Any]
    autocommits: bool = False
    """Whether each statement is committed by itself."""
    by_texts: bool = False
    """Whether texts begin and end the transaction, of which the framework knows nothing."""
    prepares: bool = False
    """Whether the transaction is prepared before it is committed, so that nothing may commit it before."""
    known: bool = False


_Case = TypeVar("_Case", Read, Write, Way)


def named(cases: Iterable[_Case]) -> dict[str, _Case]:
    """Return the cases by their names; raises ValueError for a name that two have."""
    found: dict[str, _Case] = {}
    for case in cases:
        if case.name in found:
            raise ValueError(f"two cases are called {case.name!r}")
        found[case.name] = case
    return found
