"""Lists of names, written as a text or read from a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Query", "listed", "querying"]

Query = Callable[[str], list[str]]
"""Runs a statement; returns the first column of its rows."""


def listed(text: str) -> list[str]:
    """Return the names of a text, which are separated by spaces."""
    return text.split()


def querying(connection: Any) -> Query:
    """Return what queries a connection of a driver."""

    def query(sql: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

    return query
