"""From the tree of a statement to what it reads and writes.

Rules:

- What cannot be understood is opaque: it may have read and written anything.
- A *scope* is one `SELECT`, or an `UPDATE` or `DELETE` with what it joins. Each mention of a table in
  it is a read of its own. Where a condition that every row must meet (joined to the others by `AND`)
  says `column = value` or `column IN (values)` of that mention, only those rows of it count: joins,
  outer ones too, aggregates, windows and limits come from rows that met the condition. Conditions
  below `OR` and `NOT`, in `ON` and `HAVING`, of another scope, or of an unqualified column where there
  are several tables, restrict nothing.
- Which columns matter (keys), and whether a value is one that can be compared, is for `rows` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from sqlglot import exp

from cachemw.recording.sql.observed import (
    OPAQUE,
    Constant,
    Equals,
    Kind,
    Observed,
    Read,
    Slot,
    Value,
    Write,
)

__all__ = ["understand"]

Node = Any
"""A part of a tree: the parser has called the class of them all by different names."""


def understand(root: Node, *, replaces: bool) -> Observed:
    """Say what a statement reads and writes; `replaces`: its INSERT takes the place of rows."""
    return _Tree(root, replaces).observed()


_ROOTS = (
    exp.Select,
    exp.SetOperation,
    exp.Subquery,
    exp.Values,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.TruncateTable,
)
_PURE = re.compile(
    r"""(?: django | pg | st | json | jsonb | array | regexp | pragma | sqlite | txid | tsvector | quote )_\w+
    | (?: curr | current | last_insert | uuid | random | gen_random | generate | numto )_?\w*
    | to_(?: char | date | number | timestamp | json | jsonb | hex | tsvector | tsquery | regclass )
    | (?: plainto | phraseto | websearch_to )_tsquery | ts_(?: rank | rank_cd | headline | filter | delete )
    | date_(?: part | trunc | bin ) | has_\w+_privilege | (?: get | release | is_free )_lock | row_to_json
    | (?: statement | transaction | clock )_timestamp | (?: strict_ )?(?: word_ )?similarity | unaccent
    | lastval | nextval | setval | json | jsonb | changes | total_changes | version | user | database
    | schema | connection_id | found_rows | row_count | show_trgm | levenshtein | soundex | sleep | values
    | metaphone | dmetaphone | unixepoch | julianday | printf | format | glob | typeof | likely | unlikely
    | bm25 | highlight | snippet | setweight | numnode | age | num_nonnulls | num_nulls | width_bucket
    | zeroblob | iif | instr | hex | sys_context | scope_identity | systimestamp | sysdate""",
    re.VERBOSE | re.IGNORECASE,
)
"""Functions that read and write no table of the application's, where the parser does not know them."""
_SCOPE = re.compile(
    r"""with_?|kind|expressions|hint|distinct|from_?|joins|where|group|having|windows|order|limit|offset
    |locks|operation_modifiers|this|returning|using|tables|cluster""",
    re.VERBOSE,
)
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


