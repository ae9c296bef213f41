"""Analysis of the syntax tree of a statement: what it reads and writes.

A statement that cannot be understood is opaque: it may read and write anything. A function that the
parser does not know may read anything, and where a statement is there only to call it (`SELECT f()`,
`FROM f()`), it may write anything too.

Every mention of a table is read, but for the table that an INSERT, UPDATE or DELETE writes. Of that one,
the statement returns rows only with RETURNING. In doubt a name is a table's, and not one of a common
table expression (WITH).
"""

from __future__ import annotations

import re
from typing import Literal

from sqlglot import exp

from cachemw.recording.sql.conditions import Node, part, restrictions, sources, value_of
from cachemw.recording.sql.observed import OPAQUE, Equals, Observed, Read, Write

__all__ = ["understand"]


def understand(root: Node, *, replaces: bool) -> Observed:
    """Return what a statement reads and writes.

    `replaces`: the statement was a `REPLACE`, and its INSERT may delete rows that are in its way.
    """
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
"""Functions that read and write no table of the application, among those the parser does not know."""


class _Tree:
    """The syntax tree of one statement."""

    def __init__(self, root: Node, replaces: bool) -> None:
        self._root = root
        self._replaces = replaces
        self._equals: dict[int, tuple[Equals, ...]] = {}
        """The conditions on the rows of each mention of a table, by the mention's `id()`."""
        self._targets: set[int] = set()
        """The mentions that are written and not read."""

    def observed(self) -> Observed:
        """Return what the statement reads and writes."""
        root = self._root
        if not isinstance(root, _ROOTS) or root.find(exp.Command):
            return OPAQUE
        for scope in root.find_all(exp.Select, exp.Update, exp.Delete):
            self._equals |= restrictions(scope)
        writes: list[Write] = []
        for node in root.find_all(
            exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable, exp.Into
        ):
            if isinstance(
                node.parent, exp.When
            ):  # an action of MERGE; the whole MERGE is looked at instead
                continue
            written = self._writes(node)
            if written is None:
                return OPAQUE
            writes += written
        called = self._calls_unknown()
        reads = self._reads()
        if called == "procedure" or reads is None:
            return OPAQUE
        return Observed(tuple(reads), tuple(writes), unknown_read=bool(called))

    def _calls_unknown(self) -> Literal["", "function", "procedure"]:
        """Return `function` where one is called that may read any table, `procedure` where it may write."""
        found: Literal["", "function", "procedure"] = ""
        for call in self._root.find_all(exp.Anonymous, exp.AnonymousAggFunc):
            if _PURE.fullmatch(call.name):
                continue
            select = call.find_ancestor(exp.Select)
            place = call.find_ancestor(exp.Table, exp.Lateral, exp.Select)
            if isinstance(place, exp.Table | exp.Lateral):  # FROM f(…)
                return "procedure"
            if select is not None and part(select, "from") is None:  # SELECT f(…)
                return "procedure"
            found = "function"
        return found

    # -- reads -----------------------------------------------------------------------------------

    def _reads(self) -> list[Read] | None:
        """Return every mention of a table that is read; None where one cannot be understood."""
        found: dict[Read, None] = {}
        for mention in self._root.find_all(exp.Table):
            if id(mention) in self._targets or _is_cte(mention):
                continue
            if isinstance(mention.parent, exp.Lock):  # FOR UPDATE OF
                continue
            if isinstance(
                mention.this, exp.Func
            ):  # a function that the parser knows, or one of `_PURE`
                continue
            if not isinstance(mention.this, exp.Identifier):
                return None
            found[Read(mention.name.casefold(), self._equals.get(id(mention), ()))] = None
        return list(found)

    # -- writes ----------------------------------------------------------------------------------

    def _writes(self, node: Node) -> list[Write] | None:
        """Return what one part of the statement writes; None where that is not known."""
        if isinstance(node, exp.TruncateTable):
            option = node.args.get("option")
            tables = None if option == "CASCADE" else node.expressions
        elif isinstance(node, exp.Delete) and node.args.get("tables"):
            tables = [*node.args["tables"], *sources(node)]  # the former may be aliases
        elif isinstance(node, exp.Update) and node.this.args.get("joins"):
            tables = list(sources(node))
        elif isinstance(node, exp.Insert):
            return self._insert(node)
        elif isinstance(node, exp.Update | exp.Delete):
            return self._update_or_delete(node)
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
        if _is_cte(mention):  # some databases write to its table
            return None
        self._targets.add(id(mention))
        return mention.name.casefold()

    def _update_or_delete(self, node: exp.Update | exp.Delete) -> list[Write] | None:
        table = self._target(node.this)
        if table is None:
            return None
        if node.args.get("returning"):
            self._targets.discard(id(node.this))
        equals = self._equals.get(id(node.this), ())
        if isinstance(node, exp.Delete):
            return [Write(table, "delete", equals)]
        return [Write(table, "update", equals, _set_columns(node))]

    def _insert(self, node: exp.Insert) -> list[Write] | None:
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
        # Which rows are inserted is not known, but no column of an existing row is set.
        if not isinstance(schema, exp.Schema) or not isinstance(values, exp.Values):
            return [Write(table, "update", columns=())]
        columns = tuple(each.name.casefold() for each in schema.expressions)
        rows = tuple(tuple(map(value_of, row.expressions)) for row in values.expressions)
        if any(len(row) != len(columns) for row in rows):
            return [Write(table, "update", columns=())]
        return [Write(table, "insert", columns=columns, rows=rows)]


# -- names and columns -----------------------------------------------------------------------------


def _is_cte(mention: exp.Table) -> bool:
    """Tell whether a name is surely that of a common table expression (WITH)."""
    if mention.args.get("db") or not isinstance(mention.this, exp.Identifier):
        return False
    inside: list[int] = []
    node = mention.parent
    while node is not None:
        if isinstance(node, exp.CTE):
            inside.append(id(node))
        elif with_ := part(node, "with"):
            for cte in with_.expressions:
                if id(cte) in inside:  # its own name, and the later ones, are not visible in it
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


def _set_columns(node: exp.Update) -> tuple[str, ...] | None:
    columns = []
    for each in node.expressions:
        if not isinstance(each, exp.EQ) or not isinstance(each.this, exp.Column):
            return None
        columns.append(each.this.name.casefold())
    return tuple(columns)
