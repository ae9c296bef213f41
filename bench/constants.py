"""The response and the configuration that all measurements share."""

from __future__ import annotations

from typing import Any

__all__ = ["BODY", "HEADERS", "ROUTES", "STATUS", "TEXT_HEADERS", "URLS", "config", "routes"]

STATUS = 200
BODY = b'{"items": [' + b", ".join(b'{"id": %d, "n": "item"}' % n for n in range(40)) + b"]}"
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"cache-control", b"public, max-age=36000"),
    (b"etag", b'"5f2c9a1b7d"'),
    (b"last-modified", b"Mon, 05 Jan 2026 08:00:00 GMT"),
    (b"x-content-type-options", b"nosniff"),
]
"""Six headers, among them those that the cache would otherwise add itself."""

TEXT_HEADERS = [(name.decode(), value.decode()) for name, value in HEADERS]

ROUTES = ("products", "orders", "customers", "catalog", "inventory")
URLS = [f"/{name}/{number}" for number in range(20) for name in ROUTES]
"""The requested URLs: 20 on each of five routes, in turn."""


def routes(count: int = len(ROUTES)) -> list[dict[str, Any]]:
    """Return this many routes. The requested ones come last: the worst case if order mattered."""
    others = [f"other-{number}" for number in range(count - len(ROUTES))]
    return [
        {
            "name": name,
            "path": f"/{name}/{{id:int}}",
            "ttl": "10h",
            "cookies": [],
            "risk": "low",
            "tags": [f"{name}:{{id}}"],
        }
        for name in (*others, *ROUTES)
    ]


def config(**settings: Any) -> dict[str, Any]:
    """Return a configuration with five routes."""
    return {"namespace": "bench", "routes": routes(), **settings}
