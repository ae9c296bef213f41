"""One call of the application, as every front door makes it.

The pipeline makes an `Exchange` for each request that goes to the application. The front door runs
the application's code `with exchange.recording`, and calls, in this order:

1. `decide` with the response's head. It returns what to send: the head, or a whole other answer
   (a 304, a stored response). None: drop this response, and call the application again through the
   same exchange, with the client's own request as it was. So keep it where `may_ask_again`.
2. `invalidate` or `ainvalidate`, before anything is sent: it purges what an unsafe request changed.
3. `take` with each piece of the body, while `collecting`.
4. `complete` when the body has ended, before the client can know that it has: a client that asks
   again at once must find the entry.
5. `fail` instead, if the application raised.
6. `sent` when the last byte has gone out: it counts the request. What the application does after that,
   and whether it fails then, is no part of the response.
7. `finish` always, in a `finally`: it releases the flight, and counts the request if `sent` has not.
8. `save` or `save_later` when the response has gone out: it writes to the shared store.

`spoil` may come at any time before `complete`: what the application says after it was told that the
client has left may be half a response, also if it looks whole (I7).

Every failure of the cache is caught here and logged; the application's answer goes out (I3).
"""

from __future__ import annotations

import _thread
from contextlib import suppress

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.flows.on_response import AskAgain, on_error, on_head, unaltered
from cachemw.engine.flows.shadowing import Shadowing, shadowed
from cachemw.engine.keeping.client_cookies import with_cookies
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.storing import (
    broke_off,
    fail,
    on_complete,
    refuse,
    spoil,
)
from cachemw.engine.lookup.filling import FillError
from cachemw.engine.lookup.rendering import render
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.engine.request.keying import Rewrite
from cachemw.frontdoor.recorded import recording_of, template_of
from cachemw.http.fields import Fields
from cachemw.http.messages import Answer, Head
from cachemw.recording.context import (
    Client,
    Recording,
    Unrecorded,
    open_recording,
)
from cachemw.wiring.core import Core

__all__ = ["Exchange"]


