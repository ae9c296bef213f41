"""Vary: which of several stored responses for one target a request selects (RFC 9111 §4.1).

All of the logic of Vary is here. How it works:

- A response with a `Vary` header is stored in two places. Under the target's primary key there is a
  `VaryMarker`, which holds the names of the *selecting headers*. Under a key of its own there is the
  entry: this key is made of the primary key and of the request's value of each selecting header.
- A request that finds a marker reads these headers out of itself, makes the same key (`key_for`) and
  looks again. There is one marker for each primary key: the last stored response decides the names.
- Headers that the primary key holds already select nothing more; `selecting_names` leaves them out.
- A response with a content coding varies on `Accept-Encoding`, whatever it says (`http.vary`). Then the
  response without a coding for the same target is a variant too: otherwise it would take the marker's
  place, and the coded variants could not be found.
- Values of `Cookie`, and of headers that say who is asking, are replaced by keyed digests, because entries
  and their keys carry the selecting values into Redis (I1).
- Whether an entry that was found in another way (shared by a flight) is for this request is decided by
  comparing the values (`matches`).

Clients choose the values, so everything here is bounded (I4): the keys that a plan remembers, the
variants of one target (`max_variants` of its route), and the number of variants that are counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from cachemw.engine.model.entry import Entry, Item, Key, VaryMarker
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.plan import Plan, weigh_variant
from cachemw.engine.model.routes import RouteState
from cachemw.engine.privacy.bypass import CONDITIONAL, KEYED, REMOVED
from cachemw.http.fields import Fields, Pair
from cachemw.http.vary import ACCEPT_ENCODING, Selecting, selecting, varies_on

__all__ = ["VariantCounts", "Variants", "selecting_names", "selects_by"]

_NOT_FAST = REMOVED | CONDITIONAL
"""Selecting headers that the fast path must not read from the raw request: the application sees another
value of them, or none, and the variant is selected by what the application sees."""

_KEYS_PER_PLAN = 64
"""Keys of variants that one plan remembers. When there are more, they are made again."""


class Variants:
    """The variants of all targets: their keys, and how many of each target are stored."""

    def __init__(
        self,
        keys: KeyMaker,
        add_weight: Callable[[int], None],
        limit: int,
        identity_names: frozenset[bytes] = frozenset({b"authorization"}),
    ) -> None:
        """Count at most `limit` variants; `add_weight` is called for each key that a plan remembers.

        Of the cookies and of the headers `identity_names`, only keyed digests are stored.
        """
        self._concealed = identity_names | {b"cookie"}
        self._not_fast = self._concealed | _NOT_FAST
        self._keys = keys
        self._add_weight = add_weight
        self._counts = VariantCounts(limit)

    def values(self, names: tuple[bytes, ...], headers: Fields) -> Selecting:
        """Return a request's values of the selecting headers, with secrets concealed.

        `headers` are those that the application sees.
        """
        return tuple(
            # I1: the value travels in the entry and in its key, so a secret must not be in clear.
            (
                name,
                self._keys.conceal(value)
                if value is not None and name in self._concealed
                else value,
            )
            for name, value in selecting(names, headers)
        )

    def key_for(self, plan: Plan, marker: VaryMarker, headers: Fields) -> Key:
        """Return the key of the variant that a request selects, which found this marker."""
        return self.key_of(plan, self.values(marker.names, headers))

    def key_of(self, plan: Plan, values: Selecting) -> Key:
        """Return the key of the variant that these values select."""
        known = plan.variants
        if known is None or len(known) >= _KEYS_PER_PLAN:
            known = plan.variants = {}
        key = known.get(values)
        if key is None:
            key = self._keys.extend(plan.key, (part for pair in values for part in pair))
            known[values] = key
            self._add_weight(weigh_variant(key))
        return key

    def known_key(self, plan: Plan, marker: VaryMarker, headers: Sequence[Pair]) -> Key | None:
        """Return the key of the selected variant if the plan remembers it; make none.

        For the fast path, which has only the raw `headers` of the request.
        """
        if plan.variants is None or not self._not_fast.isdisjoint(marker.names):
            return None
        return plan.variants.get(selecting(marker.names, Fields(headers)))

    def matches(self, entry: Entry, headers: Fields) -> bool:
        """Tell whether a request with these headers selects this entry."""
        if not entry.vary:
            return True
        return self.values(tuple(name for name, _ in entry.vary), headers) == entry.vary

    def note(self, plan: Plan, key: Key) -> bytes | None:
        """Count a variant that is being stored.

        Return the digest of the oldest variant of its target if the target has too many now.
        """
        return self._counts.note(plan.key.digest, key.digest, plan.route.max_variants)

    def reset_after_fork(self) -> None:
        """Make the lock again: a thread of the parent process may have held it."""
        self._counts.reset_after_fork()


def selecting_names(route: RouteState, response: Fields, known: Item | None) -> tuple[bytes, ...]:
    """Return the names of the headers that select a response and that the key does not hold already.

    `known` is what is stored under the target's primary key.
    """
    names = varies_on(response)
    if isinstance(known, VaryMarker) and ACCEPT_ENCODING in known.names:
        names = tuple(sorted({*(names or ()), ACCEPT_ENCODING}))
    if not names:
        return ()
    keyed = KEYED | route.varies | {b"host"}
    if route.cookies.declared is not None:
        keyed |= {b"cookie"}
    return tuple(name for name in names if name not in keyed)


def selects_by(entry: Entry, header: bytes) -> bool:
    """Tell whether this request header selects an entry."""
    return any(name == header for name, _ in entry.vary)


class VariantCounts:
    """The digests of the variants that are stored, by target, oldest first.

    At most `limit` variants over all targets are counted, about 400 bytes for the first of a target and
    150 for each other. The targets that stored nothing for longest are forgotten first; then only
    eviction from the memory tier bounds their variants. Thread-safe.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._by_target: OrderedDict[bytes, dict[bytes, None]] = OrderedDict()
        self._count = 0
        self.reset_after_fork()

    def __len__(self) -> int:
        return self._count

    def reset_after_fork(self) -> None:
        """Make the lock again: a thread of the parent process may have held it."""
        self._lock = threading.Lock()

    def note(self, target: bytes, variant: bytes, most: int) -> bytes | None:
        """Count a variant that is being stored; return the oldest one if there are more than `most`."""
        with self._lock:
            variants = self._by_target.setdefault(target, {})
            self._by_target.move_to_end(target)
            before = len(variants)
            variants.pop(variant, None)
            variants[variant] = None
            oldest = next(iter(variants)) if len(variants) > most else None
            if oldest is not None:
                del variants[oldest]
            self._count += len(variants) - before
            while self._count > self.limit:
                self._count -= len(self._by_target.popitem(last=False)[1])
        return oldest
