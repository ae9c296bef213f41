"""Shadows: what would be served for a request, if its route were not in shadow."""

from __future__ import annotations

from cachemw.engine.core.engine import Engine
from cachemw.engine.lookup.candidates import candidate
from cachemw.engine.model.differences import Shadow
from cachemw.engine.model.entry import Entry, VaryMarker, Verdict
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.keying import CacheableRequest

__all__ = ["would_serve"]


def would_serve(
    engine: Engine, cacheable: CacheableRequest, now: float
) -> tuple[Shadow | None, bool]:
    """Return what would be served, and whether it is stale."""
    found = engine.shadows.get(cacheable.plan.key.digest)
    if found is not None and isinstance(found.entry, VaryMarker):
        marker = found.entry
        if engine.floors.judge(marker) is Verdict.DEAD or now >= marker.dies_at:
            return None, False
        key = engine.variants.key_for(cacheable.plan, marker, cacheable.headers)
        found = engine.shadows.get(key.digest)
    if found is None or not isinstance(found.entry, Entry):
        return None, False
    fresh, stale = Outcome.HIT_MEMORY, Outcome.STALE_MEMORY
    served = candidate(engine, cacheable, found.entry, now, fresh, stale).servable
    return (None, False) if served is None else (found, served.outcome is stale)