class Exchange:
    """The state of one call of the application."""

    __slots__ = (
        "_collector",
        "_core",
        "_counted",
        "_finished",
        "_forward",
        "_outcome",
        "_outer",
        "_pieces",
        "_raised",
        "_size",
        "_started",
        "_status",
        "_task",
        "invalidates",
        "may_store",
        "pending_save",
        "recording",
        "rewrite",
        "serves_stored",
    )

    def __init__(
        self, core: Core, forward: Forward, started: float, client: Client | None = None
    ) -> None:
        """`client` is who gets the response, where the cache has holes."""
        self._core = core
        self._forward = forward
        self._started = started
        self._outcome = forward.outcome
        self._status = 0
        self._raised = False
        """Whether the application raised and no stored answer could replace its response."""
        self.rewrite: Rewrite | None = forward.rewrite
        """How to change what the application sees."""
        self.may_store = forward.fetch is not None
        """Whether the response may be stored, or compared in shadow."""
        self.pending_save: SharedWrite | None = None
        """What the shared store gets, by `save` or `save_later`."""
        self.invalidates: tuple[str, ...] = ()
        """Tags of what an unsafe request changed, for `invalidate` or `ainvalidate`."""
        self._collector: Collector | Shadowing | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._finished = False
        self._counted = False
        self._task = core.tasks.current()
        """The task that makes the request; None in a thread."""
        self.serves_stored = False
        """Whether a stored answer goes out in place of the application's response."""
        fetch = forward.fetch
        # A refresh is asked for by nobody: the response that set it off is made from the stale one.
        self._outer = None if fetch is not None and fetch.refresh else open_recording()
        """The recording of the response whose making asked for this one, in the same process."""
        self.recording = recording_of(core.engine, forward, self._outer, client)
        """Records what the application reads."""
        if fetch is not None:
            self._pass_on(fetch.cacheable.plan.tags)

    @property
    def template(self) -> str:
        """The route's template, for spans."""
        return template_of(self._forward)

    @property
    def tag_fields(self) -> frozenset[bytes]:
        """The response headers that hold tags, and are taken out of what the client gets."""
        return self._core.engine.settings.tag_fields

    @property
    def may_ask_again(self) -> bool:
        """Whether `decide` may return None."""
        fetch = self._forward.fetch
        return fetch is not None and fetch.may_ask_again

    @property
    def gathers(self) -> int:
        """Most bytes of a body that `decide` must have, since there are pieces in it; 0: it need not."""
        fetch = self._forward.fetch if self.recording.has_pieces else None
        return 0 if fetch is None else fetch.cacheable.route.max_size

    @property
    def watching(self) -> Recording | None:
        """The recording that has to know which cookies the application reads; None: it need not."""
        fetch, recording = self._forward.fetch, self.recording
        watches = fetch is not None and fetch.cacheable.route.cookies.watches
        return recording if watches and isinstance(recording, Recording) else None

    @property
    def collecting(self) -> bool:
        """Whether the body is being copied."""
        return self._collector is not None

    @property
    def keys_body(self) -> bool:
        """Whether the request's body was read before the application was called.

        It is part of the key then, or empty. Otherwise call `spoil` if the application receives any.
        """
        fetch = self._forward.fetch
        return fetch is not None and fetch.cacheable.request.content is not None

    def spoil(self, reason: str) -> None:
        """Neither store nor share what the application says from here on: a key of `NOT_KEPT`.

        `incomplete`: it was told that the client has left. `body`: it received bytes that are not part
        of the key. Others need not wait for it any more. What is stored already stays.
        """
        fetch = self._forward.fetch
        if fetch is None or fetch.spoilt is not None:
            return
        try:
            collected = self._take_collector() is not None
            spoil(self._core.engine, fetch, reason, collected=collected)
            self._settle(fetch)
        except Exception:
            self._core.reporter.logs.failed("spoil_failed")

    def decide(self, head: Head, body: bytes | None = None) -> Answer | None:
        """Return what to send for the application's head; `body` is the whole body, if it is known.

        None: call the application again.
        """
        if self._is_cancelled():
            self.spoil("incomplete")
        clock, has_pieces = self._core.clock, self.recording.has_pieces
        try:
            decided = on_head(
                self._core.engine,
                self._forward,
                head,
                now=clock.monotonic(),
                wall_now=clock.time(),
                body=body,
            )
            if isinstance(decided, Serve):
                return self._serve_stored(decided)
            if isinstance(decided, AskAgain):
                self._start_again(decided.forward)
                return None
        except Exception as error:
            failed = "fill_failed" if isinstance(error, FillError) else "head_failed"
            self._core.reporter.logs.failed(failed)
            if has_pieces and self.may_ask_again:  # they are for nobody
                self._start_again(unaltered(self._forward))
                return None
            self._status = head.status
            return Answer(status=head.status, headers=list(head.headers.pairs), body=None)
        self._pass_on(decided.tags)
        self._collector, self.pending_save = decided.collector, decided.pending_save
        self.invalidates = decided.purge
        self._status = decided.answer.status
        if decided.body is not None:
            self.take(decided.body)
            self.complete()
        return decided.answer

    def _start_again(self, forward: Forward) -> None:
        """End the first call, which nobody need wait for any more."""
        fetch = self._forward.fetch
        self._forward, self.may_store, self.rewrite = forward, False, None
        self.recording = Unrecorded(self.recording.client)
        if fetch is not None:
            fetch.abandon()
            self._settle(fetch)

    def _pass_on(self, tags: tuple[str, ...], *, stale: bool = False) -> None:
        """Add the tags of this response to those of the one that is made from it (I5)."""
        if self._outer is not None:
            self._outer.add_stored(tags, stale=stale)

    def invalidate(self) -> None:
        """Purge what an unsafe request changed, in a thread."""
        if self.invalidates:
            self._core.purger.invalidate(self.invalidates)

    async def ainvalidate(self) -> None:
        """Purge what an unsafe request changed, in an event loop."""
        if self._core.tasks.current() is None:  # the event loop is not asyncio's
            self.invalidate()
        elif self.invalidates:
            await self._core.purger.ainvalidate(self.invalidates)

    def take(self, piece: bytes) -> None:
        """Copy a piece of the body, unless the body has grown too large to be stored."""
        collector = self._collector
        if collector is None or not piece:
            return
        self._size += len(piece)
        if self._size <= collector.max_size:
            self._pieces.append(bytes(piece))
        elif isinstance(collector, Shadowing):
            self._pieces = []  # a comparison needs only its size from here on
        else:
            self.stop("too-large")

    def complete(self) -> None:
        """Store the whole body in memory."""
        # An application may catch its cancellation, and end its body as if it were whole (I7).
        if self._is_cancelled():
            self.spoil("incomplete")
        collector, self._collector = self._collector, None
        if collector is None:
            return
        body, self._pieces = b"".join(self._pieces), []
        engine = self._core.engine
        try:
            now = self._core.clock.monotonic()
            if isinstance(collector, Shadowing):
                whole = body if self._size <= collector.max_size else None
                self._outcome = shadowed(engine, collector, whole, self._size, now)
            else:
                self.pending_save = write = on_complete(engine, collector, body, now)
                if write is not None:
                    self._pass_on(write.entries[0][1].tags)
        except Exception:
            self._core.reporter.logs.failed("store_failed")

    def stop(self, reason: str) -> None:
        """Stop collecting a response that turned out not to be cacheable."""
        if collector := self._take_collector():
            refuse(self._core.engine, collector.fetch, reason)

    def give_up(self, event: str) -> None:
        """Log the exception being handled, an internal error; the response is not stored (I3)."""
        self._core.reporter.logs.failed(event)
        self.spoil("unreadable")

    def unreadable_head(self, status: object) -> None:
        """Take note of a head that cannot be read, and goes out as it is.

        The response is not stored. Its status alone decides whether an unsafe request changed anything.
        """
        self._core.reporter.logs.failed("head_failed")
        self.spoil("unreadable")
        with suppress(Exception):
            self.decide(Head(status=int(status), headers=Fields([])))  # type: ignore[call-overload]

    def _take_collector(self) -> Collector | None:
        collector, self._collector = self._collector, None
        self._pieces = []
        return None if isinstance(collector, Shadowing) else collector

    def fail(self, *, sent: bool) -> Answer | None:
        """Return a stale answer to send after an exception of the application; None: raise it.

        `sent` says that the head has been sent: then nothing can replace the rest.
        """
        self._raised = True
        engine = self._core.engine
        if sent:
            if collector := self._take_collector():
                fail(engine, collector.fetch, "exception")
            return None
        try:
            served = on_error(engine, self._forward, self._core.clock.monotonic())
            return None if served is None else self._serve_stored(served)
        except Exception:
            self._core.reporter.logs.failed("stand_in_failed")
            return None

    def _serve_stored(self, served: Serve) -> Answer:
        answer = with_cookies(render(self._core.engine, served), served.cookies)
        fetch = self._forward.fetch
        fallback = () if fetch is None or fetch.fallback is None else fetch.fallback.tags
        self._pass_on(fallback + served.entry.tags, stale=served.outcome.outcome == "stale")
        self.serves_stored = True
        self._raised = False
        self.pending_save = served.pending_save
        if fetch is None or not fetch.refresh:
            self._outcome = served.outcome
        self._status = answer.status
        return answer

    def _is_cancelled(self) -> bool:
        """Tell whether the task that makes the request, or the running one, is being cancelled."""
        task = self._core.tasks.current()
        if task is None:
            return False
        own = self._task
        return task.cancelling() > 0 or (own is not None and own.cancelling() > 0)

    def sent(self) -> None:
        """Count the request: its last byte has gone out. Harmless when it is done."""
        if self._counted:
            return
        self._counted = True
        self._core.reporter.finish(
            self._forward.route,
            self._outcome,
            self._status,
            self._started,
            self._forward.reason,
            failed=self._raised,
        )

    def finish(self) -> None:
        """Release the flight, and count the request; harmless when it is done."""
        if self._finished:
            return
        self._finished, self._task = True, None
        if collector := self._take_collector():
            broke_off(self._core.engine, collector)
        fetch = self._forward.fetch
        if fetch is not None:
            if fetch.flight is not None:
                fetch.abandon()
            self._settle(fetch)
        self.sent()

    def finish_elsewhere(self) -> None:
        """Finish in another thread; for `__del__`.

        Garbage may be collected in a thread that holds a lock which `finish` needs. Another thread can
        wait for that lock. (`threading.Thread` has locks of its own.)
        """
        if not self._finished:
            with suppress(RuntimeError):  # the interpreter is shutting down
                _thread.start_new_thread(self.finish, ())

    def _settle(self, fetch: Fetch) -> None:
        """Settle the lease, for which other processes wait."""
        if fetch.lease is not None and (lease := fetch.take_lease()):
            self._core.writer.settle(lease, uncacheable=fetch.uncacheable)

    def save(self) -> None:
        """Write what was stored to the shared store, in this thread."""
        write, self.pending_save = self.pending_save, None
        if write is not None:
            self._core.writer.save(write)

    def save_later(self) -> None:
        """Write what was stored to the shared store, in a task of the running event loop."""
        write, self.pending_save = self.pending_save, None
        if write is not None:
            self._core.writer.save_later(write)
