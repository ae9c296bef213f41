"""The application under the model, and its book: every answer that it ever gave, and when."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

__all__ = ["PATHS", "ROUTES", "Application", "Given", "identify", "route_of"]


@dataclass(frozen=True)
class Lasting:
    """How long a route's answers are good for, in seconds."""

    fresh: float
    window: float = 0.0
    """How long they may be served stale after that."""
    options: dict[str, Any] = field(default_factory=dict)


ROUTES = {
    "things": Lasting(0.4, 0.4),
    "plain": Lasting(5.0),
    "varied": Lasting(5.0, 0.4),
    "own": Lasting(5.0, options={"identity": "user"}),
    "sessions": Lasting(5.0),
    "learned": Lasting(1.0, options={"ttl": {"min": "50ms", "max": "1s"}}),
}
"""`things` can be validated, `plain` has a date, `varied` answers by language, `own` by identity,
`sessions` with a cookie; how long `learned` lasts is learned, up to its bound. Most last long, so that only
a purge ends them."""

PATHS = tuple(f"/{route}/{number}" for route in ROUTES for number in (1, 2))


def route_of(path: str) -> str:
    return path.split("/")[1]


def identify(request: Any) -> str | None:
    """Say who asks: the identity function of the route `own`."""
    value = request.headers.first(b"authorization")
    return value.decode() if value else None


@dataclass
class Given:
    """One answer of the application."""

    path: str
    version: int
    who: str | None
    """Whom it was made for, if the application knew."""
    language: str
    at: float
    """When its making began, or the application last said that it is current."""
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Application:
    """A WSGI application over one database, shared by every process of the fleet.

    Each answer is unique: its body names its number, and the book has it under that number.
    """

    def __init__(self) -> None:
        self.versions: dict[str, int] = defaultdict(lambda: 1)
        self.book: dict[int, Given] = {}
        self.pausing: Callable[[], object] | None = None
        """Called once, between reading the data and answering: what comes to pass while it is made."""
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        given, current = self._answer(environ)
        pausing, self.pausing = self.pausing, None
        if pausing is not None:
            pausing()
        if current:
            start_response("304 Not Modified", [("ETag", environ["HTTP_IF_NONE_MATCH"])])
            return []
        start_response(f"{given.status} OK", given.headers)
        return [given.body]

    def _answer(self, environ: Any) -> tuple[Given, bool]:
        at = time.monotonic()
        path = environ["PATH_INFO"]
        who = environ.get("HTTP_AUTHORIZATION") or environ.get("HTTP_COOKIE")
        language = environ.get("HTTP_ACCEPT_LANGUAGE", "")
        with self._lock:
            version = self.versions[path]
            known = self._validated(environ.get("HTTP_IF_NONE_MATCH", ""), path, version, who)
            if known is not None:
                known.at = at
                return known, True
            number = len(self.book)
            body = f"{number} {path} v{version} for {who} in {language} ".encode()
            # Every byte value, and the ends of lines in every spelling: bodies are not text.
            body += bytes(range(256)) + b"\r\n\n\r"
            given = Given(path, version, who, language, at, 200, [], body)
            given.headers = _headers(given, number)
            self.book[number] = given
        return given, False

    def _validated(self, tag: str, path: str, version: int, who: str | None) -> Given | None:
        """Give the answer that a validator names, if the data is still what it was made of."""
        number = tag.strip('"')
        given = self.book.get(int(number)) if number.isdigit() else None
        if given is None or (given.path, given.version, given.who) != (path, version, who):
            return None
        return given


def _headers(given: Given, number: int) -> list[tuple[str, str]]:
    """Give header pairs with duplicates that are not together, and a validator where there may be one."""
    headers = [
        ("X-Part", "one"),
        ("Content-Type", "text/plain; charset=latin-1"),
        ("X-Part", f"two of {number}"),
        ("X-Empty", ""),
    ]
    match route_of(given.path):
        case "things":
            headers.append(("ETag", f'"{number}"'))
        case "plain":
            headers.append(("Date", formatdate(usegmt=True)))
        case "varied":
            headers.append(("Vary", "Accept-Language"))
        case "sessions":
            headers.append(("Set-Cookie", f"sid={number}"))
    return headers
