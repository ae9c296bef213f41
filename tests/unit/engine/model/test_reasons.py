"""Reasons: every word that the code gives has a sentence, and every sentence is for a word."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from cachemw.engine.model.reasons import FORWARDED, NOT_KEPT
from tests.support.imports import MODULES

Argument = tuple[int, str]
"""The place and the name of an argument."""

NOT_STORED_BY: Mapping[str, Argument] = {
    "Refused": (0, "reason"),
    "refuse": (2, "reason"),
    "fail": (2, "reason"),
    "stop": (0, "reason"),
    "refused": (1, "reason"),
    "spoil": (0, "reason"),
}
"""Functions that say why a response is not stored, and in which argument."""

FORWARDED_BY: Mapping[str, Argument] = {
    "Bypass": (1, "reason"),
    "Forward": (2, "reason"),
    "Content": (1, "fault"),
    "_bypass": (2, "reason"),
    "_forward": (4, "reason"),
    "_forwarded": (3, "reason"),
    "_alone": (4, "reason"),
    "forward_past": (2, "reason"),
}
"""Functions that say why a request is forwarded."""

RETURN_WHY_NOT_STORED = {
    "cachemw.http.storing": {"_refusal", "_refusal_of_personal"},
    "cachemw.engine.keeping.storing": {"_unusable_part", "refusal"},
}
RETURN_WHY_FORWARDED = {
    "cachemw.engine.privacy.bypass": {"bypass_reason"},
    "cachemw.engine.request.bodies": {"body_reason", "_why_unread"},
    "cachemw.engine.request.keying": {"_misplaced"},
    "cachemw.engine.flows.on_request": {"_why_alone", "_why_missed"},
}
"""By module: functions that return a reason or None."""

OTHER_MEANINGS = ("cachemw.testing", "cachemw.cli", "cachemw.ops")
"""Where these names are other functions."""


def texts(node: ast.AST | None) -> Iterator[str]:
    """Yield the strings that an expression may be; those that it only compares are none of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value)


def given(to: Mapping[str, Argument]) -> Iterator[tuple[str, str]]:
    """Yield the strings that are given to functions, and the modules where that is."""
    for module, tree in MODULES.items():
        if module.startswith(OTHER_MEANINGS):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in to:
                continue
            place, keyword = to[name]
            named = [each.value for each in node.keywords if each.arg == keyword]
            for argument in named or node.args[place : place + 1]:
                yield from ((text, module) for text in texts(argument))


def returned(by: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield the strings that functions return, and their modules."""
    for module, names in by.items():
        functions = {
            node.name: node
            for node in ast.walk(MODULES[module])
            if isinstance(node, ast.FunctionDef) and node.name in names
        }
        assert functions.keys() == names, module
        for function in functions.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    yield from ((text, module) for text in texts(node.value))


def counted_as_not_stored() -> Iterator[tuple[str, str]]:
    """Yield what is counted as not stored for another reason than what the response says."""
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and len(node.args) == 2:
                event, reason = node.args
                if "not_stored" in texts(event):
                    yield from ((text, module) for text in texts(reason))


def looked_up() -> Iterator[tuple[str, str]]:
    """Yield the reasons of headers, which are in a table."""
    module = "cachemw.engine.privacy.bypass"
    for node in MODULES[module].body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for value in node.value.values:
                yield from ((text, module) for text in texts(value))


WHY_NOT_STORED = sorted(
    {*given(NOT_STORED_BY), *returned(RETURN_WHY_NOT_STORED), *counted_as_not_stored()}
)
WHY_FORWARDED = sorted({*given(FORWARDED_BY), *returned(RETURN_WHY_FORWARDED), *looked_up()})


@pytest.mark.parametrize(("word", "module"), WHY_NOT_STORED)
def test_every_reason_not_to_store_has_a_sentence(word: str, module: str) -> None:
    assert word in NOT_KEPT, f"{module} gives a reason that `reasons.NOT_KEPT` does not explain"


@pytest.mark.parametrize(("word", "module"), WHY_FORWARDED)
def test_every_reason_to_forward_has_a_sentence(word: str, module: str) -> None:
    assert word in FORWARDED, f"{module} gives a reason that `reasons.FORWARDED` does not explain"


def test_every_sentence_is_for_a_reason_that_is_given() -> None:
    """Where this fails for a new reason, the lists above lack the function that gives it."""
    assert NOT_KEPT.keys() - {word for word, _ in WHY_NOT_STORED} == set()
    assert FORWARDED.keys() - {word for word, _ in WHY_FORWARDED} == set()
