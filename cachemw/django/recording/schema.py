"""Tables and rows, as the models of a Django project describe them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.db import BaseDatabaseCache
from django.db import models
from django.db.models.signals import class_prepared
from django.utils.module_loading import import_string

from cachemw.recording.sql.observed import Kind
from cachemw.recording.sql.rows import UNKNOWN, Table, key_tag, spell, table_tag
from cachemw.recording.sql.statements import table_name

__all__ = ["cache_tables", "describe", "keys_of", "session_table", "tables"]

_KINDS: dict[str, Kind] = {
    "AutoField": "number",
    "BigAutoField": "number",
    "SmallAutoField": "number",
    "IntegerField": "number",
    "BigIntegerField": "number",
    "SmallIntegerField": "number",
    "PositiveIntegerField": "number",
    "PositiveBigIntegerField": "number",
    "PositiveSmallIntegerField": "number",
    "UUIDField": "uuid",
    "CharField": "text",
    "SlugField": "text",
    "TextField": "text",
}
_tables: Mapping[str, Table] | None = None


def tables() -> Mapping[str, Table]:
    """Return the tables of all models, by their names; none before all models are loaded."""
    global _tables
    if _tables is None:
        if not apps.models_ready:
            return {}
        _tables = _read()
    return _tables


def session_table() -> str | None:
    """Return the table of the sessions that the project has configured; None where they have none."""
    try:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        return table_name(store.get_model_class()._meta.db_table)
    except Exception:  # sessions in a cache, in files or in cookies, or none
        return None


def cache_tables() -> tuple[str, ...]:
    """Return the tables in which Django's caches keep their values.

    An answer depends on what a value was made from, and not on its row, which every `set` writes.
    """
    found = []
    for options in settings.CACHES.values():
        with suppress(Exception):  # a wrong setting is for whoever uses that cache
            if issubclass(import_string(options["BACKEND"]), BaseDatabaseCache):
                found.append(table_name(options["LOCATION"]))
    return tuple(found)


def _forget(**_: Any) -> None:
    """Read the models again after a new one was defined."""
    global _tables
    _tables = None


class_prepared.connect(_forget, dispatch_uid="cachemw.django.recording.schema")


def _read() -> Mapping[str, Table]:
    tables: dict[str, Table] = {}
    own = [model for model in apps.get_models(include_auto_created=True) if not model._meta.proxy]
    for model in own:
        name = table_name(model._meta.db_table)
        table = _table(model)
        tables[name] = table if name not in tables else _agreed(tables[name], table)
    for model in own:
        for field in _references(model):
            if _database_acts(field):
                _add_cascade(tables, model, field)
    return tables


def _table(model: type[models.Model]) -> Table:
    key: Any = model._meta.pk
    foreign = _references(model)
    known = [field for field in (key, *foreign) if field is not None and field.column]
    return Table(
        key=key.column.casefold() if key in known else None,
        composite=key is not None and not key.column,
        foreign=frozenset(field.column.casefold() for field in foreign),
        kinds={field.column.casefold(): kind for field in known if (kind := _kind(field))},
        generated=isinstance(key, models.AutoField),
    )


def _agreed(one: Table, other: Table) -> Table:
    """Return what two models of the same table agree on."""
    return Table(
        key=one.key if one.key == other.key else None,
        composite=one.composite and other.composite,
        foreign=one.foreign | other.foreign,
        kinds={
            column: kind
            for column, kind in {**one.kinds, **other.kinds}.items()
            if one.kinds.get(column, kind) == other.kinds.get(column, kind)
        },
        generated=one.generated and other.generated,
    )


def _references(model: type[models.Model]) -> list[Any]:
    return [each for each in model._meta.local_concrete_fields if each.is_relation]


def _kind(field: Any) -> Kind | None:
    """Return how a column's values compare; None for a type or collation of the project's own."""
    while field.is_relation:
        field = field.target_field
    django = _field_of_django(type(field))
    if type(field).db_type is not django.db_type or getattr(field, "db_collation", None):
        return None
    return _KINDS.get(field.get_internal_type())


def _field_of_django(kind: type) -> Any:
    return next(each for each in kind.__mro__ if each.__module__.startswith("django.db."))


def _database_acts(field: Any) -> bool:
    """Tell whether the database itself may change the rows that refer to a deleted row."""
    # Projects use DO_NOTHING where the database acts; Django 6 has names for it that begin with DB_.
    return not field.model._meta.managed or field.remote_field.on_delete not in _BY_DJANGO


_BY_DJANGO = (models.CASCADE, models.SET_NULL, models.SET_DEFAULT, models.PROTECT, models.RESTRICT)
"""Actions that Django carries out by statements of its own, which the recorder sees."""


def _add_cascade(tables: dict[str, Table], model: type[models.Model], field: Any) -> None:
    parent = table_name(field.related_model._meta.db_table)
    if parent in tables:
        old = tables[parent]
        tables[parent] = replace(
            old,
            cascades=old.cascades | {table_name(model._meta.db_table)},
            referenced=old.referenced | {field.target_field.column.casefold()},
        )


# -- instances -------------------------------------------------------------------------------------


def keys_of(instance: models.Model) -> dict[str, str | None]:
    """Return the tables that hold a row of an instance, with its key there; None where it is not sure."""
    found: dict[str, str | None] = {}
    known = tables()
    for model in _tables_of(type(instance)):
        name, key = table_name(model._meta.db_table), model._meta.pk
        table = known.get(name)
        if table is None or table.key is None or key is None or not _keeps_values(key):
            found[name] = None
        else:
            found[name] = spell(table.kinds.get(table.key), getattr(instance, key.attname, None))
    return found


def _keeps_values(field: Any) -> bool:
    """Tell whether a field's values are in the database as they are in an instance."""
    while field.is_relation:
        field = field.target_field
    kind = type(field)
    django = _field_of_django(kind)
    return all(
        getattr(kind, name) is getattr(django, name)
        for name in ("get_prep_value", "get_db_prep_value", "get_db_prep_save")
    )


def _tables_of(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the models whose tables hold the rows of a model: its own and its parents'."""
    concrete = model._meta.concrete_model
    if concrete is None:
        return []
    return [concrete, *(parent for parent in concrete._meta.all_parents if not parent._meta.proxy)]


def describe(thing: object) -> tuple[str, tuple[str, ...]] | None:
    """Return the tags of a model or of its instance, for `depends_on`; None for anything else."""
    if isinstance(thing, type) and issubclass(thing, models.Model):
        tags = [table_tag(table_name(model._meta.db_table)) for model in _tables_of(thing)]
    elif isinstance(thing, models.Model):
        keys = keys_of(thing)
        if len(keys) == 1:
            ((table, key),) = keys.items()
            return table_tag(table), (() if key is None else (key_tag(table, key),))
        tags = [key_tag(table, key) if key else table_tag(table) for table, key in keys.items()]
    else:
        return None
    if len(tags) == 1:
        return tags[0], ()
    # Rows in several tables are not parts of one table: too many of them become "reads anything".
    return (UNKNOWN, tuple(tags)) if tags else None
