"""Checks of what a request asks for, the same under every framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schema import TODAY

Row = dict[str, Any]
Shown = Row | str
"""What a read returns: an object for JSON, or plain text."""

PAGE = 24
"""Products on a page of a list."""
RECENT = TODAY - 14
"""First day of what counts as recent."""
SEASON = TODAY - 365
"""First day of the orders that recommendations use."""
SORTS = ("name", "price", "-price", "rating", "popular")


class ShopError(Exception):
    """A mistake in a request: the status and the text of the response."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


def required(row: Mapping[str, Any] | None, what: str) -> Row:
    """Return the row; raises ShopError(404) if it is None."""
    if row is None:
        raise ShopError(404, f"no such {what}")
    return dict(row)


def number(text: str, name: str) -> int:
    """Return a positive whole number from a query; raises ShopError(400)."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise ShopError(400, f"{name} must be a positive whole number")
    return int(text)


def check_sort(sort: str) -> None:
    """Raise ShopError(400) for an unknown sort order."""
    if sort not in SORTS:
        raise ShopError(400, f"sort must be one of {', '.join(SORTS)}")


def whole(form: object, name: str, *, least: int) -> int:
    """Return a whole number from a decoded body; raises ShopError(400)."""
    value = _fields(form).get(name)
    if type(value) is not int or not least <= value < 10**9:
        raise ShopError(400, f"{name} must be a whole number of at least {least}")
    return value


def basket(form: object) -> dict[int, int]:
    """Return the ordered units by product; raises ShopError(400)."""
    lines = _fields(form).get("items")
    if not isinstance(lines, list) or not 1 <= len(lines) <= 100:
        raise ShopError(400, "items must be a list of 1 to 100 lines")
    units: dict[int, int] = {}
    for line in lines:
        product = whole(line, "product", least=1)
        units[product] = units.get(product, 0) + whole(line, "quantity", least=1)
    return units


def _fields(form: object) -> Mapping[str, Any]:
    if not isinstance(form, dict):
        raise ShopError(400, "the body must be a JSON object")
    return form
