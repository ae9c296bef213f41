"""What the tests say once for every front door: requests, answers and handlers of no framework.

A handler is a callable from `Asked` (the request as the application sees it) to `Said` (or bytes).
Where a body is an iterator, an Event in it is waited for and everything else is sent; a generator
that raises is a stream that breaks.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from cachemw import tag

Pairs = list[tuple[str, str]]
Fields = Mapping[str, str] | Sequence[tuple[str, str]]
Piece = bytes | threading.Event

PATIENCE = 10.0
"""Seconds after which a wait that should have been over is a failure."""
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "QUERY")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as the application sees it; the last three as its framework reads them."""

    method: str
    path: str
    query: str
    headers: Pairs
    body: bytes
    params: Mapping[str, Any]
    arguments: Pairs
    cookies: Mapping[str, str]

    def field(self, name: str) -> str | None:
        """Give the first value of a header field."""
        return first(self.headers, name)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer of the application."""

    body: bytes | Iterator[Piece] = b"hello"
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    wait: threading.Event | None = None
    """What to wait for before the answer begins."""
    afterwards: Callable[[], object] | None = None
    """The background task, where the framework has them."""
    closed: Callable[[], object] | None = None
    """Called when the response is closed, where the interface has that."""
    messages: Sequence[dict[str, Any]] = ()
    """ASGI messages to send instead, as they are."""

    @property
    def pairs(self) -> Pairs:
        """The header fields, with a Content-Type, which WSGI demands."""
        if first(self.headers, "content-type") is not None or self.status in (204, 304):
            return list(self.headers)
        return [("Content-Type", "text/plain"), *self.headers]


Handler = Callable[[Asked], Said | bytes]


class Origin:
    """The application's handlers, and what they were asked."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = dict(handlers)
        self.asked: list[Asked] = []
        self.life: list[str] = []
        """What became of the application's own start-up and shutdown."""

    def answer(self, pattern: str, asked: Asked) -> Said:
        """Call a handler."""
        self.asked.append(asked)
        said = self.handlers[pattern](asked)
        return Said(body=said) if isinstance(said, bytes) else said


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it stands on the wire."""

    target: str
    method: str = "GET"
    headers: Pairs = field(default_factory=list)
    body: bytes = b""
    split: int = 0
    """Bytes of the body that come at once; 0: all of it."""
    cut: int | None = None
    """Bytes of the body after which the client goes away."""
    chunked: bool = False
    """Whether the body comes without a length."""
    unannounced: bool = False
    """Whether no header tells that there is a body, as in HTTP/2."""
    hidden: bool = False
    """Whether no header tells, though the request says that it is one of HTTP/1."""
    hosts: Sequence[str] = ("shop.example",)
    mount: str = ""
    raw_mount: str | None = None
    """How the mount stands on the wire; empty where something in front has taken it off. None: as usual."""
    tells_target: bool = True
    """Whether the server tells what the target was on the wire."""
    scheme: str = "http"
    hang_up_after: int | None = None
    """Pieces of the body after which the client goes away."""
    hang_up: str = ""
    """How that shows, in the words of the door's `hang_ups`."""
    on_piece: Callable[[bytes], object] = lambda piece: None

    def pieces(self) -> list[bytes]:
        """Give the body as it comes, as far as it comes."""
        sent = self.body[: self.cut]
        size = self.split or len(sent) or 1
        return [sent[start : start + size] for start in range(0, len(sent), size)] or [b""]

    @property
    def wired_mount(self) -> str:
        """The mount as it stands on the wire."""
        return quote(self.mount) if self.raw_mount is None else self.raw_mount

    def framing(self) -> Pairs:
        """Give the field that says how long the body is."""
        if self.unannounced or self.hidden:
            return []
        if self.chunked:
            return [("transfer-encoding", "chunked")]
        return [("content-length", str(len(self.body)))] if self.body else []


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Pairs
    """Names in lower case."""
    body: bytes
    error: BaseException | None = None
    """What the application raised in the server's face."""
    complete: bool = True
    """Whether the body came to its end."""
    messages: list[str] = field(default_factory=list)
    """The types of the ASGI messages."""
    calls: int = 0
    """How often handlers had been called by then, over all."""

    def field(self, name: str) -> str | None:
        """Give the first value of a header field."""
        return first(self.headers, name)

    @property
    def hit(self) -> bool:
        """Whether the cache says that it answered."""
        return "cachemw; hit;" in (self.field("cache-status") or "")

    @property
    def detail(self) -> str:
        """What Cache-Status gives as its detail."""
        return (self.field("cache-status") or "").partition("detail=")[2]

    @property
    def failed(self) -> bool:
        """Whether the application failed in the way its framework fails."""
        return self.error is not None or self.status >= 500

    def at(self, calls: int) -> Reply:
        """Give the reply with the number of handler calls."""
        return replace(self, calls=calls)


def first(pairs: Sequence[tuple[str, str]], name: str) -> str | None:
    """Give the first value of a header field."""
    return next((value for key, value in pairs if key.lower() == name.lower()), None)


def pairs_of(fields: Fields) -> Pairs:
    """Give header fields as pairs."""
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def numbered(text: str = "answer", **said: Any) -> Handler:
    """Make a handler whose every answer differs from the one before: `answer 1`, `answer 2`."""
    count = itertools.count(1)
    return lambda asked: Said(**{"body": f"{text} {next(count)}".encode(), **said})


def tagging(*tags: str, **said: Any) -> Handler:
    """Make a handler that tags its numbered answers."""
    plain = numbered(**said)

    def handler(asked: Asked) -> Said | bytes:
        tag(*tags)
        return plain(asked)

    return handler


def streamed(*pieces: bytes, **said: Any) -> Handler:
    """Make a handler that streams pieces without saying how long they are."""
    return lambda asked: Said(**{"body": iter(pieces), **said})


def echo(*names: str, **said: Any) -> Handler:
    """Make a handler that answers with the header fields it sees."""
    return lambda asked: Said(
        body="\n".join(f"{name}={asked.field(name)}" for name in names).encode(), **said
    )


def match(pattern: str, path: str) -> dict[str, str] | None:
    """Match a path against a pattern, for the applications that have no framework."""
    kinds = {"int": "[0-9]+", "path": ".*"}
    expression = re.sub(
        r"\{(\w+)(?::(\w+))?\}",
        lambda found: f"(?P<{found[1]}>{kinds.get(found[2] or '', '[^/]+')})",
        pattern,
    )
    found = re.fullmatch(expression, path, re.DOTALL)
    return None if found is None else found.groupdict()


def angled(pattern: str) -> str:
    """Spell a pattern as Flask and Django do: `<int:id>`."""
    return re.sub(
        r"\{(\w+)(?::(\w+))?\}",
        lambda found: f"<{found[2]}:{found[1]}>" if found[2] else f"<{found[1]}>",
        pattern,
    )