class _Tree:
    """One statement, as the parser sees it."""

    def __init__(self, root: Node, replaces: bool) -> None:
        self._root = root
        self._replaces = replaces
        self._equals: dict[int, tuple[Equals, ...]] = {}
        """What the rows of a mention of a table are restricted to, by the mention's identity."""
        self._targets: set[int] = set()
        """Mentions that are written, and read only where the statement says so."""

    def observed(self) -> Observed:
        """Say what the statement reads and writes."""
        root = self._root
        if not isinstance(root, _ROOTS) or root.find(exp.Command):
            return OPAQUE
        for scope in root.find_all(exp.Select, exp.Update, exp.Delete):
            self._restrict(scope)
        writes: list[Write] = []
        for node in root.find_all(
            exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable, exp.Into
        ):
            if isinstance(node.parent, exp.When):  # an action of MERGE, which is seen as a whole
                continue
            found = self._written(node)
            if found is None:
                return OPAQUE
            writes += found
        called = self._calls_unknown()
        reads = self._reads()
        if called == "procedure" or reads is None:
            return OPAQUE
        return Observed(tuple(reads), tuple(writes), unknown_read=bool(called))

    def _calls_unknown(self) -> Literal["", "function", "procedure"]:
        """Say whether functions are called that may read tables, or in a place where they may write."""
        found: Literal["", "function", "procedure"] = ""
        for call in self._root.find_all(exp.Anonymous, exp.AnonymousAggFunc):
            if _PURE.fullmatch(call.name):
                continue
            select = call.find_ancestor(exp.Select)
            place = call.find_ancestor(exp.Table, exp.Lateral, exp.Select)
            if isinstance(place, exp.Table | exp.Lateral):  # FROM f(…)
                return "procedure"
            if select is not None and _part(select, "from") is None:  # SELECT f(…)
                return "procedure"
            found = "function"
        return found

    # -- reads -----------------------------------------------------------------------------------

    def _reads(self) -> list[Read] | None:
        """Give every mention of a table that is read; None where one is something else."""
        found: dict[Read, None] = {}
        for mention in self._root.find_all(exp.Table):
            if id(mention) in self._targets or _is_cte(mention):
                continue
            if isinstance(mention.parent, exp.Lock):  # FOR UPDATE OF
                continue
            if isinstance(mention.this, exp.Func):  # one that the parser knows, or harmless
                continue
            if not isinstance(mention.this, exp.Identifier):
                return None
            found[Read(mention.name.casefold(), self._equals.get(id(mention), ()))] = None
        return list(found)

    # -- scopes ----------------------------------------------------------------------------------

    def _restrict(self, scope: Node) -> None:
        """Note what the scope's WHERE says of its tables."""
        where = scope.args.get("where")
        if where is None or not _is_plain(scope) or where.find(exp.Xor, exp.DPipe):
            return
        sources = list(_sources(scope))
        if any(isinstance(each, exp.Join) for each in sources):  # of an odd kind
            return
        mentions = [each for each in sources if isinstance(each, exp.Table)]
        names = [each.alias_or_name.casefold() for each in mentions]
        if not all(map(_is_plain_table, mentions)) or len(set(names)) < len(names):
            return
        sole = names[0] if len(sources) == 1 and names else None
        restricted: dict[str, list[Equals]] = {name: [] for name in names}
        for conjunct in _operands(where.this, exp.And):
            said = _equality(conjunct)
            if said is None:
                continue
            name = said[0] or sole
            if name in restricted:
                restricted[name].append(said[1])
        for mention, name in zip(mentions, names, strict=True):
            self._equals[id(mention)] = tuple(restricted[name])

    # -- writes ----------------------------------------------------------------------------------

    def _written(self, node: Node) -> list[Write] | None:
        """Say what one part of the statement writes; None where that cannot be told."""
        if isinstance(node, exp.TruncateTable):
            option = node.args.get("option")
            tables = None if option == "CASCADE" else node.expressions
        elif isinstance(node, exp.Delete) and node.args.get("tables"):
            tables = [*node.args["tables"], *_sources(node)]  # the first are aliases, perhaps
        elif isinstance(node, exp.Update) and node.this.args.get("joins"):
            tables = list(_sources(node))
        elif isinstance(node, exp.Insert):
            return self._inserted(node)
        elif isinstance(node, exp.Update | exp.Delete):
            return self._changed(node)
        else:
            tables = [node.this]
        if tables is None:
            return None
        writes = [self._target(each) for each in tables]
        if not writes or None in writes:
            return None
        return [Write(table, "whole") for table in writes if table]

    def _target(self, mention: Node) -> str | None:
        if not isinstance(mention, exp.Table) or not isinstance(mention.this, exp.Identifier):
            return None
        if _is_cte(mention):  # which some databases write through
            return None
        self._targets.add(id(mention))
        return mention.name.casefold()

    def _changed(self, node: exp.Update | exp.Delete) -> list[Write] | None:
        table = self._target(node.this)
        if table is None:
            return None
        if node.args.get("returning"):
            self._targets.discard(id(node.this))
        equals = self._equals.get(id(node.this), ())
        if isinstance(node, exp.Delete):
            return [Write(table, "delete", equals)]
        return [Write(table, "update", equals, _set_columns(node))]

    def _inserted(self, node: exp.Insert) -> list[Write] | None:
        schema = node.this
        table = self._target(schema.this if isinstance(schema, exp.Schema) else schema)
        if table is None:
            return None
        if (
            self._replaces
            or node.args.get("alternative") == "REPLACE"
            or node.args.get("overwrite")
        ):
            return [Write(table, "whole")]
        conflict = node.args.get("conflict")
        if conflict is not None and str(conflict.args.get("action")).upper() != "DO NOTHING":
            return [Write(table, "update")]
        if node.args.get("default"):
            return [Write(table, "insert", columns=(), rows=((),))]
        values = node.args.get("expression")
        # Which rows it makes is not known; but no column of one that is there already is set.
        if not isinstance(schema, exp.Schema) or not isinstance(values, exp.Values):
            return [Write(table, "update", columns=())]
        columns = tuple(each.name.casefold() for each in schema.expressions)
        rows = tuple(tuple(map(_value, row.expressions)) for row in values.expressions)
        if any(len(row) != len(columns) for row in rows):
            return [Write(table, "update", columns=())]
        return [Write(table, "insert", columns=columns, rows=rows)]


