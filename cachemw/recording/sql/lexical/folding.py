"""Folding of lists whose members look alike.

Applications send one statement with lists of every length. Each length would be another text, and long
lists would take the parser long. So members that look alike become one:

- placeholders in a list after `IN` or `ARRAY`, and rows of them;
- rows of `VALUES`, and branches of `CASE`;
- alternatives joined by `OR`.

The values that they stand for stay known: the placeholder that is left stands for all of theirs. Members
with values that are written in the text are folded only where there are more than `_MANY`, and their
values are not known any more. So a row of them has one column too many afterwards: that says that it is
not known how many rows there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["MARK", "NAME", "STRING", "UNKNOWN_VALUE", "Item", "Key", "fold"]

Key = int | str
"""The place of a value in a statement's parameters: its position, or its name."""
Item = tuple[Key, ...] | str
"""What a stand-in in a text stands for: parameters, or a quoted text."""

MARK, STRING, NAME = "\x00", "\x02", "\x03"
"""Stand-ins in a text for a placeholder, a string and a quoted name."""
UNKNOWN_VALUE = "'%'"
"""A string in place of one whose value is not known: databases differ in what `%` means in a string."""

_MANY = 64
"""Most members that are looked at one by one. That is also the most rows that are known by their keys."""

_MOST_MEMBERS = 25_000
"""Most members of a list with values in the text, or of alternatives: more take longer than 0.1 s."""

_STAND_IN = re.compile(f"[{MARK}{STRING}{NAME}]")
_ALIKE = re.compile(
    rf"""(?P<list> \b(?:IN\s*+\(|ARRAY\s*+\[)\s*+ ) (?P<item> {MARK}(?:::\w++)? )
        (?:\s*+,\s*+(?P=item))++ \s*+[)\]]
      |(?P<rows> \b(?:VALUES|IN\s*+\()\s*+ ) (?P<row> \([^()]*+\) ) (?:\s*+,\s*+(?P=row))++
      |(?P<when> \bWHEN\s\([^()]*+\)\sTHEN\s{MARK}(?:::\w++)?\s ) (?P=when)++""",
    re.VERBOSE | re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.$])\d++(?:\.\d*+)?(?:[eE][+-]?\d++)?(?![\w.])")
_LITERALS = re.compile(
    rf"(?:{_NUMBER.pattern}|{STRING})(?:\s*+,\s*+(?:{_NUMBER.pattern}|{STRING})){{{_MANY},}}+"
)
_ROWS = re.compile(r"\)\s*+,\s*+\(")
_OR = re.compile(r"\bOR\b", re.IGNORECASE)
_CLAUSE = re.compile(
    r"\b(?:SELECT|FROM|WHERE|ON|HAVING|UNION|EXCEPT|INTERSECT|CASE|WHEN|THEN|ELSE|END)\b", re.I
)


def fold(text: str, items: list[Item]) -> tuple[str, list[Item]]:
    """Return the text with its lists folded, and what its stand-ins stand for."""
    text, items = _fold_alike(text, items)
    text, items = _fold_literals(text, items)
    text, items = _fold_members(text, items, _ROWS)
    return _fold_members(text, items, _OR)


def _fold_alike(text: str, items: list[Item]) -> tuple[str, list[Item]]:
    folded: list[Item] = []
    taken = 0
    at = 0
    pieces: list[str] = []
    for run in _ALIKE.finditer(text):
        before = len(_STAND_IN.findall(text, at, run.start()))
        folded += items[taken : taken + before]
        taken += before
        own = items[taken : taken + len(_STAND_IN.findall(run.group()))]
        taken += len(own)
        pieces += (text[at : run.start()], _fold_run(run, own, folded))
        at = run.end()
    return "".join((*pieces, text[at:])), folded + items[taken:]


def _fold_run(run: re.Match[str], own: list[Item], folded: list[Item]) -> str:
    """Return the text of a run of members, folded where they are alike, and add its items."""
    one = run["item"] or run["row"] or run["when"]
    every = len(_STAND_IN.findall(one))
    merged = [_merged(own[nth::every]) for nth in range(every)]
    if MARK not in one or None in merged:
        folded += own
        return run.group()
    folded += [each for each in merged if each is not None]
    start = run["list"] or run["rows"] or ""
    return start + one + (run.group()[-1] if run["list"] else "")


