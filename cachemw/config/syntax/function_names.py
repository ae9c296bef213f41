"""Names of an application's database functions, and patterns of them: `*` stands for any characters."""

from __future__ import annotations

import re

from cachemw.config.syntax.decode import Parser
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.values import names

__all__ = ["PURE_FUNCTIONS", "READING_FUNCTIONS"]

_NAME = re.compile(r"[\w$*-]+(?:\.[\w$*-]+){0,3}")
_EXPECTS = 'the name of a database function, or a pattern such as "st_*" or "shop.total_*"'


def _reading(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    hint = ": write its name alone, without brackets" if "(" in str(value) else ""
    raise ValueError(f"expected {_EXPECTS}, got {show(value)}{hint}")


def _pure(value: object) -> str:
    pattern = _reading(value)
    if not pattern.strip("*."):
        raise ValueError(
            f"{show(pattern)} is every function: name those that surely read and write no table"
        )
    return pattern


_LISTED = "names of database functions, which may have `*` in them"
PURE_FUNCTIONS = names(Parser(_pure, _LISTED))
READING_FUNCTIONS = names(Parser(_reading, _LISTED))