# -- parts of trees --------------------------------------------------------------------------------


def _part(node: Node, name: str) -> Node | None:
    """Give a part whose name is a word of Python's, which some editions of the parser avoid."""
    return node.args.get(f"{name}_") or node.args.get(name)


def _is_cte(mention: exp.Table) -> bool:
    """Whether a name is surely that of a common table expression; in doubt it is a table's."""
    if mention.args.get("db") or not isinstance(mention.this, exp.Identifier):
        return False
    inside: list[int] = []
    node = mention.parent
    while node is not None:
        if isinstance(node, exp.CTE):
            inside.append(id(node))
        elif with_ := _part(node, "with"):
            for cte in with_.expressions:
                if id(cte) in inside:  # its own name, and those that follow, mean something else
                    break
                if _same(mention.this, cte.args["alias"].this):
                    return True
        node = node.parent
    return False


def _same(one: exp.Identifier, other: exp.Identifier) -> bool:
    if one.name == other.name:
        return True
    quoted = one.args.get("quoted") or other.args.get("quoted")
    return not quoted and one.name.casefold() == other.name.casefold()


def _is_plain(scope: Node) -> bool:
    """Whether the scope consists of parts whose meaning for its WHERE is known."""
    odd = [name for name, part in scope.args.items() if part and not _SCOPE.fullmatch(name)]
    return not odd and not any(
        column.args.get("join_mark") for column in scope.find_all(exp.Column)
    )


def _is_plain_table(mention: exp.Table) -> bool:
    alias = mention.args.get("alias")
    odd = {name for name, part in mention.args.items() if part} - _TABLE_ARGS
    renamed = alias is not None and alias.args.get("columns")
    return not odd and not renamed


def _is_plain_join(join: Node) -> bool:
    return join.args.get("method") in (None, "", "NATURAL") and join.kind in _JOIN_KINDS


def _sources(scope: Node) -> Iterator[Node]:
    """Give what a scope joins: mentions of tables, whatever else stands among them, and odd joins."""
    from_ = _part(scope, "from")
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
        yield from _flat(inner)  # only brackets
    else:
        yield source
    yield from _joined_to(source)


def _joined_to(source: Node) -> Iterator[Node]:
    for join in source.args.get("joins") or ():
        yield from _flat(join.this)
        if not _is_plain_join(join):
            yield join
    yield from source.args.get("laterals") or ()


def _operands(condition: Node, operator: type[exp.And] | type[exp.Or]) -> Iterator[Node]:
    """Give what AND or OR joins, brackets left out; a condition of another kind is all there is."""
    ahead = [condition]
    while ahead:
        each = ahead.pop()
        if isinstance(each, operator):
            ahead += (each.expression, each.this)
        elif isinstance(each, exp.Paren):
            ahead.append(each.this)
        else:
            yield each


def _equality(conjunct: Node) -> tuple[str, Equals] | None:
    """Read a condition on one column; alternatives that are all of the same are one on their values."""
    said = [_comparison(each) for each in _operands(conjunct, exp.Or)]
    known = [each for each in said if each is not None]
    places = {(table, equals.column) for table, equals in known}
    if len(known) < len(said) or len(places) > 1:
        return None
    ((table, column),) = places
    return table, Equals(column, tuple(value for _, equals in known for value in equals.values))


def _comparison(conjunct: Node) -> tuple[str, Equals] | None:
    """Read `table.column = value` or `IN (values)`; the table is empty where it is not said."""
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
    values = [value for each in given if (value := _value(each)) is not None]
    if len(values) < len(given):
        return None
    return column.table.casefold(), Equals(column.name.casefold(), tuple(values))


_SLOT = re.compile(r"c(\d+)")


def _value(node: Node) -> Value | None:
    """Read a value that is given as it is; None for one that the database works out."""
    cast: Kind | None = None
    if type(node) is exp.Cast:
        to = node.args["to"]
        cast = _CASTS.get(to.this)
        if cast is None or to.expressions:
            return None
        node = node.this
    if isinstance(node, exp.Placeholder):
        slot = _SLOT.fullmatch(node.name)
        return Slot(int(slot[1]), cast) if slot else None
    if cast is not None:
        return None
    if isinstance(node, exp.Null):
        return Constant(None)
    if isinstance(node, exp.Literal):
        if node.is_string:
            return Constant(node.name) if not set("%\\'") & set(node.name) else None
        return Constant(int(node.name)) if node.name.isdecimal() else None
    return None


def _set_columns(node: exp.Update) -> tuple[str, ...] | None:
    columns = []
    for each in node.expressions:
        if not isinstance(each, exp.EQ) or not isinstance(each.this, exp.Column):
            return None
        columns.append(each.this.name.casefold())
    return tuple(columns)
