"""The other caches: what each needs to be installed, and the module that sets it up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another cache; `module` has a function `make(calls, loop)` that returns an application."""

    name: str
    module: str
    requirements: tuple[str, ...]
    distributions: tuple[str, ...]
    """The packages whose versions are reported."""


PEERS = (
    Peer(
        "starlette-caches",
        "bench.peers.starlette_caches_app",
        ("starlette-caches",),
        ("starlette-caches", "starlette"),
    ),
    Peer(
        "fastapi-cache2",
        "bench.peers.fastapi_cache_app",
        ("fastapi-cache2", "fastapi", "jinja2"),  # it imports Jinja2 without requiring it
        ("fastapi-cache2", "fastapi"),
    ),
    Peer("hishel", "bench.peers.hishel_app", ("hishel[async]",), ("hishel",)),
    Peer("Django's own", "bench.peers.django_app", ("django>=5.2",), ("django",)),
)
