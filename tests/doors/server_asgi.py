"""A server for one ASGI application, in process: strict about the order and shape of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from .language import PATIENCE, Call, Pairs, Reply

Message = dict[str, Any]

# Before the response, within it, and after its last piece of body (the ASGI HTTP specification
# and its extensions).
_EARLY = {"http.response.early_hint", "http.response.debug", "http.response.push"}
_WHOLE_BODY = {"http.response.pathsend"}
_PIECE = {"http.response.zerocopysend"}
_OURS = ("headers", "method", "path", "query_string", "raw_path", "root_path", "scheme")
"""What an application may not change in the server's own scope; frameworks add to the rest."""


class AsgiServer:
    """Runs every request in one event loop that lives as long as the server."""

    hang_ups = ("send", "receive", "cancel")
    """How a client that went away shows: `send` raises, `receive` says so, or the call is cancelled."""

    def __init__(self, app: Any, *, any_case: bool = False) -> None:
        """`any_case` lets field names come as Django sends them; servers fold them."""
        self.app = app
        self.any_case = any_case
        self.runner = asyncio.Runner()
        self.tasks: list[asyncio.Task[None]] = []
        """The application's calls for the last requests made together, in their order."""

    def close(self) -> None:
        """Cancel what still runs, and end the loop."""
        self.runner.close()

    def ask(self, call: Call) -> Reply:
        """Make one request."""
        return self.runner.run(self._ask(call))

    def together(
        self, calls: Sequence[Call], when: Callable[[], bool], then: Callable[[], object]
    ) -> list[Reply]:
        """Begin requests in this order; when the condition holds, act; give all replies."""

        async def ask_all() -> list[Reply]:
            self.tasks = []
            replies = []
            for call in calls:
                replies.append(asyncio.create_task(self._ask(call)))
                await asyncio.sleep(0)
            try:
                await _until(when)
            finally:
                then()
            return list(await asyncio.gather(*replies))

        return self.runner.run(ask_all())

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until a condition holds."""
        self.runner.run(_until(condition))

    def converse(
        self, scope: Message, incoming: Sequence[Message], *, stay: bool = False
    ) -> list[Message]:
        """Hold a conversation that is no HTTP request; give what the application sent."""
        sent: list[Message] = []
        left = list(incoming)

        async def receive() -> Message:
            if not left and stay:
                await asyncio.Event().wait()
            return left.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        self.runner.run(self.app(scope, receive, send))
        return sent

    async def _ask(self, call: Call) -> Reply:
        exchange = _Exchange(call, self.any_case)
        scope = _scope(call)
        before = [repr(scope.get(name)) for name in _OURS]
        task = asyncio.create_task(self.app(scope, exchange.receive, exchange.send))
        exchange.cancel = task.cancel
        self.tasks.append(task)
        error: BaseException | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                await task
        except (Exception, asyncio.CancelledError) as raised:
            error = raised
        exchange.check_end(error)
        assert [repr(scope.get(name)) for name in _OURS] == before, "the server's scope was changed"
        return exchange.reply(error)


class _Exchange:
    """One request and its response, message by message."""

    def __init__(self, call: Call, any_case: bool) -> None:
        self.call = call
        self.any_case = any_case
        self.gone = asyncio.Event()
        self.left = False
        self.incoming = call.pieces()
        self.cancel: Callable[[], object] = lambda: None
        self.state = "start"
        self.trailers = False
        self.status = 0
        self.headers: Pairs = []
        self.pieces: list[bytes] = []
        self.types: list[str] = []
        self.faults: list[str] = []

    async def receive(self) -> Message:
        if self.incoming:
            more = len(self.incoming) > 1 or self.call.cut is not None
            return {"type": "http.request", "body": self.incoming.pop(0), "more_body": more}
        if self.call.cut is None:
            await self.gone.wait()
        self.left = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)  # a real server's `send` gives way, too
        if self.gone.is_set() and self.call.hang_up == "send":
            raise OSError("the client is gone")
        kind = message["type"]
        self.types.append(kind)
        handler = {
            "http.response.start": self._start,
            "http.response.body": self._body,
            "http.response.trailers": self._trailers,
        }.get(kind)
        if handler is not None:
            handler(message)
        elif kind in _EARLY:
            self._expect("start", kind)
        elif kind in _WHOLE_BODY:
            self._expect("body", kind)
            self.state = "done"
        elif kind in _PIECE:
            self._expect("body", kind)
            self.state = "body" if message.get("more_body") else "done"
        else:
            self.faults.append(f"unknown message {kind}")

    def _expect(self, state: str, kind: str) -> None:
        if self.state != state:
            self.faults.append(f"{kind} while {state} was not the state but {self.state}")

    def _start(self, message: Message) -> None:
        self._expect("start", "the start")
        self.state = "body"
        self.status, self.trailers = message["status"], message.get("trailers", False)
        if type(self.status) is not int:
            self.faults.append(f"status {self.status!r}")
        for name, value in message["headers"]:
            if type(name) is not bytes or type(value) is not bytes:
                self.faults.append(f"field {name!r}: {value!r}")
            if name != name.lower() and not self.any_case:
                self.faults.append(f"field name {name!r}")
            if b"\n" in value or b"\r" in value:
                self.faults.append(f"line break in {name!r}")
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def _body(self, message: Message) -> None:
        self._expect("body", "a body")
        piece = message.get("body", b"")
        if type(piece) is not bytes:
            self.faults.append(f"body of {type(piece)}")
        if piece:
            self.pieces.append(piece)
            self.call.on_piece(piece)
        if not message.get("more_body", False):
            self.state = "trailers" if self.trailers else "done"
        if self.call.hang_up_after is not None and len(self.pieces) >= self.call.hang_up_after:
            self.left = True
            if self.call.hang_up == "cancel":
                self.cancel()
            else:
                self.gone.set()

    def _trailers(self, message: Message) -> None:
        self._expect("trailers", "trailers")
        if not message.get("more_trailers", False):
            self.state = "done"

    def check_end(self, error: BaseException | None) -> None:
        """Check that a call that returned had said everything."""
        if error is None and self.state != "done" and not self.left:
            self.faults.append(f"the application returned in state {self.state}")
        assert not self.faults, self.faults

    def reply(self, error: BaseException | None) -> Reply:
        """Give what came of it."""
        body = b"".join(self.pieces)
        length = next((value for name, value in self.headers if name == "content-length"), None)
        short = length is not None and length != str(len(body)) and self.call.method != "HEAD"
        return Reply(
            status=self.status,
            headers=self.headers,
            body=body,
            error=None if self.left else error,
            complete=self.state == "done" and not short,
            messages=self.types,
        )


def _scope(call: Call) -> Message:
    raw, _, query = call.target.partition("?")
    headers = [("host", host) for host in call.hosts] + call.headers + call.framing()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2" if call.unannounced else "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("192.0.2.7", 50_000),
        "scheme": call.scheme,
        "method": call.method,
        "root_path": call.mount,
        "path": unquote(call.wired_mount + raw),
        "raw_path": (call.wired_mount + raw).encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers],
    }
    if not call.tells_target:
        del scope["raw_path"]
    return scope


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)
