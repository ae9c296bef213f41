"""Relay of the application's response to Django's handler, through an exchange."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cachemw.django.read_cookies import was_read, watch
from cachemw.django.recording.early_reads import take_early_recording
from cachemw.django.translate import (
    apply_answer,
    head_of,
    response_of,
    rewrite_request,
    stood_in,
)
from cachemw.frontdoor.exchange import Exchange

__all__ = ["ResponseRelay"]


class ResponseRelay:
    """Turns the application's response into the one that goes out.

    A body that is still on its way out ends the exchange: at its last byte, when it breaks, or when it
    is closed or dropped before that. Django closes a response that was sent. Its ASGI handler does not
    if sending failed, nor does a middleware outside that sends another response instead.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.recording.include(take_early_recording())
        self._streams = False
        """Whether a body is still on its way out, and ends the exchange."""
        self._begun = False
        """Whether somebody has asked for the first piece of that body."""
        self._original: tuple[dict[str, Any], dict[str, Any]] | None = None
        """The attributes and `META` of the client's own request, where it may be needed again."""

    def rewrite(self, request: HttpRequest) -> bool:
        """Change a request into what the application may see. False: nothing may be stored for it."""
        exchange, recording = self._exchange, self._exchange.watching
        try:
            read_before = recording is not None and was_read(request)
            if exchange.may_ask_again:
                self._original = dict(request.__dict__), dict(request.META)
            if exchange.rewrite is not None:
                rewrite_request(request, exchange.rewrite)
            if recording is not None:
                watch(request, recording, read_before=read_before)
        except Exception:
            exchange.give_up("rewrite_failed")
            return False
        return True

    def start_again(self, request: HttpRequest, response: Any) -> None:
        """Drop a response, and make its request what it was before the first call.

        The response is not closed: that would send `request_finished`, which the second one does.
        """
        for close in response._resource_closers:
            with suppress(Exception):
                close()
        response._resource_closers.clear()
        if self._original is not None:
            attributes, meta = self._original
            body = request.__dict__.get("_body")
            request.__dict__.clear()
            request.__dict__.update(attributes)
            # The first call has read it, and Django closes what it was read from.
            if body is not None:
                request.__dict__.update(_body=body, _stream=io.BytesIO(body))
            request.META.clear()
            request.META.update(meta)

    def respond(self, response: HttpResponseBase) -> HttpResponseBase | None:
        """Return the response that goes out; on an internal error, the application's (I3).

        None: call `start_again`, and then the application.
        """
        try:
            return self._respond(response)
        except Exception:
            self._exchange.give_up("respond_failed")
            return response

    def _respond(self, response: Any) -> HttpResponseBase | None:
        exchange = self._exchange
        body = None if response.streaming else response.content
        answer = exchange.decide(head_of(response), body)
        if answer is None:
            return None
        if exchange.collecting and body is not None:
            exchange.take(body)
            exchange.complete()
        elif exchange.collecting and answer.body is None:
            self._copy_stream(response)
        out: Any = response
        if answer.body is None:
            apply_answer(response, answer, exchange.tag_fields)
        else:
            out = stood_in(response, answer)
        out._resource_closers.append(self._end)
        return out  # type: ignore[no-any-return]

    def failed(self) -> HttpResponseBase | None:
        """Return a stale response after an exception of the application; None: raise it."""
        answer = self._exchange.fail(sent=False)
        return None if answer is None else response_of(answer)

    def end_unless_streaming(self) -> None:
        """End the exchange, unless a body is still on its way out."""
        if not self._streams:
            self._exchange.finish()

    def _end(self) -> None:
        self._exchange.finish()
        self._exchange.save()

    def _copy_stream(self, response: Any) -> None:
        copy = self._acopy if response.is_async else self._copy
        response.streaming_content = copy(response.streaming_content)
        self._streams = True
        self._end_with_task(sends=False)

    def _end_with_task(self, *, sends: bool) -> None:
        """End the exchange when the task that runs here, if any, has ended.

        A task that only made the response, and did not fail, may have handed it to another one that
        sends it: so it is where a middleware outside is synchronous.
        """

        def ended(task: asyncio.Task[Any]) -> None:
            if sends or self._begun or task.cancelled() or task.exception():
                self._exchange.finish()

        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread without an event loop
            return
        if task is not None:
            task.add_done_callback(ended)

    def _copy(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        recording, source = self._exchange.recording, iter(pieces)
        self._begun = True
        try:
            while True:
                with recording:
                    piece = next(source, None)
                if piece is None:
                    break
                self._exchange.take(piece)
                yield piece
        except Exception:
            self._exchange.fail(sent=True)
            self._exchange.finish()
            raise
        self._exchange.complete()
        self._exchange.finish()

    async def _acopy(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        recording, source = self._exchange.recording, aiter(pieces)
        self._begun = True
        self._end_with_task(sends=True)
        try:
            while True:
                with recording:
                    piece = await anext(source, None)
                if piece is None:
                    break
                self._exchange.take(piece)
                yield piece
        except Exception:
            self._exchange.fail(sent=True)
            self._exchange.finish()
            raise
        self._exchange.complete()
        self._exchange.finish()

    def __del__(self) -> None:
        if self._streams:
            self._exchange.finish_elsewhere()
