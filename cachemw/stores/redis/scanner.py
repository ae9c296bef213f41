"""A search through all entries of a namespace in Redis. It is for people; no request uses it.

SCAN returns the names, from every server that has keys. Values are read in batches, after their lengths:
so only a few megabytes are in flight at once, and a value that is longer than an entry can be is not
read at all. The search has its own connection with a longer timeout, so it takes no connection from
requests, and does not report to a breaker. SCAN may return a name twice while Redis resizes its table
of keys.
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
from cachemw.errors import EntryRejected, SearchTimedOut, StoreUnavailable
from cachemw.stores.redis.codec import Codec
from cachemw.stores.redis.commands import WRONG_TYPE
from cachemw.stores.redis.key_names import name_of
from cachemw.stores.redis.tier import FORMAT, ServerClock

__all__ = ["ScanResult", "Scanner"]

_NAMES = 1000
"""Names that a server examines for one SCAN. It takes less than a millisecond and blocks the server."""
_BATCH = 4 << 20
"""Bytes of values that are read at once. A single value may be longer."""
_PATIENCE = 2.0
"""Seconds that a reply may take, where a person waits for it."""

_Value = bytes | str | None
"""The value (bytes), the reason why it is no entry (str), or None if it has just been removed."""
_Named = tuple[bytes, _Value]


class ScanResult(Struct, frozen=True, kw_only=True):
    """One name in Redis: an entry and its key, or the reason why the value is no entry."""

    name: str
    key: Key | None = None
    entry: Item | None = None
    reason: str = ""


class Scanner:
    """A search through the entries of one namespace."""

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
    ) -> Iterator[ScanResult]:
        """Yield all stored entries. `identify` makes a key from a full key. Blocks.

        Raises StoreUnavailable if a server does not answer for `patience` seconds, or if its time is
        not known. Raises SearchTimedOut at the monotonic time `ends`. The caller could not check that
        time itself: a server full of other applications' keys yields nothing for a long time.
        """
        with _mapped_errors():
            for node in self._nodes.all_nodes():
                with closing(node.dedicated_client(patience)) as client:
                    for names in self._names(client):
                        for name, value in self._values(client, names):
                            yield from self._results(name, value, identify)
                        if time.monotonic() >= ends:
                            raise SearchTimedOut

    def by_digest(self, digest: bytes, identify: Callable[[bytes], Key]) -> Iterator[ScanResult]:
        """Yield the entry of one digest, if there is one. Raises the same errors as `entries`."""
        name = name_of(self._namespace, Key(digest, b""), FORMAT)
        with (
            _mapped_errors(),
            closing(self._nodes.find(name).dedicated_client(_PATIENCE)) as client,
        ):
            for _, value in self._values(client, [name]):
                yield from self._results(name, value, identify)

    def _names(self, client: Any) -> Iterator[list[bytes]]:
        pattern = f"cachemw:{{{self._namespace}:*}}:{FORMAT}"
        cursor = 0
        while True:
            cursor, names = client.scan(cursor, match=pattern, count=_NAMES)
            yield names
            if not cursor:
                return

    def _values(self, client: Any, names: list[bytes]) -> Iterator[_Named]:
        """Yield names with their values, or with the reason why a value is no entry."""
        read, size = [], 0
        lengths = _run_each(client, (("STRLEN", name) for name in names))
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
        # A value may have grown meanwhile. One byte more than an entry can have shows it, as in `RedisTier`.
        last = self._codec.largest
        values = _run_each(client, (("GETRANGE", name, 0, last) for name in names))
        yield from zip(names, values, strict=True)

    def _results(
        self, name: bytes, value: _Value, identify: Callable[[bytes], Key]
    ) -> Iterator[ScanResult]:
        printable = name.decode("ascii", "backslashreplace")
        if isinstance(value, str):
            yield ScanResult(name=printable, reason=value)
            return
        shift = self._server_clock()
        if shift is None:
            raise StoreUnavailable("scan: the server's time is not known")
        if not value:  # it was just removed
            return
        now = self._monotonic()
        try:
            key, entry = self._codec.open(value, identify, now=now, server_now=now + shift)
            if name_of(self._namespace, key, FORMAT) != name:
                raise EntryRejected("key")
        except EntryRejected as rejected:
            if rejected.reason != "expired":  # Redis will remove it soon
                yield ScanResult(name=printable, reason=rejected.reason)
        else:
            yield ScanResult(name=printable, key=key, entry=entry)


@contextmanager
def _mapped_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"scan: {type(error).__name__}") from error


def _run_each(client: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Run commands, each for one key, in one pipeline, and return their answers.

    An answer is the reason "type" if the value is of another type. It is None if the key has moved
    to another server: it is found there.
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
