"""Lists of names, written as a text."""

from __future__ import annotations

__all__ = ["listed"]


def listed(text: str) -> list[str]:
    """Return the names of a text, which are separated by spaces."""
    return text.split()
