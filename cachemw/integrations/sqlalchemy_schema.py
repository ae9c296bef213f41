"""Keys and tables from SQLAlchemy's metadata, and the tags of mapped classes and instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Enum, Integer, MetaData, String, Uuid, inspect
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import InstanceState, Mapper

from cachemw.recording.declared import Described
from cachemw.recording.sql.observed import Kind
from cachemw.recording.sql.rows import UNKNOWN, Table, key_tag, spell, table_tag

__all__ = ["MetadataTables", "describe", "kind_of", "sole_key"]

_ACTIONS = {"CASCADE", "SET NULL", "SET DEFAULT"}
"""Actions of a foreign key by which the database itself changes the rows that refer to a row."""


class MetadataTables(Mapping[str, Table]):
    """The tables of some collections of metadata, by their names in lower case.

    Tables that are added to the metadata later are seen too.
    """

    def __init__(self, collections: Sequence[MetaData], dialect: Any) -> None:
        self._collections = collections
        self._dialect = dialect
        self._read = 0
        self._tables: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Table]:
        number = sum(len(each.tables) for each in self._collections)
        if number != self._read:
            tables = [t for each in self._collections for t in each.tables.values()]
            self._tables = _read(tables, self._dialect)
            self._read = number
        return self._tables


def _read(tables: list[SqlTable], dialect: Any) -> dict[str, Table]:
    names = [table.name.casefold() for table in tables]
    return {
        name: _table(table, tables, dialect, sole=names.count(name) == 1)
        for name, table in zip(names, tables, strict=True)
    }


def _table(table: SqlTable, others: list[SqlTable], dialect: Any, *, sole: bool) -> Table:
    """Return what is known of a table.

    Two tables with one name share their tags, so the rows of neither are known by keys.
    """
    key = sole_key(table)
    foreign = [fk.parent for fk in table.foreign_keys]
    name = table.name.casefold()
    acting = [
        fk
        for other in others
        for fk in other.foreign_keys
        if _target(fk) == name and _ACTIONS & {_upper(fk.ondelete), _upper(fk.onupdate)}
    ]
    return Table(
        key=_column(key) if key is not None else None,
        composite=sole and len(table.primary_key) > 1,
        foreign=frozenset(map(_column, foreign)),
        kinds=_kinds([*foreign, *table.primary_key]) if sole else {},
        generated=key is not None and _is_generated(key, dialect),
        cascades=frozenset(fk.parent.table.name.casefold() for fk in acting),
        referenced=frozenset(
            fk.target_fullname.rpartition(".")[2].casefold() for fk in acting if fk.onupdate
        ),
    )


def sole_key(table: SqlTable) -> Column[Any] | None:
    """Return a table's primary key where it is one column."""
    key: list[Column[Any]] = list(table.primary_key)
    return key[0] if len(key) == 1 else None


def _is_generated(key: Column[Any], dialect: Any) -> bool:
    """Tell whether the database generates a key, and reports it as the key of the last row.

    SQLite reports the number of the row. That is the key only if its type is spelt `INTEGER`.
    """
    if key.table.autoincrement_column is not key:
        return False
    return dialect.name != "sqlite" or str(key.type.compile(dialect)).upper() == "INTEGER"


def _column(column: Column[Any]) -> str:
    return column.name.casefold()


def _target(fk: Any) -> str:
    # From the text of the key: the other table may not be defined yet.
    return str(fk.target_fullname).split(".")[-2].casefold()


def _upper(action: str | None) -> str:
    return (action or "").upper()


def _kinds(columns: Sequence[Column[Any]]) -> dict[str, Kind]:
    return {_column(each): kind for each in columns if (kind := kind_of(each)) is not None}


def kind_of(column: Column[Any]) -> Kind | None:
    """Return how a column's values compare.

    None for a type of the application's own (`TypeDecorator`), which may convert values, and for a
    collation of its own, which may take any texts for equal.
    """
    if isinstance(column.type, Integer):
        return "number"
    if isinstance(column.type, Uuid):
        return "uuid"
    if isinstance(column.type, String) and not isinstance(column.type, Enum):
        return None if column.type.collation else "text"
    return None


# -- arguments of `depends_on` -----------------------------------------------------------------------


def describe(thing: object) -> Described | None:
    """Return the tags of a mapped class, of its instance or of a table; None for anything else."""
    if isinstance(thing, SqlTable):
        return table_tag(thing.name.casefold()), ()
    found = inspect(thing, raiseerr=False)
    if isinstance(found, Mapper):
        return _whole(found), ()
    if isinstance(found, InstanceState):
        return _row(found)
    return None


def _whole(mapper: Mapper[Any]) -> str:
    table = _sole_table(mapper)
    # A class mapped to several tables or to a query: any write may change it.
    return UNKNOWN if table is None else table_tag(table.name.casefold())


def _sole_table(mapper: Mapper[Any]) -> SqlTable | None:
    tables = mapper.tables
    return tables[0] if len(tables) == 1 and isinstance(tables[0], SqlTable) else None


def _row(state: InstanceState[Any]) -> Described:
    whole, table = _whole(state.mapper), _sole_table(state.mapper)
    key = None if table is None else sole_key(table)
    if table is None or key is None or state.identity is None:
        return whole, ()
    spelt = spell(kind_of(key), state.identity[0])
    return whole, () if spelt is None else (key_tag(table.name.casefold(), spelt),)
