"""Names of database tables and of keys in Django's cache, and patterns: `*` stands for any characters."""

from __future__ import annotations

from cachemw.config.syntax.decode import Parser
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.values import names, text

__all__ = ["CACHED_KEYS", "IGNORED_KEYS", "TABLES"]


def _table(value: object) -> str:
    name = text('the name of a table without its schema, or a pattern such as "audit_*"')(value)
    if not name.strip("*"):
        raise ValueError(f"{show(name)} is every table: write `database = false` to record none")
    return name.casefold()


def _cached_key(value: object) -> str:
    return text('a key in Django\'s cache, or a pattern such as "throttle_*"')(value)


def _ignored_key(value: object) -> str:
    key = _cached_key(value)
    if not key.strip("*"):
        raise ValueError(
            f'{show(key)} is every key: write `unknown_cached = "keep"` to ask for none'
        )
    return key


_KEYS = "keys in Django's cache, which may have `*` in them"
TABLES = names(Parser(_table, "names of tables, which may have `*` in them"))
CACHED_KEYS = names(Parser(_cached_key, _KEYS))
IGNORED_KEYS = names(Parser(_ignored_key, _KEYS))
