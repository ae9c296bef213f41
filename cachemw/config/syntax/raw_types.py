"""How values are written, before they are parsed."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Duration", "Names", "RawTable", "Size"]

Duration = str | float
Size = str | int
Names = Sequence[str]
RawTable = Mapping[str, Any]
"""A table, as it comes out of a file."""
