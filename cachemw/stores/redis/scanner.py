"""Looking through all entries of a namespace in Redis: for people, never on behalf of a request.

SCAN gives the names, a thousand looked at a time, on every server that keys are at. Values are asked
for by the batch, and how long they are comes first: no more than some megabytes are on their way at
once, and what is longer than an entry can be is not read at all. The connection is one of its own,
with a person's patience: it takes none from requests, and tells no breaker. While Redis makes its
table of keys larger or smaller, SCAN may give a name twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from msgspec import Struct

from cachemw.connections.nodes import Nodes
from cachemw.engine.model.entry import Item, Key
from cachemw.errors import EntryRejected, StoreUnavailable
from cachemw.stores.redis.codec import Codec
from cachemw.stores.redis.commands import WRONG_TYPE
from cachemw.stores.redis.key_names import name_of
from cachemw.stores.redis.tier import FORMAT, ServerClock

__all__ = ["Scanned", "Scanner", "TimeIsUpError"]

_NAMES = 1000
"""Names that a server looks at for one SCAN: less than a millisecond, in which it does nothing else."""
_BATCH = 4 << 20
"""Bytes of values that are asked for at once; one value may be longer."""
_PATIENCE = 2.0
"""Seconds that a reply may take: a person waits for it."""

_Value = bytes | str | None
"""A value, why it is no entry, or None: it is not there any more."""
_Named = tuple[bytes, _Value]


class Scanned(Struct, frozen=True, kw_only=True):
    """What one name holds: an entry and its key, or why it is none."""

    name: str
    key: Key | None = None
    entry: Item | None = None
    reason: str = ""


class TimeIsUpError(Exception):
    """There was no time to look at all there is."""


class Scanner:
    """Looks through the entries of one namespace."""

    def __init__(
        self,
        nodes: Nodes,
        namespace: str,
        codec: Codec,
        *,
        server_clock: ServerClock,
        monotonic: Callable[[], float],
    ) -> None:
        self._nodes = nodes
        self._namespace = namespace
        self._codec = codec
        self._server_clock = server_clock
        self._monotonic = monotonic

    def entries(
        self,
        identify: Callable[[bytes], Key],
        *,
        patience: float = _PATIENCE,
        ends: float = math.inf,
    ) -> Iterator[Scanned]:
        """Yield what is stored; `identify` makes the key of a full one. Blocks.

        Raises StoreUnavailable when a server does not answer for `patience` seconds, or its time is
        not known, and TimeIsUpError at the monotonic time `ends`: whoever takes what is yielded would
        not notice, where a server is full of others' keys.
        """
        with _mapped_errors():
            for node in self._nodes.every():
                with closing(node.alone(patience)) as client:
                    for names in self._names(client):
                        for name, value in self._values(client, names):
                            yield from self._opened(name, value, identify)
                        if time.monotonic() >= ends:
                            raise TimeIsUpError

    def under(self, digest: bytes, identify: Callable[[bytes], Key]) -> Iterator[Scanned]:
        """Yield what is stored under one key, if anything; raises as `entries` does."""
        name = name_of(self._namespace, Key(digest, b""), FORMAT)
        with (
            _mapped_errors(),
            closing(self._nodes.found(name).alone(_PATIENCE)) as client,
        ):
            for _, value in self._values(client, [name]):
                yield from self._opened(name, value, identify)

    def _names(self, client: Any) -> Iterator[list[bytes]]:
        pattern = f"cachemw:{{{self._namespace}:*}}:{FORMAT}"
        cursor = 0
        while True:
            cursor, names = client.scan(cursor, match=pattern, count=_NAMES)
            yield names
            if not cursor:
                return

    def _values(self, client: Any, names: list[bytes]) -> Iterator[_Named]:
        """Give names with their values, or with the reason why a value is no entry."""
        read, size = [], 0
        lengths = _asked(client, (("STRLEN", name) for name in names))
        for name, length in zip(names, lengths, strict=True):
            if isinstance(length, str):
                yield name, length
            elif not length:
                continue
            elif length > self._codec.largest:
                yield name, "size"
            else:
                read.append(name)
                size += length
                if size >= _BATCH:
                    yield from self._read(client, read)
                    read, size = [], 0
        yield from self._read(client, read)

    def _read(self, client: Any, names: list[bytes]) -> Iterator[_Named]:
        # It may have grown meanwhile: one byte more than an entry has tells, as in `RedisTier`.
        last = self._codec.largest
        values = _asked(client, (("GETRANGE", name, 0, last) for name in names))
        yield from zip(names, values, strict=True)

    def _opened(
        self, name: bytes, value: _Value, identify: Callable[[bytes], Key]
    ) -> Iterator[Scanned]:
        shown = name.decode("ascii", "backslashreplace")
        if isinstance(value, str):
            yield Scanned(name=shown, reason=value)
            return
        shift = self._server_clock()
        if shift is None:
            raise StoreUnavailable("scan: the server's time is not known")
        if not value:  # it has just gone
            return
        now = self._monotonic()
        try:
            key, entry = self._codec.open(value, identify, now=now, server_now=now + shift)
            if name_of(self._namespace, key, FORMAT) != name:
                raise EntryRejected("key")
        except EntryRejected as rejected:
            if rejected.reason != "expired":  # Redis is about to remove it
                yield Scanned(name=shown, reason=rejected.reason)
        else:
            yield Scanned(name=shown, key=key, entry=entry)


@contextmanager
def _mapped_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"scan: {type(error).__name__}") from error


def _asked(client: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Run commands about one key each; an answer is a text where the value is of another type.

    It is None for what is on another server by now: it is found there.
    """
    from redis.exceptions import AskError, MovedError

    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = []
    for answer in pipeline.execute(raise_on_error=False):
        if isinstance(answer, (AskError, MovedError)):
            answer = None
        elif isinstance(answer, Exception):
            if not str(answer).startswith(WRONG_TYPE):
                raise answer
            answer = "type"
        answers.append(answer)
    return answers
