"""Conditions of a WHERE clause that restrict a mention of a table to certain rows.

A *scope* is one `SELECT`, or an `UPDATE` or `DELETE` with what it joins. Each mention of a table in a
scope is a read of its own.

A condition restricts a mention only if every row that the scope uses of it must meet the condition.
That is so for `column = value` and `column IN (values)` where the condition

- stands in `WHERE`, joined to the others by `AND`: joins (outer ones too), aggregates, windows and
  limits then only see rows that met it;
- names the mention by its table or alias, or the scope has one source only.

Nothing else restricts: conditions below `NOT`, below `OR` (unless all alternatives are about the same
column), in `ON` and `HAVING`, of another scope, or of an unqualified column where there are several
sources. A scope with a part that is not known here (`_SCOPE`) restricts nothing at all. So where this
module is in doubt, a read counts as one of more rows than it is, which is the safe side (I5).

Which columns are keys, and whether a value is spelt surely, is decided later, in `rows`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from cachemw.recording.sql.observed import Constant, Equals, Kind, Placeholder, Value

__all__ = ["Node", "part", "restrictions", "sources", "value_of"]

Node = Any
"""A part of a syntax tree. The parser's own base class has another name in each of its releases."""

_SCOPE = re.compile(
    r"""with_?|kind|expressions|hint|distinct|from_?|joins|where|group|having|windows|order|limit|offset
    |locks|operation_modifiers|this|returning|using|tables|cluster""",
    re.VERBOSE,
)
"""The parts of a scope whose meaning for its WHERE is known."""
_TABLE_ARGS = frozenset({"this", "alias", "db", "catalog", "joins", "only", "hints"})
_JOIN_KINDS = {"", "INNER", "CROSS", "OUTER", "STRAIGHT", "STRAIGHT_JOIN"}
_CASTS: dict[Any, Kind] = {
    exp.DataType.Type.INT: "number",
    exp.DataType.Type.BIGINT: "number",
    exp.DataType.Type.SMALLINT: "number",
    exp.DataType.Type.UUID: "uuid",
    exp.DataType.Type.TEXT: "text",
    exp.DataType.Type.VARCHAR: "text",
}


def restrictions(scope: Node) -> dict[int, tuple[Equals, ...]]:
    """Return the conditions on the rows of each mention of a table, by the mention's `id()`."""
    where = scope.args.get("where")
    if where is None or not _is_plain(scope) or where.find(exp.Xor, exp.DPipe):
        return {}
    joined = list(sources(scope))
    if any(isinstance(each, exp.Join) for each in joined):  # of a kind that is not known
        return {}
    mentions = [each for each in joined if isinstance(each, exp.Table)]
    names = [each.alias_or_name.casefold() for each in mentions]
    if not all(map(_is_plain_table, mentions)) or len(set(names)) < len(names):
        return {}
    sole = names[0] if len(joined) == 1 and names else None
    restricted: dict[str, list[Equals]] = {name: [] for name in names}
    for conjunct in _operands(where.this, exp.And):
        condition = _condition(conjunct)
        if condition is None:
            continue
        name = condition[0] or sole
        if name in restricted:
            restricted[name].append(condition[1])
    return {
        id(mention): tuple(restricted[name]) for mention, name in zip(mentions, names, strict=True)
    }


# -- scopes ----------------------------------------------------------------------------------------


def part(node: Node, name: str) -> Node | None:
    """Return a part whose name is a keyword of Python; some releases of the parser add `_` to it."""
    return node.args.get(f"{name}_") or node.args.get(name)


def _is_plain(scope: Node) -> bool:
    """Tell whether the scope consists of known parts only."""
    odd = [name for name, given in scope.args.items() if given and not _SCOPE.fullmatch(name)]
    return not odd and not any(
        column.args.get("join_mark") for column in scope.find_all(exp.Column)
    )


def _is_plain_table(mention: exp.Table) -> bool:
    alias = mention.args.get("alias")
    odd = {name for name, given in mention.args.items() if given} - _TABLE_ARGS
    renamed = alias is not None and alias.args.get("columns")
    return not odd and not renamed


