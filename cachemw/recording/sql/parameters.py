"""The values of a statement's placeholders, in the spelling that tags use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachemw.recording.sql.observed import Constant, Equals, Kind, Observed, Placeholder, Value
from cachemw.recording.sql.rows import MAX_ROWS, Table, spell

__all__ = ["ParameterValues", "Parameters"]

Parameters = Sequence[Any] | Mapping[str, Any] | None


class ParameterValues:
    """The values that one execution of a statement was given."""

    __slots__ = ("_groups", "_params", "matched")

    def __init__(self, observed: Observed, params: Parameters) -> None:
        self._groups = observed.groups
        self._params: Any = params
        self.matched = observed.count >= 0 and (
            observed.count == 0
            or isinstance(params, Mapping)
            or (isinstance(params, list | tuple) and len(params) == observed.count)
        )
        """Whether it is sure which parameter each placeholder stands for. If we had missed one
        placeholder, every value after it would be taken for another (I5)."""

    def spell_condition(self, equals: Equals, table: Table) -> list[str] | None:
        """Spell all values of a condition; None where one is not sure, or there are too many."""
        kind = table.kinds.get(equals.column)
        spelt: list[str] = []
        for value in equals.values:
            for each in self._spell(value, kind):
                if each is None or len(spelt) == MAX_ROWS:
                    return None
                spelt.append(each)
        return spelt

    def _spell(self, value: Value, kind: Kind | None) -> Iterator[str | None]:
        """Spell a constant, or every value of a placeholder; None for each that is not sure."""
        if isinstance(value, Constant):
            yield spell(kind, value.value)
        elif not self.matched or value.cast not in (None, kind):
            yield None
        else:
            for key in self._groups[value.group]:
                yield spell(kind, self._look_up(key))

    def _look_up(self, key: int | str) -> object:
        try:
            return self._params[key]
        except (KeyError, IndexError, TypeError):
            return ...

    def row_count(self, row: tuple[Value | None, ...]) -> int:
        """Return how many rows of `VALUES` were folded into this one."""
        groups = (self._groups[each.group] for each in row if isinstance(each, Placeholder))
        return max(map(len, groups), default=1)

    def of_row(self, value: Value | None, number: int, kind: Kind | None) -> object:
        """Return the value of one row of those that were folded; `...` where it is not known."""
        if isinstance(value, Constant):
            return value.value
        if value is None or value.cast not in (None, kind):
            return ...
        return self._look_up(self._groups[value.group][number])
