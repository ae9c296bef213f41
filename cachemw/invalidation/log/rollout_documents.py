"""The documents of a rollout in Redis, written together with the live flags and the log.

    cachemw:{shop}:rollout          the state of the rollout
    cachemw:{shop}:rollout:looks    list: the result of each evaluation ("look") in the present phase
    cachemw:{shop}:rollout:history  stream: every decision
    cachemw:{shop}:rollout:active   exists while the rollout needs a controller
    cachemw:{shop}:rollout:lease    the process that controls it; it renews this key

All keys are in the slot of the log, so one transaction can write them, also in a Cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol

from cachemw.connections.nodes import Nodes
from cachemw.connections.versions import refuse_old_server
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.log.records import flag_fields, purge_fields
from cachemw.invalidation.log.stream import Stream
from cachemw.invalidation.purges import Purge

__all__ = ["RolloutDocuments", "RolloutWrite"]

LEASE_SECONDS = 5.0
"""Seconds. If its holder does not renew the lease, another controller takes over. They ask every two
seconds at least."""
_TIMEOUT = 2.0
"""Seconds that Redis has to answer. No request waits for it."""
_ATTEMPTS = 10
"""Attempts to write. Each one that fails is the success of another process."""
_RECORDS = 10_000
"""Decisions kept in the history (I4)."""
_LOOKS = 5000
"""Looks kept of one phase (I4)."""
_KEPT = 90 * 86400
"""Seconds that looks are kept after the last one, if the rollout is left alone."""

_TAKE_OR_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder == false or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
"""
_RELEASE = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class RolloutWrite(Protocol):
    """The values that one exchange writes."""

    @property
    def state(self) -> bytes:
        """The state of the rollout."""

    @property
    def flags(self) -> bytes | None:
        """The live flags. None: they do not change."""

    @property
    def purged(self) -> tuple[str, ...]:
        """The tags to purge."""

    @property
    def record(self) -> bytes | None:
        """A new record of the history."""

    @property
    def look(self) -> bytes | None:
        """The result of a new look."""

    @property
    def forget_looks(self) -> bool:
        """Whether to delete the earlier looks: they belong to another attempt."""

    @property
    def active(self) -> bool:
        """Whether the rollout needs a controller."""


