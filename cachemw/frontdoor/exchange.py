"""One call of the application, as every front door goes through it.

A front door makes an `Exchange` for each request that is forwarded, runs whatever is the application's
`with exchange.recording`, and tells it, in this order:

1. `decide` the head: gives what goes out, perhaps a whole other body (a 304, a stored answer), and
   perhaps what is to be purged first;
2. `take` each piece of the body as it passes by;
3. `complete` when the application's body has ended, before the client can know it;
4. `fail` instead, when the application raised;
5. `finish`, always, in a `finally`: lets go of the flight and counts the request.

What was kept is in `stored` then: the front door writes it to the shared store (`cache.save`) when
the response has gone out. A fault of the cache's own is logged and costs the answer its place in
the cache, never the client its answer (I3).
"""

from __future__ import annotations

from cachemw.cache import Cache
from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.flows.on_response import on_error, on_head
from cachemw.engine.flows.shadowing import Shadowing, shadowed
from cachemw.engine.keeping.storing import Collector, broke_off, fail, on_complete, refuse
from cachemw.engine.lookup.rendering import Answer, render
from cachemw.engine.request.decisions import Forward, Serve
from cachemw.http.messages import Head
from cachemw.recording.context import UNRECORDED, Recording, Unrecorded

__all__ = ["Exchange", "rendered"]


def rendered(cache: Cache, served: Serve) -> Answer:
    """Render a stored answer; a fault lets go of the refresh that was to follow, and goes on."""
    try:
        return render(cache.engine, served)
    except BaseException:
        if served.refresh is not None:
            served.refresh.abandon()
        raise


class Exchange:
    """The state of one call of the application."""

    __slots__ = (
        "_finished",
        "_keeping",
        "_pieces",
        "_size",
        "cache",
        "forward",
        "outcome",
        "purge",
        "raised",
        "recording",
        "started",
        "status",
        "stood_in",
        "stored",
    )

    def __init__(self, cache: Cache, forward: Forward, started: float) -> None:
        self.cache = cache
        self.forward = forward
        self.started = started
        self.outcome = forward.outcome
        self.status = 0
        self.raised = False
        """Whether the application raised and nothing could stand in."""
        self.stood_in = False
        """Whether a stored answer went out in place of the application's."""
        self.stored: SharedWrite | None = None
        """What was kept and has still to be written to the shared store."""
        self.purge: tuple[str, ...] = ()
        """Tags to purge, by `cache.invalidate`, before the answer goes out."""
        self.recording: Recording | Unrecorded = UNRECORDED
        """Notes what the application reads meanwhile, where its answer may be kept."""
        if forward.fetch is not None:
            self.recording = recording = Recording()
            forward.fetch.recorded = recording.close
        self._keeping: Collector | Shadowing | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._finished = False

    @property
    def template(self) -> str:
        """The route's template, for spans."""
        return self.forward.route.template if self.forward.route else "-"

    @property
    def keeping(self) -> bool:
        """Whether the body is being copied aside."""
        return self._keeping is not None

    def decide(self, head: Head, body: bytes | None = None) -> Answer:
        """Decide what goes out for the application's head; `body` is the whole body, where known."""
        clock = self.cache.clock
        try:
            decided = on_head(
                self.cache.engine,
                self.forward,
                head,
                now=clock.monotonic(),
                wall_now=clock.time(),
                body=body,
            )
            if isinstance(decided, Serve):
                return self._stand_in(decided)
        except Exception:
            self.cache.logs.failed("head_failed")
            self.status = head.status
            return Answer(status=head.status, headers=list(head.headers.pairs), body=None)
        self._keeping, self.stored, self.purge = decided.keeping, decided.stored, decided.purge
        self.status = decided.answer.status
        return decided.answer

    def take(self, piece: bytes) -> None:
        """Copy a piece of the body aside, unless it has grown too large to be kept."""
        keeping = self._keeping
        if keeping is None or not piece:
            return
        self._size += len(piece)
        if self._size <= keeping.max_size:
            self._pieces.append(bytes(piece))
        elif isinstance(keeping, Shadowing):
            self._pieces = []  # that it has outgrown what is kept is all that need be known
        else:
            self.stop("too-large")

    def complete(self) -> None:
        """Keep the whole body: from now on the memory tier has it."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        body, self._pieces = b"".join(self._pieces), []
        try:
            now = self.cache.clock.monotonic()
            if isinstance(keeping, Shadowing):
                whole = body if self._size <= keeping.max_size else None
                self.outcome = shadowed(self.cache.engine, keeping, whole, self._size, now)
            else:
                self.stored = on_complete(self.cache.engine, keeping, body, now)
        except Exception:
            self.cache.logs.failed("store_failed")

    def stop(self, reason: str) -> None:
        """Stop keeping what turned out not to be cacheable."""
        if keeping := self._take_keeping():
            refuse(self.cache.engine, keeping.fetch, reason)

    def _take_keeping(self) -> Collector | None:
        keeping, self._keeping = self._keeping, None
        self._pieces = []
        return None if isinstance(keeping, Shadowing) else keeping

    def fail(self, *, sent: bool) -> Answer | None:
        """Give a stale answer to send in place of the application's exception; None: let it out.

        `sent` says that the head is out already: then nothing can stand in for the rest.
        """
        self.raised = True
        if sent:
            if keeping := self._take_keeping():
                fail(self.cache.engine, keeping.fetch, "exception")
            return None
        try:
            served = on_error(self.cache.engine, self.forward, self.cache.clock.monotonic())
            return None if served is None else self._stand_in(served)
        except Exception:
            self.cache.logs.failed("stand_in_failed")
            return None

    def _stand_in(self, served: Serve) -> Answer:
        answer = render(self.cache.engine, served)
        self.stood_in = True
        self.raised = False
        self.stored = served.stored
        if not (self.forward.fetch is not None and self.forward.fetch.refresh):
            self.outcome = served.outcome
        self.status = answer.status
        return answer

    def finish(self) -> None:
        """Let go of the flight and count the request; harmless when done before."""
        if self._finished:
            return
        self._finished = True
        if keeping := self._take_keeping():
            broke_off(self.cache.engine, keeping)
        fetch = self.forward.fetch
        if fetch is not None:
            if fetch.flight is not None:
                fetch.abandon()
            if fetch.lease is not None and (lease := fetch.take_lease()):
                self.cache.settle(lease, uncacheable=fetch.uncacheable)
        forward = self.forward
        self.cache.finish(
            forward.route,
            self.outcome,
            self.status,
            self.started,
            forward.reason,
            failed=self.raised,
        )
