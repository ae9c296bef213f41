"""Recording of what a response is made from, while the application makes it.

What is recorded: tags. The pipeline opens a `Recording` around every call of the application whose
response may be stored. Code that runs meanwhile, however deep, adds tags to it: by `tag`, by
`depends_on`, by `@tagged`, or by a recorder of database queries. Where nothing is being recorded these
calls do nothing. When the response is complete the recording is closed, and the stored entry carries its
tags together with the position in the invalidation log from before the application was called.

So a change purges every response that was made from the old data (I5): the writer purges the tags of
what it changed, and any entry that carries one of them, and whose making began before, is invalid. That
holds only if no read is missed. Two guards serve this:

- The recording travels in a context variable. Tasks, `asyncio.to_thread`, AnyIO's threads and
  `sync_to_async` copy the context by themselves; `thread_context` makes plain threads do so.
- Too many tags become coarser tags, and never fewer (`Recording.add_parts`).

An application may answer from another answer of the same process: it calls itself, or an application that it
has mounted. Then the outer response depends on everything that the inner one does. A recording therefore
passes on what it notes to the recording around it, whether or not the inner response is stored, and a stored
response that answers the inner request brings its tags (`reused`).

An application may also answer from a value that another request has left in a cache of the application's own.
A recorder that knows what that value was made from adds it (`Recording.add_value`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

from cachemw.engine.model.entry import Position
from cachemw.engine.model.holes import Fill, Piece
from cachemw.engine.model.tags import with_families
from cachemw.engine.privacy.cookie_reads import CookieReads
from cachemw.http.messages import Request

__all__ = [
    "Client",
    "MadeEarlier",
    "Position",
    "Recording",
    "Unrecorded",
    "current",
    "open_recording",
    "passing",
    "reused",
    "unrecorded",
    "value_caches",
    "with_families",
]

_MAX_PARTS = 64
"""Most rows of one table that a response is tagged by (I4). A response that read more of them depends on
the whole table."""


_SHORTEST_TEXT = 4
"""Bytes. A shorter piece, such as a number, is in many values that are made from nothing for one client."""

_OF_NO_LIFE = Position(b"\xff" * 8, 0)

Client = tuple[Mapping[str, Fill], Request]
"""What fills holes, and the request that they are to be filled for."""

value_caches: set[str] = set()
"""Caches of the application's own in which recorders have seen a value. Where there is one, calls are
recorded too whose response is not stored: what they set there may be shown by one that is."""


class MadeEarlier(NamedTuple):
    """The tags and the age of a value that an earlier request has left in the application's cache."""

    tags: tuple[str, ...] = ()
    position: Position | None = None
    """The position of the log that its rows are from; None: nobody knows, or not all of its tags."""


