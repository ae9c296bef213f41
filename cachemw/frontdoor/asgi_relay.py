"""Relay of an ASGI application's messages to the server, through an exchange."""

from __future__ import annotations

from cachemw.engine.keeping.storing import is_endless
from cachemw.frontdoor.asgi_scope import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    header_pairs,
    rewritten,
    send_answer,
)
from cachemw.frontdoor.exchange import Exchange
from cachemw.http.fields import Fields
from cachemw.http.messages import Answer, Head
from cachemw.telemetry.spans import span_origin

__all__ = ["AsgiRelay"]

_NO_FIELDS = Fields([])
_BEFORE_START = frozenset({"http.response.early_hint", "http.response.debug", "http.response.push"})
"""Messages that come before the response, and have nothing to do with it."""
_MOST_DROPPED = 2 << 20
"""Bytes of a response that are dropped before it is ended: as many as a route stores by default."""
_ASKED_AGAIN = "this response is not sent: the application is asked again"
_WHOLE = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
"""Messages that end the body, as far as they do not say that more follows."""


class AsgiRelay:
    """Passes the messages of one call of the application on, through its exchange."""

    __slots__ = (
        "_app",
        "_dropped",
        "_exchange",
        "_fields",
        "_gathered",
        "_held",
        "_replaced",
        "_send",
        "_sent",
    )

    def __init__(self, app: App, send: Send, exchange: Exchange) -> None:
        self._app = app
        self._send = send
        self._exchange = exchange
        self._held: Message | None = None
        """The start of the response, until it is decided on."""
        self._fields = _NO_FIELDS
        """The headers of the message that is held."""
        self._gathered = b""
        """What came of a body that is needed as a whole."""
        self._sent = False
        self._replaced = False
        """Whether another answer went out; what the application still sends is dropped."""
        self._dropped = -1
        """Bytes of a response that were dropped because the application is asked again; -1: it is not."""

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Call the application with the rewritten request; release its flight whatever happens."""
        exchange = self._exchange
        try:
            own = rewritten(scope, exchange.rewrite)
            original = _copied(scope) if exchange.may_ask_again else scope
        except Exception:  # on an internal error, bypass the cache (I3)
            exchange.give_up("request_failed")
            exchange.finish()
            await self._app(scope, receive, self._send)
            return
        channel = _Watched(receive, exchange) if exchange.may_store else receive
        try:
            try:
                with span_origin(exchange.template), exchange.recording:
                    await self._app(own, channel, self.relay)
            except Exception:
                if self._dropped < 0:
                    raise
            if self._dropped >= 0:
                self._dropped = -1
                with span_origin(exchange.template), exchange.recording:
                    await self._app(original, _after_empty_body(receive), self.relay)
        except Exception:
            answer = exchange.fail(sent=self._sent)
            if answer is None:
                raise
            await self._replace(answer)
        finally:
            exchange.finish()
            if exchange.pending_save is not None:  # the last piece could not be sent
                exchange.save_later()

    async def relay(self, message: Message) -> None:
        """Take one message from the application."""
        kind = message["type"]
        if self._dropped >= 0:
            self._drop(message)
            return
        try:
            if kind == "http.response.body":
                await self._on_body(message)
            elif kind == "http.response.start":
                await self._on_start(message)
            elif kind in _BEFORE_START:
                await self._send(message)
            else:
                # pathsend, zerocopysend, trailers or unknown: this body cannot be copied, so the
                # response is not stored (I7).
                await self._flush()
                if self._dropped >= 0:
                    return
                self._exchange.stop("message")
                if not self._replaced:
                    await self._send(message)
                if kind in _WHOLE and not message.get("more_body", False):
                    self._exchange.finish()
        except OSError:  # this client has gone, which says nothing about the next response
            if self._dropped < 0:
                self._exchange.finish()
            raise
        except Exception:
            # Other servers say by this that the client has gone, and the application may go on.
            self._exchange.spoil("incomplete")
            raise

    def _drop(self, message: Message) -> None:
        """Drop a message of the first response; end one that may have no end, as if the client had left."""
        self._dropped += len(message.get("body", b""))
        if message.get("more_body", False) and (
            is_endless(self._fields) or self._dropped > _MOST_DROPPED
        ):
            raise ConnectionResetError(_ASKED_AGAIN)

    async def _on_start(self, message: Message) -> None:
        """Hold the start of a response whose body may come in one piece, with no trailers."""
        try:
            given = list(message.get("headers", ()))  # which may be read only once
            message = {**message, "headers": given}
            self._fields = Fields(header_pairs(given))
            int(message["status"])
        except Exception:  # the server may take what we cannot read (I3)
            self._exchange.unreadable_head(message.get("status"))
            if self._exchange.invalidates:
                await self._exchange.ainvalidate()
            self._sent = True
            await self._send(message)
            return
        self._held = message
        endless = is_endless(self._fields)
        one_piece = b"content-length" in self._fields and not message.get("trailers")
        if endless or not ((self._exchange.may_store and one_piece) or self._exchange.gathers):
            await self._flush()
            if endless and self._dropped >= 0:  # its first piece may be a long time off
                raise ConnectionResetError(_ASKED_AGAIN)

    async def _flush(self, body: bytes | None = None) -> None:
        """Decide on the held start of the response, and send the result."""
        message, self._held = self._held, None
        if message is None:
            return
        head = Head(status=message["status"], headers=self._fields)
        answer = self._exchange.decide(head, body)
        if answer is None:
            self._dropped = 0
            return
        if self._exchange.invalidates:
            await self._exchange.ainvalidate()
        if answer.body is not None:
            await self._replace(answer)
            return
        self._sent = True
        if message.get("trailers"):
            self._exchange.stop("trailers")
        await self._send({**message, "status": answer.status, "headers": answer.headers})

    async def _replace(self, answer: Answer) -> None:
        self._sent = self._replaced = True
        await send_answer(self._send, answer)
        self._exchange.sent()

    async def _on_body(self, message: Message) -> None:
        exchange = self._exchange
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        if self._held is not None:
            if limit := exchange.gathers:
                self._gathered += chunk
                if more and len(self._gathered) <= limit:
                    return
                chunk = self._gathered
                message = {**message, "body": chunk}
            await self._flush(None if more else bytes(chunk))
            if self._dropped >= 0:
                self._drop(message)
                return
        if exchange.collecting:
            exchange.take(chunk)
            if not more:  # before the last byte is sent: a client may ask again at once
                exchange.complete()
        if not self._replaced:
            await self._send(message)
        if not more:  # background tasks may follow: they are no part of the response
            exchange.finish()
        if exchange.pending_save is not None:
            exchange.save_later()


def _copied(scope: Scope) -> Scope:
    """Return a scope whose `state` the first call cannot change."""
    return {**scope, "state": dict(scope["state"])} if "state" in scope else scope


def _after_empty_body(receive: Receive) -> Receive:
    """Return the receive channel of a second call: the first may have received the end of the body."""
    begun = False

    async def channel() -> Message:
        nonlocal begun
        if begun:
            return await receive()
        begun = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return channel


class _Watched:
    """A receive channel that tells the exchange what the application learns from it."""

    __slots__ = ("_exchange", "_receive")

    def __init__(self, receive: Receive, exchange: Exchange) -> None:
        self._receive = receive
        self._exchange = exchange

    async def __call__(self) -> Message:
        """Receive a message for the application."""
        message = await self._receive()
        if message.get("type") == "http.disconnect":  # from now on it may end early (I7)
            self._exchange.spoil("incomplete")
        elif message.get("body") and not self._exchange.keys_body:
            self._exchange.spoil("body")
        return message
