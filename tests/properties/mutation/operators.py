"""The changes that are tried, one at a time, on the syntax tree of a module."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

__all__ = ["Mutant", "mutants"]

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
CALLS = {"max": "min", "min": "max", "any": "all", "all": "any"}
NOT_TRIED = ("annotation", "returns", "decorator_list", "args", "bases", "type_params")
"""Parts of a function, class or assignment that hold types, or that run before a mutant is in place."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change in one module."""

    module: str
    line: int
    function: str
    """The qualified name of the function that is changed; empty for a constant of the module."""
    before: str
    after: str
    code: CodeType
    """The whole module with the change."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names this mutant when lines move."""
        return self.module, self.function, self.before, self.after


def mutants(module: str, source: str, path: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source, path)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            yield from _within(module, path, tree, statement, statement.name)
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, ast.FunctionDef):
                    name = f"{statement.name}.{member.name}"
                    yield from _within(module, path, tree, member, name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from _within(module, path, tree, statement, "")


def _within(
    module: str, path: str, tree: ast.Module, top: ast.stmt, function: str
) -> Iterator[Mutant]:
    if isinstance(top, ast.Assign):
        alias = isinstance(top.value, ast.Subscript)  # of a type
        if alias or (isinstance(top.targets[0], ast.Name) and top.targets[0].id == "__all__"):
            return
    answers_bool = isinstance(top, ast.FunctionDef) and ast.unparse(top.returns or top) == "bool"
    for parent, field, index, node in list(_places(top)):
        for changed in _changes(node, answers_bool):
            ast.copy_location(changed, node)
            _put(parent, field, index, changed)
            code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
            _put(parent, field, index, node)
            before, after = _text(node), _text(changed)
            if isinstance(node, ast.Constant):
                before, after = _with_parent(parent, field, index, changed, (before, after))
            yield Mutant(module, getattr(node, "lineno", 0), function, before, after, code)


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield every node below, with the place in its parent."""
    for field, value in ast.iter_fields(node):
        if field in NOT_TRIED and isinstance(node, ast.stmt | ast.arg):
            continue
        if isinstance(value, ast.AST):
            yield node, field, None, value
            yield from _places(value)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST) and not _is_silent(each):
                    yield node, field, index, each
                    yield from _places(each)


def _is_silent(node: ast.AST) -> bool:
    """Tell whether a statement is a docstring or an error whose text no test need compare."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Assert)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _with_parent(
    parent: ast.AST, field: str, index: int | None, changed: ast.AST, alone: tuple[str, str]
) -> tuple[str, str]:
    """Return a constant's texts with what it is part of: a function may have many zeros."""
    node = getattr(parent, field) if index is None else getattr(parent, field)[index]
    before = _text(parent)
    _put(parent, field, index, changed)
    after = _text(parent)
    _put(parent, field, index, node)
    return (before, after) if max(len(before), len(after)) <= _LONGEST else alone


_LONGEST = 100
"""Characters of what a constant is part of. Longer texts do not help to find it."""


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split())


def _changes(node: ast.AST, answers_bool: bool) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, answers_bool)
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                changed = copy.deepcopy(node)
                changed.ops[index] = other()
                yield changed
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        for index in range(len(node.values)):
            rest = node.values[:index] + node.values[index + 1 :]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.Set | ast.List | ast.Tuple | ast.Dict):
        yield from _of_collection(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield ast.Call(ast.Name(CALLS[node.func.id], ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield ast.comprehension(node.target, node.iter, [], node.is_async)


def _of_statement(node: ast.stmt, answers_bool: bool) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return) and node.value is not None:
        for value in (True, False) if answers_bool else (None,):
            if ast.unparse(node.value) != str(value):
                yield ast.Return(ast.Constant(value))
    elif isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif _has_effect(node):
        yield ast.Pass()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    if isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
        yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)


def _has_effect(node: ast.stmt) -> bool:
    """Tell whether a statement changes anything but a local name."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name | ast.Tuple)
    return isinstance(node, ast.Expr | ast.AugAssign | ast.Delete | ast.Raise)


def _of_constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "X")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"X")


def _of_collection(node: ast.Set | ast.List | ast.Tuple | ast.Dict) -> Iterator[ast.AST]:
    """Leave one element out."""
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    values = node.values if isinstance(node, ast.Dict) else node.elts
    for index in range(len(values)):
        changed = copy.deepcopy(node)
        if isinstance(changed, ast.Dict):
            del changed.keys[index], changed.values[index]
        else:
            del changed.elts[index]
            if isinstance(changed, ast.Set) and not changed.elts:
                continue
        yield changed