class Recording:
    """The tags of what one response was made from. Several threads may add to it at the same time.

    `with recording:` surrounds what the application does for the response: its call, and later each
    piece of a streamed body.
    """

    __slots__ = (
        "_closed",
        "_noted",
        "_outer",
        "_pieces",
        "_snapshots",
        "_texts",
        "_token",
        "_values",
        "began",
        "client",
        "cookies_read",
        "has_lost_piece",
        "has_stale_part",
        "in_shadow",
        "is_kept",
        "route",
    )

    def __init__(
        self,
        outer: Recording | None = None,
        route: str = "-",
        began: Position | None = None,
        *,
        client: Client | None = None,
        is_kept: bool = True,
    ) -> None:
        """Record for a response; `outer` is the recording of the response that asked for this one.

        `route` is the template of its route, for log lines. `began` is the position of the log from before
        the application was called. `client` is who gets the response, where the cache has holes. `is_kept`
        tells whether the response may be stored. If not, the recording is for the values that the
        application sets in a cache of its own meanwhile.
        """
        self._outer = outer
        self.route = route
        self.began = began
        self.is_kept = is_kept
        self.has_stale_part = False
        """Whether the response was made from a stored one that was stale."""
        self.client = client
        self.cookies_read: Callable[[], CookieReads | None] = _nobody_watches
        """Returns the cookies that the application has read by now; a front door that watches sets it."""
        self.in_shadow = False
        """Whether the response is only compared, and goes out as it is."""
        self.has_lost_piece = False
        """Whether a piece for one client is in the response that cannot be cut out of it."""
        self._pieces: list[Piece] | None = None
        """Those that can be; None: such a piece cannot be followed, or not any more."""
        self._texts: list[tuple[bytes, bool]] = []
        self._noted: dict[str, set[str] | None] = {}
        """The recorded parts of each whole; None: all of it, or a tag that has no parts."""
        self._snapshots: set[Position] = set()
        self._values: set[MadeEarlier] = set()
        self._closed = False
        self._token: Token[Recording | None] | None = None

    def __enter__(self) -> None:
        self._token = current.set(self)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        _reset(current, token)

    def add(self, tags: Iterable[str]) -> None:
        """Add normalised tags."""
        noted = dict.fromkeys(tags)
        if not self._closed:
            self._noted.update(noted)
        if self._outer is not None:
            self._outer.add(noted)

    def add_stored(self, tags: tuple[str, ...], *, stale: bool) -> None:
        """Add the tags of a stored response that this one is made from."""
        self.add(tags)
        recording: Recording | None = self if stale else None
        while recording is not None:
            recording.has_stale_part = True
            recording = recording._outer

    def add_parts(self, whole: str, parts: Iterable[str]) -> None:
        """Add the tags of parts of a whole; more than 64 of them become the tag of the whole.

        That is safe because whoever changes a part purges the tag of the whole too (I5).
        """
        parts = tuple(parts)
        if self._outer is not None:
            self._outer.add_parts(whole, parts)
        if self._closed:
            return
        noted = self._noted.setdefault(whole, set())
        if noted is not None:
            noted.update(parts)
            if len(noted) > _MAX_PARTS:
                self._noted[whole] = None

    def open_holes(self, *, in_shadow: bool) -> None:
        """Begin to note pieces for the client that the application puts into the response."""
        self._pieces, self.in_shadow = [], in_shadow

    @property
    def has_open_holes(self) -> bool:
        """Whether a piece for one client can still be cut out of the response."""
        return self._pieces is not None

    @property
    def has_pieces(self) -> bool:
        """Whether there is one that can be."""
        return bool(self._pieces)

    def add_piece(self, piece: Piece) -> bool:
        """Note a piece for one client. False: it cannot be cut out, so the response is not kept (I1)."""
        self._note_text(piece.text, placeholder=piece.placeholder)
        if self._outer is not None:  # it is part of that response too, which does not know where
            self._outer.lose_piece(piece.text)
        if self._pieces is None:
            self.has_lost_piece = True
            return False
        self._pieces.append(piece)
        return True

    def count_pieces(self) -> int:
        """Return how many pieces are noted by now."""
        return len(self._pieces or ())

    def lose_piece(self, text: bytes = b"") -> None:
        """Note that a piece for one client is in the response, and cannot be cut out."""
        recording: Recording | None = self
        while recording is not None:
            recording.has_lost_piece = True
            recording._note_text(text)
            recording = recording._outer

    def _note_text(self, text: bytes, *, placeholder: bool = False) -> None:
        if len(text) >= _SHORTEST_TEXT:
            self._texts.append((text, placeholder))

    @property
    def piece_texts(self) -> tuple[tuple[bytes, bool], ...]:
        """The texts of all pieces for one client, and whether each is a placeholder."""
        return tuple(self._texts)

    def take_pieces(self) -> tuple[Piece, ...]:
        """Return the pieces, when the head of the response is there; later ones cannot be cut out."""
        pieces, self._pieces = self._pieces, None
        return tuple(pieces or ())

    @property
    def closed(self) -> bool:
        """Whether the response is complete."""
        return self._closed

    def read_at(self, position: Position) -> None:
        """Note that rows were read as they were at this position of the log, or later.

        The response is then as old as these rows, however late the recording began.
        """
        self._snapshots.add(position)
        if self._outer is not None:
            self._outer.read_at(position)

    def add_value(self, value: MadeEarlier) -> None:
        """Note that the response is made from a value of a cache of the application's own."""
        if not self._closed:
            self._values.add(value)
        if self._outer is not None:
            self._outer.add_value(value)

    @property
    def has_unknown_value(self) -> bool:
        """Whether it is made from a value of which nobody knows what that was made from."""
        return bool(self._values) and any(each.position is None for each in tuple(self._values))

    def oldest(self, began: Position) -> Position:
        """Return the position that the rows are from; `began` is that of the recording.

        If they are from two lives of the log, nobody can tell what was purged in between (I5). Then it is a
        position of no life, and whatever carries it is dead.
        """
        if not self._values and not self._snapshots:
            return began
        values = (each.position for each in tuple(self._values) if each.position)
        for each in (*self._snapshots, *values):
            if each.epoch != began.epoch:
                return _OF_NO_LIFE
            began = min(began, each, key=_number)
        return began

    def include(self, earlier: Recording | None) -> None:
        """Close an earlier recording, and add all that it holds."""
        if earlier is not None:
            self.add(earlier.close())
            for position in earlier._snapshots:
                self.read_at(position)
            self._texts.extend(earlier._texts)
            if earlier.has_lost_piece:
                self.lose_piece()
            for value in earlier._values:
                self.add_value(value)

    def close(self) -> tuple[str, ...]:
        """Return the recorded tags, sorted; what is added later is ignored: the response is complete."""
        self._closed = True
        return self.so_far()

    def so_far(self) -> tuple[str, ...]:
        """Return the tags that are recorded by now, sorted."""
        if not self._noted and not self._values:
            return ()
        tags: set[str] = set()
        for value in tuple(self._values):
            tags.update(value.tags)
        for whole, parts in tuple(self._noted.items()):
            tags.update((whole,) if parts is None else parts)
        return tuple(sorted(tags))


