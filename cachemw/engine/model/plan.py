"""Plans: everything about a target that is worked out once, and what a plan weighs."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from cachemw.engine.model.entry import Key
from cachemw.engine.model.routes import Extra, RouteState
from cachemw.http.fields import Pair, cookie_pairs
from cachemw.http.vary import Selecting

__all__ = ["Plan", "weigh", "weigh_other", "weigh_variant"]

_VARIANTS = 64
"""Plans kept per target for different watched fields; beyond it the slow path works them out."""


class Plan(Struct, kw_only=True, eq=False):
    """A target's route and key for a request without watched fields, and its plans for others."""

    route: RouteState
    key: Key
    query: bytes
    """The query as the route reads it."""
    tags: tuple[str, ...]
    others: dict[tuple[tuple[bytes, bytes], ...], Plan] | None = None
    """Made when first needed, like `variants`: most targets have neither, and there are many."""
    variants: dict[Selecting, Key] | None = None
    """Selecting values -> key, for responses that vary."""

    def select(self, extra: Extra) -> Plan | None:
        """Give the plan for a request that carries these watched fields, if it is known."""
        reduced = self._reduce(extra)
        if not reduced:
            return self
        return None if self.others is None else self.others.get(reduced)

    def remember(self, extra: Extra, plan: Plan) -> None:
        """Keep the plan for these watched fields."""
        if self.others is None or len(self.others) >= _VARIANTS:
            self.others = {}
        self.others[self._reduce(extra)] = plan

    def _reduce(self, extra: Extra) -> tuple[tuple[bytes, bytes], ...]:
        """Leave out what the route does not read: most often a browser's whole Cookie field."""
        route = self.route
        if route.identity is not None:
            return tuple(extra)
        reduced = [pair for pair in extra if pair[0] not in route.unread]
        if cookies := route.cookies:
            lines = [value for name, value in extra if name == b"cookie"]
            reduced += [(b"cookie", b"=".join(pair)) for pair in cookie_pairs(lines, cookies)]
        return tuple(reduced)


# Bytes of objects and places in dicts, measured with tracemalloc (see tests/engine/test_memo.py).
_PLAN = 200
_TAG = 56
_LONGEST_TAG = 256
_OTHER = 450
_KEY = 250


def weigh(plan: Plan) -> int:
    """Estimate the bytes that the memo holds for a plan, its target and all that hangs on them.

    The full key stands for the target and for the tags too, which are made of the same parts.
    """
    size = len(plan.key.full)
    # The route's families are shared by all its plans.
    own = len(plan.tags) - len(plan.route.families or ())
    weight = _PLAN + 2 * size + own * (_TAG + min(size, _LONGEST_TAG))
    if plan.others:
        for extra, other in plan.others.items():
            weight += weigh_other(extra, other)
            weight += sum(map(weigh_variant, (other.variants or {}).values()))
    if plan.variants:
        weight += sum(map(weigh_variant, plan.variants.values()))
    return weight


def weigh_other(extra: Iterable[Pair], plan: Plan) -> int:
    """Estimate the bytes of a plan for these watched fields, beside the target's own."""
    return _OTHER + len(plan.key.full) + sum(len(value) for _, value in extra)


def weigh_variant(key: Key) -> int:
    """Estimate the bytes of a variant's key and of the fields' values that it is found by."""
    return _KEY + 2 * len(key.full)