def _is_plain_join(join: Node) -> bool:
    return join.args.get("method") in (None, "", "NATURAL") and join.kind in _JOIN_KINDS


def sources(scope: Node) -> Iterator[Node]:
    """Yield what a scope joins: mentions of tables, subqueries, and every join of an unknown kind."""
    from_ = part(scope, "from")
    if isinstance(scope, exp.Update | exp.Delete):
        yield from _flat(scope.this)
        for each in scope.args.get("using") or ():
            yield from _flat(each)
    if from_ is not None:
        yield from _flat(from_.this)
    yield from _joined_to(scope)


def _flat(source: Node) -> Iterator[Node]:
    inner = source.this
    if isinstance(source, exp.Subquery) and isinstance(inner, exp.Table) and not source.alias:
        yield from _flat(inner)  # a table in brackets
    else:
        yield source
    yield from _joined_to(source)


def _joined_to(source: Node) -> Iterator[Node]:
    for join in source.args.get("joins") or ():
        yield from _flat(join.this)
        if not _is_plain_join(join):
            yield join
    yield from source.args.get("laterals") or ()


# -- conditions ------------------------------------------------------------------------------------


def _operands(condition: Node, operator: type[exp.And] | type[exp.Or]) -> Iterator[Node]:
    """Yield the operands of nested AND or OR, without brackets; any other condition as it is."""
    ahead = [condition]
    while ahead:
        each = ahead.pop()
        if isinstance(each, operator):
            ahead += (each.expression, each.this)
        elif isinstance(each, exp.Paren):
            ahead.append(each.this)
        else:
            yield each


def _condition(conjunct: Node) -> tuple[str, Equals] | None:
    """Return the table and the condition of one operand of AND; None where it restricts nothing.

    `column = 1 OR column = 2` is one condition with two values.
    """
    alternatives = [_comparison(each) for each in _operands(conjunct, exp.Or)]
    known = [each for each in alternatives if each is not None]
    columns = {(table, equals.column) for table, equals in known}
    if len(known) < len(alternatives) or len(columns) > 1:
        return None
    ((table, column),) = columns
    return table, Equals(column, tuple(value for _, equals in known for value in equals.values))


def _comparison(conjunct: Node) -> tuple[str, Equals] | None:
    """Read `table.column = value` or `IN (values)`; the table is empty where it is not written."""
    column: Node
    if type(conjunct) is exp.EQ:
        column, given = conjunct.this, [conjunct.expression]
        if not isinstance(column, exp.Column):
            column, given = conjunct.expression, [conjunct.this]
    elif type(conjunct) is exp.In and not set(conjunct.args) - {"this", "expressions"}:
        column, given = conjunct.this, conjunct.expressions
    else:
        return None
    if type(column) is not exp.Column or column.args.get("db"):
        return None
    values = [value for each in given if (value := value_of(each)) is not None]
    if len(values) < len(given):
        return None
    return column.table.casefold(), Equals(column.name.casefold(), tuple(values))


_PLACEHOLDER = re.compile(r"c(\d+)")
"""The name that `tokens` gives a placeholder."""


def value_of(node: Node) -> Value | None:
    """Return a value that is written in the text or given as a parameter; None for an expression."""
    cast: Kind | None = None
    if type(node) is exp.Cast:
        to = node.args["to"]
        cast = _CASTS.get(to.this)
        if cast is None or to.expressions:
            return None
        node = node.this
    if isinstance(node, exp.Placeholder):
        name = _PLACEHOLDER.fullmatch(node.name)
        return Placeholder(int(name[1]), cast) if name else None
    if cast is not None:
        return None
    if isinstance(node, exp.Null):
        return Constant(None)
    if isinstance(node, exp.Literal):
        if node.is_string:
            # Databases differ in what these characters mean inside a string.
            return Constant(node.name) if not set("%\\'") & set(node.name) else None
        return Constant(int(node.name)) if node.name.isdecimal() else None
    return None
