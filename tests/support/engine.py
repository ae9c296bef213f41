"""An engine whose flows are fed by hand: the test is the driver, the shared store and the clock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace

from cachemw import Cache
from cachemw.engine.core.effects import Await, Effect, Lookup, SharedWrite
from cachemw.engine.core.flights import Waiter
from cachemw.engine.flows.on_request import on_request
from cachemw.engine.flows.on_response import Relayed, on_head
from cachemw.engine.keeping.storing import Collector, on_complete
from cachemw.engine.model.entry import Entry, Key, VaryMarker
from cachemw.engine.request.decisions import Forward, Serve
from cachemw.engine.request.keying import Bypass, CacheableRequest, classify
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request
from cachemw.testing import FakeClock
from tests.support.entries import make_entry

Field = tuple[bytes, bytes]
Flow = Generator[Effect, Any, Serve | Forward]

ROUTE = {"name": "products", "path": "/products/{id}", "ttl": "60s", "tags": ["product:{id}"]}
GRACE = {**ROUTE, "stale_while_revalidate": "10s", "stale_if_error": "100s"}


class Kit:
    """One engine over memory alone; whatever it asks of a shared store, the test answers."""

    def __init__(
        self,
        *routes: dict[str, Any],
        identities: dict[str, Callable[[Request], str | None]] | None = None,
        has_shared: bool = True,
        **config: Any,
    ) -> None:
        self.clock = FakeClock()
        mapping = {"routes": list(routes or (ROUTE,)), **config}
        self.cache = Cache.from_dict(mapping, clock=self.clock, identities=identities)
        self.engine = self.cache._core.engine
        self.engine.settings = replace(self.engine.settings, has_shared=has_shared)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @property
    def open_flights(self) -> int:
        return len(self.engine.flights.open)

    def events(self, name: str) -> dict[str, int]:
        return dict(self.cache.stats().events.get(name, {}))

    def flow(self, request: Request) -> Flow:
        return on_request(self.engine, request, target(request), self.extra(request), self.now)

    def classify(self, request: Request) -> CacheableRequest | Bypass:
        return classify(self.engine, request, target(request), self.extra(request))

    def asked(self, request: Request) -> CacheableRequest:
        asked = self.classify(request)
        assert isinstance(asked, CacheableRequest), asked
        return asked

    def extra(self, request: Request) -> list[Field] | None:
        """Give the watched fields, as a front door does."""
        return [p for p in request.headers if p[0] in self.engine.watched.names] or None

    def hit(self, request: Request) -> Entry | None:
        found = self.engine.hit_in_memory(
            target(request), self.extra(request), request.headers, self.now
        )
        return found[0] if found else None

    def miss(self, request: Request) -> Forward:
        """Run a request whose shared lookups find nothing."""
        flow = self.flow(request)
        decision = step(flow)
        while isinstance(decision, Lookup):
            decision = step(flow, (None, self.now))
        assert isinstance(decision, Forward), decision
        return decision

    def head(
        self, forward: Forward, status: int = 200, *fields: Field, body: bytes | None = None
    ) -> Relayed | Serve:
        return on_head(
            self.engine,
            forward,
            Head(status=status, headers=Fields(fields)),
            now=self.now,
            wall_now=self.clock.time(),
            body=body,
        )

    def keep(
        self,
        forward: Forward,
        body: bytes,
        *fields: Field,
        status: int = 200,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Entry:
        """Let the application answer, and keep it; gives the entry. `meanwhile` is before the body's end."""
        stored = self.complete(forward, body, *fields, status=status, meanwhile=meanwhile)
        assert stored is not None
        return stored.entries[-1][1]

    def complete(
        self,
        forward: Forward,
        body: bytes,
        *fields: Field,
        status: int = 200,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> SharedWrite | None:
        """Let the application answer what its head does not keep out; gives what the end of it stores."""
        decided = self.head(forward, status, *fields)
        assert isinstance(decided, Relayed)
        assert isinstance(decided.collector, Collector), "the answer was refused"
        meanwhile()
        return on_complete(self.engine, decided.collector, body, self.now)

    def fill(self, request: Request, body: bytes = b"body", *fields: Field) -> Entry:
        """Miss, and keep the application's answer."""
        return self.keep(self.miss(request), body, *fields)

    def entry(self, key: Key, **changes: Any) -> Entry:
        """Make an entry as another process would have left it in the shared store."""
        fields: dict[str, Any] = {
            "key": key.digest,
            "status": 200,
            "headers": ((b"content-type", b"text/plain"),),
            "body": b"shared",
            "route": "products",
            "born": self.now,
            "fresh_until": self.now + 60,
            "stale_until": self.now + 60,
            "stale_error_until": self.now + 60,
            "position": self.engine.floors.current_position(),
            "tags": ("product:1",),
        }
        fields |= changes
        return make_entry(**fields)


def get(
    path: str = "/products/1",
    *fields: Field,
    query: bytes = b"",
    method: str = "GET",
    host: bytes = b"shop.example",
    mount: str = "",
    scheme: str = "http",
) -> Request:
    return Request(
        method=method,
        scheme=scheme,
        mount=mount,
        path=unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
        raw_path=path.encode("latin-1"),
        query=query,
        headers=Fields([(b"host", host), *fields]),
    )


def target(request: Request) -> tuple[object, ...]:
    hosts = request.headers.values(b"host")
    return (
        request.scheme,
        hosts[-1] if hosts else None,
        request.mount,
        request.path,
        request.raw_path,
        request.query,
    )


def step(flow: Flow, answer: Any = None) -> Effect | Serve | Forward:
    """Run a flow on: give the next effect, or what it decided."""
    try:
        return flow.send(answer)
    except StopIteration as stop:
        decision: Serve | Forward = stop.value
        return decision


def throw(flow: Flow, error: BaseException) -> Effect | Serve | Forward:
    try:
        return flow.throw(error)
    except StopIteration as stop:
        decision: Serve | Forward = stop.value
        return decision


def served(decision: object) -> Serve:
    assert isinstance(decision, Serve), decision
    return decision


def forwarded(decision: object) -> Forward:
    assert isinstance(decision, Forward), decision
    return decision


def lookup(effect: object) -> Lookup:
    assert isinstance(effect, Lookup), effect
    return effect


class Follower:
    """A request that waits on a flight; the test wakes it by looking."""

    def __init__(self, flow: Flow, effect: object) -> None:
        assert isinstance(effect, Await), effect
        self.flow = flow
        self.flight = effect.flight
        self.timeout = effect.timeout
        self.further = effect.further
        self.waiter = Waiter(lambda: True)
        self.flight.join(self.waiter)

    def mark_late(self) -> None:
        """Let the first of its waits be over."""
        self.flight.mark_late(self.waiter)

    def wake(self, now: float) -> Effect | Serve | Forward:
        """End the wait, as a driver does, and run the flow on."""
        return step(self.flow, (self.flight.leave(self.waiter), now))


def follow(kit: Kit, request: Request) -> Follower:
    flow = kit.flow(request)
    return Follower(flow, step(flow))


def names(fields: Iterable[Field]) -> list[bytes]:
    return [name for name, _ in fields]


def marker_of(kit: Kit, key: Key) -> VaryMarker:
    """Make the marker that says that answers under a key vary on the language."""
    entry = kit.entry(key)
    return VaryMarker(
        key=entry.key,
        names=(b"accept-language",),
        route=entry.route,
        born=entry.born,
        fresh_until=entry.fresh_until,
        dies_at=entry.dies_at,
        position=entry.position,
        tags=entry.tags,
    )
