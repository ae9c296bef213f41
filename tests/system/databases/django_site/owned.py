"""A page for which a middleware outside of the cache's has read whose it is."""

from __future__ import annotations

__all__ = ["owned"]


class Owned:
    """The page, and what was read for it; in the one thread that reads."""

    name = "read by a middleware outside"
    page = ""
    city = ""


owned = Owned()