def _nobody_watches() -> CookieReads | None:
    return None


def _number(position: Position) -> int:
    return position.id


current: ContextVar[Recording | None] = ContextVar("cachemw_recording", default=None)
"""The recording of the response that is being made in this context; None where none is."""


passing: ContextVar[Client | None] = ContextVar("cachemw_passing", default=None)
"""Who gets the response that is being made in this context, if it is not recorded."""


def _reset(variable: ContextVar[Any], token: Token[Any] | None) -> None:
    if token is not None:
        try:  # `suppress` takes longer, and this is on the way of every miss
            variable.reset(token)
        except ValueError:  # an asynchronous generator may be closed in another context
            return


def open_recording() -> Recording | None:
    """Return the recording around the running code, if its response is not complete yet."""
    recording = current.get()
    return None if recording is None or recording._closed else recording


def reused(tags: tuple[str, ...], *, stale: bool = False, filled: bool = False) -> None:
    """Note that a stored response answers a request of the application itself, if it is one.

    A response that is made from a stale one is not kept: it would be fresh for its whole lifetime. Nor is
    one that is made from one that was filled for a client.
    """
    recording = current.get()
    if recording is not None:
        recording.add_stored(tags, stale=stale)
        if filled:
            recording.lose_piece()


class Unrecorded:
    """The stand-in for a recording where the response will not be stored."""

    __slots__ = ("_token", "client")
    has_pieces = False

    def __init__(self, client: Client | None = None) -> None:
        self.client = client
        self._token: Token[Client | None] | None = None

    def __enter__(self) -> None:
        if self.client is not None:
            self._token = passing.set(self.client)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        _reset(passing, token)

    def include(self, earlier: Recording | None) -> None:
        """Do nothing."""


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record none of the reads inside: a change of what they read will purge nothing.

    This is for data that may be as old as the lifetime of the response, such as figures. It also
    decorates functions, though not coroutine functions: `@unrecorded()`. Writes inside purge as usual.
    """
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)
