"""Analysis of the syntax tree of a statement: what tables it reads and writes.

What its functions do is not looked at here: see `functions.language`.

Every mention of a table is read, but for the table that an INSERT, UPDATE or DELETE writes. Of that one,
the statement returns rows only with RETURNING. In doubt a name is a table's, and not one of a common
table expression (WITH).
"""

from __future__ import annotations

from collections import Counter

from sqlglot import exp

from cachemw.recording.sql.conditions import Node, part, restrictions, sources, value_of
from cachemw.recording.sql.observed import OPAQUE, Equals, Observed, Read, Write

__all__ = ["count_aliases", "count_changes", "understand"]


def understand(root: Node, dialect: str | None, *, replaces: bool) -> Observed | None:
    """Return what a statement reads and writes; None where it is not understood.

    `replaces`: rows that are in the way of new or changed ones are deleted.
    """
    return _Tree(root, dialect, replaces).observed()


def count_aliases(root: Node) -> Counter[str]:
    """Return how often each name is an alias of a source with names for its columns."""
    return Counter(
        each.name.lower()
        for each in root.find_all(exp.TableAlias)
        if each.args.get("columns") and not isinstance(each.parent, exp.CTE)
    )


def count_changes(root: Node) -> int:
    """Return the number of parts that change rows; of MERGE, its actions are none."""
    return sum(1 for each in root.find_all(*_CHANGES) if not isinstance(each.parent, exp.When))


_ROOTS = (
    exp.Select,
    exp.SetOperation,
    exp.Subquery,
    exp.Values,
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
)
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


class _Tree:
    """The syntax tree of one statement."""

    def __init__(self, root: Node, dialect: str | None, replaces: bool) -> None:
        self._root = root
        self._dialect = dialect
        self._replaces = replaces
        self._equals: dict[int, tuple[Equals, ...]] = {}
        """The conditions on the rows of each mention of a table, by the mention's `id()`."""
        self._targets: set[int] = set()
        """The mentions that are written and not read."""

    def observed(self) -> Observed | None:
        """Return what the statement reads and writes; None where it is not understood."""
        root = self._root
        if not isinstance(root, _ROOTS) or root.find(exp.Command):
            return None
        for scope in root.find_all(exp.Select, exp.Update, exp.Delete):
            self._equals |= restrictions(scope)
        writes: list[Write] = []
        for node in root.find_all(*_CHANGES, exp.Into):
            if isinstance(node.parent, exp.When):
                continue  # an action of MERGE; the whole MERGE is looked at instead
            if isinstance(node, exp.Into) and self._dialect == "mysql":
                continue  # into a variable or a file
            written = self._writes(node)
            if written is None:
                return OPAQUE
            writes += written
        reads = self._reads()
        return None if reads is None else Observed(tuple(reads), tuple(writes))

    # -- reads -----------------------------------------------------------------------------------

    def _reads(self) -> list[Read] | None:
        """Return every mention of a table that is read; None where one cannot be understood."""
        found: dict[Read, None] = {}
        for mention in self._root.find_all(exp.Table):
            if id(mention) in self._targets or _is_cte(mention):
                continue
            if isinstance(mention.parent, exp.Lock):  # FOR UPDATE OF
                continue
            if isinstance(mention.this, exp.Func) or mention.args.get("rows_from"):
                continue
            if isinstance(mention.parent, exp.Into):  # a variable of MySQL
                continue
            if not isinstance(mention.this, exp.Identifier):
                return None
            found[Read(mention.name.casefold(), self._equals.get(id(mention), ()))] = None
        for condition in self._root.find_all(exp.In):
            if isinstance(
                table := condition.args.get("field"), exp.Column
            ):  # `IN table`, in SQLite
                found[Read(table.name.casefold())] = None
        return list(found)

    # -- writes ----------------------------------------------------------------------------------

    def _writes(self, node: Node) -> list[Write] | None:
        """Return what one part of the statement writes; None where that is not known."""
        if isinstance(node, exp.Delete) and node.args.get("tables"):
            tables = [*node.args["tables"], *sources(node)]  # the former may be aliases
        elif isinstance(node, exp.Update) and node.this.args.get("joins"):
            # Of what MySQL joins, only tables can be updated.
            tables = [each for each in sources(node) if not _is_derived(each)]
        elif isinstance(node, exp.Update | exp.Delete) and (named := _named_by_alias(node)):
            tables = [node.this, *named]
        elif isinstance(node, exp.Insert):
            return self._insert(node)
        elif isinstance(node, exp.Update | exp.Delete):
            return self._update_or_delete(node)
        else:
            tables = [node.this]
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
        if self._replaces:
            return [Write(table, "whole")]
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


def _is_derived(source: Node) -> bool:
    """Tell whether a source is a subquery, or surely the name of a common table expression."""
    return isinstance(source, exp.Subquery) or (isinstance(source, exp.Table) and _is_cte(source))


def _named_by_alias(node: exp.Update | exp.Delete) -> list[Node]:
    """Return what SQL Server writes to where a statement names its table by an alias."""
    name = node.this.name.casefold()
    others = [each for each in sources(node) if each is not node.this]
    return [
        each
        for each in others
        if isinstance(each, exp.Table | exp.Subquery) and each.alias_or_name.casefold() == name
    ]


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
