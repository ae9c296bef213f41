"""The types of values before they are parsed, as an operator writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Duration", "Names", "RawTable", "Size"]

Duration = str | float
Size = str | int
Names = Sequence[str]
RawTable = Mapping[str, Any]
"""A table as it is read from a file."""
