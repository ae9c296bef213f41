"""Plans: everything about a target that is worked out once, and an estimate of a plan's size.

A *target* is what the request line and the Host name. Its plan has the route and the key of a plain
request. Requests with watched headers have plans of their own, which hang on the target's plan (`others`).
The memo (`core.memo`) holds plans of targets, and counts their weight, in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from cachemw.engine.model.entry import Key
from cachemw.engine.model.routes import Extra, RouteState
from cachemw.http.fields import Pair
from cachemw.http.vary import Selecting

__all__ = ["Plan", "weigh", "weigh_other", "weigh_variant"]

_OTHERS = 64
"""Plans for watched headers that one target remembers. When there are more, they are made again (I4)."""


class Plan(Struct, kw_only=True, eq=False):
    """The route and key of a target, for a request without watched headers, and plans for the others."""

    route: RouteState
    key: Key
    query: bytes
    """The query as the route reads it."""
    tags: tuple[str, ...]
    others: dict[tuple[tuple[bytes, bytes], ...], Plan] | None = None
    """By watched headers. Made when needed, like `variants`: most of the many targets have neither."""
    variants: dict[Selecting, Key] | None = None
    """Keys of variants by selecting values, for responses that vary (see `model.variants`)."""

    def select(self, extra: Extra) -> Plan | None:
        """Return the plan for a request with these watched headers, if it is known."""
        reduced = self._reduce(extra)
        if not reduced:
            return None if reduced is None else self
        return None if self.others is None else self.others.get(reduced)

    def remember(self, extra: Extra, plan: Plan) -> bool:
        """Remember the plan for these watched headers; return False if it must not be remembered."""
        reduced = self._reduce(extra)
        if reduced is None:
            return False
        if self.others is None or len(self.others) >= _OTHERS:
            self.others = {}
        self.others[reduced] = plan
        return True

    def _reduce(self, extra: Extra) -> tuple[tuple[bytes, bytes], ...] | None:
        """Leave out what the route does not read: most often the whole Cookie header of a browser.

        None: by its cookies, no plan that is remembered may serve this request (I1).
        """
        route = self.route
        if route.identity is not None:
            return tuple(extra)
        reduced = [pair for pair in extra if pair[0] not in route.unread]
        cookies = route.cookies
        if cookies.looks and len(reduced) != len(extra):
            keyed = cookies.key([value for name, value in extra if name == b"cookie"])
            if keyed is None:
                return None
            reduced += [(b"cookie", b"=".join(pair)) for pair in keyed]
        return tuple(reduced)


# Bytes of objects and of their places in dicts, measured with tracemalloc; the tests of the memo compare.
_PLAN = 200
_TAG = 56
_LONGEST_TAG = 256
_OTHER = 450
_KEY = 250


def weigh(plan: Plan) -> int:
    """Return an estimate of the bytes that the memo holds for a plan, its target and its other plans.

    The size of the full key stands for the target and the tags too, which are made of the same parts.
    """
    size = len(plan.key.full)
    # All plans of a route share its families.
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
    """Return an estimate of the bytes of a plan for these watched headers."""
    size = _OTHER + len(plan.key.full) + sum(len(value) for _, value in extra)
    if plan.route.tag_headers:  # otherwise it shares the tags of its target
        size += len(plan.tags) * (_TAG + _LONGEST_TAG)
    return size


def weigh_variant(key: Key) -> int:
    """Return an estimate of the bytes of a variant's key and of its selecting values."""
    return _KEY + 2 * len(key.full)
