"""The server that has the log, and since when.

After a failover, the heartbeats on the new server are copies of old ones. Processes that have not come over
yet look as if they had ended, although they may still follow the old server and trust it. So the server of
the log is named in Redis by its run ID, which no other server has, and which is not replicated with the
data. Whoever joins and finds another name there writes the right one, with the server's time. Until every
process has had time to come over, no purge is confirmed.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ServerLife"]

_ALWAYS = 0.0
"""The time of a server on which a log is followed for the first time: nobody has to come over."""
_STEP = 1.0
"""Seconds that a time may lie in the future; more is the time of another server's clock."""


class ServerLife:
    """The run ID of the log's server, and the server's time when the first process joined it there."""

    name_command = ("INFO", "server")
    """The command that reads the run ID. A restricted user may not be allowed to."""

    def __init__(self, namespace: str, return_time: float) -> None:
        self._key = f"cachemw:{{{namespace}}}:server".encode()
        self._return_time = return_time
        self.read_command = ("MGET", self._key)  # MGET: None for a value of another type

    def note(self, client: Any, now: float, *, returning: bool) -> bool:
        """Write which server this is, if that is not known. `returning`: this process was on a log before.

        Return False if the server does not tell its run ID, so that it may be another one than before.
        """
        name = self._name(client)
        if not name:
            return False
        (stored,) = client.mget(self._key)
        known, since = _read(stored)
        if known != name or since > now + _STEP:
            self._write(client, name, now if returning or known else _ALWAYS)
        return True

    def begin_again(self, client: Any, now: float) -> None:
        """Write that every process has to come back, because the heartbeats were lost."""
        self._write(client, self._name(client) or "?", now)

    def is_settled(self, reply: Any, now: float | None, name: Any = None) -> bool:
        """Tell whether every process has had time to come over.

        `reply` is the answer to `read_command`. `name` is that to `name_command`, for a process that has not
        joined: None or an error if it is not known.
        """
        if isinstance(reply, Exception):
            return False
        known, since = _read(reply[0])
        if isinstance(name, dict) and known not in ("", "?", name.get("run_id")):
            return False
        if since == _ALWAYS:
            return True
        return now is not None and now - since > self._return_time

    def _name(self, client: Any) -> str:
        from redis.exceptions import ResponseError

        try:
            return str(client.info("server").get("run_id", ""))
        except ResponseError:
            return ""

    def _write(self, client: Any, name: str, since: float) -> None:
        client.set(self._key, f"{name} {since:.3f}")


def _read(stored: bytes | None) -> tuple[str, float]:
    """Return the run ID and the time that are stored; an empty ID if there is none."""
    name, _, since = (stored or b"").decode("ascii", "replace").partition(" ")
    try:
        return name, float(since)
    except ValueError:
        return "", _ALWAYS