def _merged(items: list[Item]) -> Item | None:
    """Return what stands for all of these; None where they are strings that differ."""
    if isinstance(items[0], tuple):
        return tuple(key for each in items for key in each)
    return items[0] if len(set(items)) == 1 else None


def _fold_literals(text: str, items: list[Item]) -> tuple[str, list[Item]]:
    """Fold long lists of numbers and strings into one value that is not known."""
    folded: list[Item] = []
    taken = 0
    at = 0
    pieces: list[str] = []
    for run in _LITERALS.finditer(text):
        before = len(_STAND_IN.findall(text, at, run.start()))
        folded += (*items[taken : taken + before], UNKNOWN_VALUE)
        taken += before + run.group().count(STRING)
        pieces += (text[at : run.start()], STRING)
        at = run.end()
    return "".join((*pieces, text[at:])), folded + items[taken:]


# -- rows and alternatives ---------------------------------------------------------------------------

_Member = tuple[str, list[Item]]


def _fold_members(
    text: str, items: list[Item], separator: re.Pattern[str]
) -> tuple[str, list[Item]]:
    """Fold rows or alternatives that have a neighbour of their own kind on both sides.

    The first and the last of them stay: what stands before and behind them is part of them here.
    """
    parts = separator.split(text)
    if not 4 <= len(parts) <= _MOST_MEMBERS:
        return text, items
    whole = {part: _is_whole(part) for part in set(parts)}
    members = list(_with_items(parts, items))
    joint = "), (" if separator is _ROWS else " OR "
    kept: list[_Member] = [members[0]]
    run: list[_Member] = []
    for member in members[1:-1]:
        if whole[member[0]]:
            run.append(member)
        else:
            kept += (*_fold_neighbours(run, separator), member)
            run = []
    kept += (*_fold_neighbours(run, separator), members[-1])
    return joint.join(part for part, _ in kept), [item for _, own in kept for item in own]


def _with_items(parts: list[str], items: list[Item]) -> Iterator[_Member]:
    taken = 0
    for part in parts:
        number = len(_STAND_IN.findall(part))
        yield part, items[taken : taken + number]
        taken += number


def _is_whole(part: str) -> bool:
    """Tell whether a text is all of a member: its brackets are closed, and no clause begins in it."""
    depth = 0
    for bracket in re.findall(r"[()]", part):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return False
    return depth == 0 and not _CLAUSE.search(part)


def _fold_neighbours(run: list[_Member], separator: re.Pattern[str]) -> list[_Member]:
    """Fold the members of a run that are alike; if there are many, whatever values they have."""
    many = len(run) > _MANY
    found: dict[tuple[object, ...], list[_Member]] = {}
    for part, items in run:
        member = _without_numbers(part, items) if many else (part, items)
        stand_ins = _STAND_IN.findall(member[0])
        fixed = [
            item
            for stand_in, item in zip(stand_ins, member[1], strict=True)
            if stand_in == NAME or (stand_in == STRING and not many)
        ]
        found.setdefault((" ".join(member[0].split()), *fixed), []).append(member)
    return [_fold_member(alike, is_row=separator is _ROWS) for alike in found.values()]


_VALUE = re.compile(f"{_STAND_IN.pattern}|{_NUMBER.pattern}")


def _without_numbers(part: str, items: list[Item]) -> _Member:
    """Replace numbers by values that are not known."""
    own = iter(items)
    replaced: list[Item] = []

    def replace(value: re.Match[str]) -> str:
        known = value.group() in (MARK, STRING, NAME)
        replaced.append(next(own) if known else UNKNOWN_VALUE)
        return value.group() if known else STRING

    return _VALUE.sub(replace, part), replaced


def _fold_member(alike: list[_Member], *, is_row: bool) -> _Member:
    part, items = alike[0]
    if len(alike) == 1:
        return part, items
    merged: list[Item] = [
        _merged(list(each)) or UNKNOWN_VALUE
        for each in zip(*(own for _, own in alike), strict=True)
    ]
    if is_row and MARK not in part:
        return f"{STRING}, {part}", [UNKNOWN_VALUE, *merged]
    return part, merged
