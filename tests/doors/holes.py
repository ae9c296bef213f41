"""Functions that fill holes, for tests behind every door."""

from __future__ import annotations

from cachemw.http.messages import Request

RAISING: list[bool] = []
"""Not empty: `basket` raises."""


def basket(request: Request, *arguments: str) -> str:
    """Say what is in the client's basket, by its cookie."""
    if RAISING:
        raise ZeroDivisionError("the basket is broken")
    cookies = b"; ".join(request.headers.values(b"cookie")).decode()
    mine = [each for each in cookies.split("; ") if each.startswith("basket=")]
    return f"<b>{mine[0] if mine else 'empty'}{''.join(arguments)}</b>"
