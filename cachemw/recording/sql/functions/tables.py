"""Names of built-in functions and keywords, by vendor.

The names are data: one file for each vendor, made by `python -m tests.system.databases.functions` from the
catalogues of real servers and from reviewed lists. Vendors without a file have the functions of the SQL
standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["FunctionTable", "table_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionTable:
    """The functions of one vendor. All names are in lower case."""

    pure: frozenset[str]
    """Functions that read and write no table of an application; also types that are written as functions."""
    reading: frozenset[str]
    """Functions that may read any table, and write none."""
    writing: frozenset[str]
    """Functions that may write any table, where other functions of the vendor cannot."""
    keywords: frozenset[str]
    """Words before a bracket that are no function's name, unless they are quoted."""
    schemas: frozenset[str]
    """Schemas of built-in functions. A name in any other schema is not built in."""
    may_write: bool
    """Whether an application's own functions may write when they are called in a query."""
    quoted_is_exact: bool
    """Whether a quoted name differs from the same name in other letters."""
    quoted_is_own: bool
    """Whether a quoted name before a bracket is never that of a built-in function."""


_FILES = {
    "postgresql": "postgresql",
    "cockroachdb": "postgresql",
    "redshift": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "oracle": "oracle",
    "microsoft": "sqlserver",
    "mssql": "sqlserver",
}
_STANDARD = "standard"
_CANNOT_WRITE = frozenset({"sqlite", "sqlserver"})
"""Vendors whose functions cannot change data. In SQL Server those can that run a query on another server."""


def table_of(vendor: str) -> FunctionTable:
    """Return the functions of a vendor."""
    return _read(_FILES.get(vendor, _STANDARD))


@cache
def _read(name: str) -> FunctionTable:
    text = files(__package__).joinpath(f"{name}.txt").read_text("utf-8")
    sections = _sections(text)
    if name not in (_STANDARD, "postgresql", "mysql", "sqlite"):
        standard = _read(_STANDARD)
        sections["pure"] = sections.get("pure", frozenset()) | standard.pure
        sections["keywords"] = sections.get("keywords", frozenset()) | standard.keywords
    none: frozenset[str] = frozenset()
    return FunctionTable(
        pure=sections.get("pure", none),
        reading=sections.get("reading", none),
        writing=sections.get("writing", none),
        keywords=sections.get("keywords", none),
        schemas=sections.get("schemas", none),
        may_write=name not in _CANNOT_WRITE,
        quoted_is_exact=name not in ("sqlite", "mysql", "sqlserver"),
        quoted_is_own=name in ("mysql", "sqlserver"),
    )


def _sections(text: str) -> dict[str, frozenset[str]]:
    """Read sections of names: `[section]`, then lines of names; `#` begins a comment."""
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        else:
            section += line.split()
    return {name: frozenset(names) for name, names in found.items()}
