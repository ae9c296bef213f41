"""The modules under test, and the tests that judge them."""

from __future__ import annotations

__all__ = ["DOORS", "MODULES", "TESTS"]

MODULES = (
    "cachemw.http.storing",
    "cachemw.http.vary",
    "cachemw.http.freshness",
    "cachemw.engine.request.keying",
    "cachemw.engine.request.key_contents",
    "cachemw.engine.privacy.bypass",
    "cachemw.engine.privacy.cookie_reads",
    "cachemw.engine.privacy.cookie_rules",
    "cachemw.engine.model.variants",
    "cachemw.engine.model.keys",
    "cachemw.engine.keeping.storing",
    "cachemw.engine.keeping.client_cookies",
    "cachemw.engine.keeping.cutting",
    "cachemw.engine.lookup.filling",
    "cachemw.engine.lookup.nonces",
    "cachemw.engine.lookup.candidates",
    "cachemw.invalidation.floors",
    "cachemw.invalidation.graph",
)

TESTS = (
    "tests/unit/http",
    "tests/unit/engine",
    "tests/unit/invalidation/test_floors.py",
    "tests/unit/invalidation/test_graph.py",
    "tests/doors/test_directives.py",
    "tests/doors/test_holes.py",
    "tests/doors/test_nonces.py",
    "tests/doors/test_privacy.py",
    "tests/doors/test_query.py",
    "tests/doors/test_stale.py",
    "tests/doors/test_storing.py",
    "tests/doors/test_vary.py",
)
DOORS = ("asgi",)
"""The adapters whose tests judge what the unit tests let live. The others run the same engine."""