class RolloutDocuments:
    """The documents of one namespace. All methods may block for seconds, and raise StoreUnavailable."""

    def __init__(self, namespace: str, stream: Stream, nodes: Nodes, me: Callable[[], str]) -> None:
        base = f"cachemw:{{{namespace}}}:"
        self._flags = f"{base}flags".encode()
        self._state = f"{base}rollout".encode()
        self._looks = f"{base}rollout:looks".encode()
        self._history = f"{base}rollout:history".encode()
        self._active = f"{base}rollout:active".encode()
        self._lease = f"{base}rollout:lease".encode()
        self._stream = stream
        self._nodes = nodes
        self._me = me

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from redis.exceptions import RedisError

        try:
            node = self._nodes.find(self._state)
            with closing(node.dedicated_client(_TIMEOUT)) as client:
                yield client
        except (RedisError, OSError) as error:
            self._nodes.mark_doubtful()
            raise StoreUnavailable(f"rollout: {type(error).__name__}: {error}") from error

    def read(self) -> bytes | None:
        """Return the state of the rollout. None: there is no rollout."""
        with self._client() as client:
            (found,) = client.mget(self._state)  # MGET: None for a value of another type
            return found if isinstance(found, bytes) else None

    def is_active(self, client: Any) -> bool:
        """Tell whether the rollout needs a controller. Uses the connection of the caller."""
        return bool(client.exists(self._active))

    def look(self, client: Any, count: int) -> tuple[bytes | None, list[bytes]]:
        """Return the state and the last records, the oldest first. Uses the connection of the caller."""
        (state,) = client.mget(self._state)
        found = client.xrevrange(self._history, count=count) if state else []
        return state, [fields[b"v"] for _, fields in reversed(found) if b"v" in fields]

    def restore(
        self, missing: Callable[[bytes | None], tuple[bytes, bool, Sequence[bytes]] | None]
    ) -> None:
        """Write what `missing` returns for the present state: a state, whether it is active, a history."""
        from redis.exceptions import WatchError

        with self._client() as client, client.pipeline() as pipeline, suppress(WatchError):
            pipeline.watch(self._state)
            wanted = missing(pipeline.mget(self._state)[0])
            if wanted is None:
                return
            state, active, records = wanted
            has_history = pipeline.exists(self._history)
            pipeline.multi()
            pipeline.set(self._state, state)
            if active:
                pipeline.set(self._active, b"1")
            for record in () if has_history else records:
                pipeline.xadd(self._history, {b"v": record}, maxlen=_RECORDS)
            pipeline.execute()

    def exchange(self, change: Callable[[bytes | None, bytes | None], RolloutWrite]) -> None:
        """Write what `change` returns for the present state and live flags, in one transaction.

        If `change` raises, nothing is written, and the error is passed on.
        """
        from redis.exceptions import WatchError

        with self._client() as client:
            refuse_old_server(client)
            for _ in range(_ATTEMPTS):
                with client.pipeline() as pipeline, suppress(WatchError):
                    pipeline.watch(self._state, self._flags)
                    state, flags = pipeline.mget(self._state, self._flags)
                    written = change(state, flags)
                    pipeline.multi()
                    self._write(pipeline, written)
                    pipeline.execute()
                    return
        raise StoreUnavailable("rollout: others keep changing it")

    def _write(self, pipeline: Any, written: RolloutWrite) -> None:
        pipeline.set(self._state, written.state)
        if written.active:
            pipeline.set(self._active, b"1")
        else:
            pipeline.delete(self._active)
        if written.flags is not None:
            pipeline.set(self._flags, written.flags)
            pipeline.execute_command(*self._stream.append_command(flag_fields(written.flags)))
        if written.purged:
            purge = purge_fields(Purge(tags=written.purged))
            pipeline.execute_command(*self._stream.append_command(purge))
        if written.forget_looks:
            pipeline.delete(self._looks)
        if written.look is not None:
            pipeline.rpush(self._looks, written.look)
            pipeline.ltrim(self._looks, -_LOOKS, -1)
            pipeline.expire(self._looks, _KEPT)
        if written.record is not None:
            pipeline.xadd(self._history, {b"v": written.record}, maxlen=_RECORDS)

    def looks(self) -> list[bytes]:
        """Return the looks of the present attempt, the oldest first."""
        with self._client() as client:
            return list(client.lrange(self._looks, 0, -1))

    def records(self, count: int) -> list[bytes]:
        """Return the last `count` records of the history, the oldest first."""
        with self._client() as client:
            found = client.xrevrange(self._history, count=count)
            return [fields[b"v"] for _, fields in reversed(found) if b"v" in fields]

    def lead(self) -> bool:
        """Take the lease if it is free, or renew it. Return whether this process has it."""
        with self._client() as client:
            return bool(
                client.eval(_TAKE_OR_RENEW, 1, self._lease, self._me(), int(LEASE_SECONDS * 1000))
            )

    def resign(self) -> None:
        """Release the lease, if this process has it."""
        with self._client() as client:
            client.eval(_RELEASE, 1, self._lease, self._me())

    def probe(self) -> str:
        """Try to set, read and delete a key with a lifetime. Return what is wrong, or an empty text."""
        key = self._state + b":probe"
        with self._client() as client:
            client.set(key, b"1", px=5000)
            read, left, deleted = client.get(key), client.pttl(key), client.delete(key)
        if read != b"1" or not 0 < left <= 5000 or deleted != 1:
            return "does not keep what it is given"
        return ""
