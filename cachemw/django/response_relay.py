"""Relay of the application's response to Django's handler, through an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from cachemw.django.translate import apply_answer, head_of, make_response, not_modified, stood_in
from cachemw.frontdoor.exchange import Exchange
from cachemw.http.messages import Answer

__all__ = ["ResponseRelay", "response_of"]


def response_of(answer: Answer) -> HttpResponse:
    """Make the response of an answer that is all the cache's own."""
    return make_response(answer.status, answer.headers, answer.body or b"")


class ResponseRelay:
    """Turns the application's response into the one that goes out."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._streams = False
        """Whether a body is still on its way out, and ends the exchange when it is closed."""

    def respond(self, response: Any) -> HttpResponseBase:
        """Return the response that goes out."""
        exchange = self._exchange
        body = None if response.streaming else response.content
        answer = exchange.decide(head_of(response), body)
        if exchange.serves_stored:
            stored: Any = stood_in(response, answer)
            response.close()
            stored._resource_closers.append(self._end)
            return stored  # type: ignore[no-any-return]
        if body is not None and exchange.collecting:
            exchange.take(body)
            exchange.complete()
        elif exchange.collecting and answer.body is None:
            self._copy_stream(response)
        out: Any = response
        if answer.body is not None:
            out = not_modified(response, answer)
        else:
            apply_answer(response, answer, exchange.tag_fields)
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
        self._streams = True
        copy = self._acopy if response.is_async else self._copy
        if response.is_async and (task := asyncio.current_task()) is not None:
            # Django's ASGI handler does not close a response whose stream broke, or whose client
            # disconnected in the middle of a message. The task that sends it ends all the same.
            task.add_done_callback(lambda _: self._exchange.finish())
        response.streaming_content = copy(response.streaming_content)

    def _copy(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        recording, source = self._exchange.recording, iter(pieces)
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
            raise
        self._exchange.complete()

    async def _acopy(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        recording, source = self._exchange.recording, aiter(pieces)
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
            raise
        self._exchange.complete()
