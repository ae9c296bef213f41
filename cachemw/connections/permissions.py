"""The commands that the user of the cache needs in Redis, and the search for those that it may not send.

Each command is sent once, because only administrators may ask the ACL. A server asks the ACL before it runs
a command. So a command here changes nothing, or only a key of its own that ends in a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachemw.connections.failures import REFUSALS, error_code

__all__ = ["KEYS", "missing_permissions"]

KEYS = "keys"
"""What is missing where the user may not use the keys of the namespace."""

_LIFETIME = 1000
"""Milliseconds that the key lives, if the user may not delete it."""

_Command = tuple[str, tuple[Any, ...]]
"""The name of a command in an ACL, and the command."""


def missing_permissions(client: Any, name: bytes) -> list[str]:
    """Return the names of commands that the user may not send, and KEYS if it may not use the keys.

    `client` has a single connection. `name` is the beginning of keys that are on its server. Raises the
    errors of redis-py if the server is away, read-only, or full.
    """
    from redis.exceptions import ResponseError

    missing: dict[str, None] = {}
    for command, words in _commands(name + b":probe"):
        try:
            client.execute_command(*words)
        except ResponseError as error:
            code = error_code(error)
            if code == "NOPERM" or "NOPERM" in str(
                error
            ):  # an EXEC that is refused is an EXECABORT
                missing[command if "to run the" in str(error) else KEYS] = None
            elif code in REFUSALS:
                raise
            # All else is what a command says of a key that holds a text, or is not there.
    return list(missing)


def _commands(key: bytes) -> Iterator[_Command]:
    """Yield every command that the cache sends, with a key for it. MULTI and EXEC are last: the
    connection cannot be used after a MULTI whose EXEC is refused."""
    yield "set", ("SET", key, b"", "PX", _LIFETIME)
    for name in ("get", "mget", "strlen", "exists", "type", "pttl", "hgetall", "watch"):
        yield name, (name.upper(), key)
    yield "getrange", ("GETRANGE", key, 0, 0)
    yield "hset", ("HSET", key, "f", "")
    yield "hdel", ("HDEL", key, "f")
    yield "rpush", ("RPUSH", key, "")
    yield "ltrim", ("LTRIM", key, 0, 0)
    yield "lrange", ("LRANGE", key, 0, 0)
    yield "xadd", ("XADD", key, "NOMKSTREAM", "*", "f", "")
    yield "xtrim", ("XTRIM", key, "MAXLEN", 1)
    yield "xrange", ("XRANGE", key, "-", "+", "COUNT", 1)
    yield "xrevrange", ("XREVRANGE", key, "+", "-", "COUNT", 1)
    yield "xread", ("XREAD", "COUNT", 1, "STREAMS", key, 0)
    yield "xinfo|stream", ("XINFO", "STREAM", key)
    yield "eval", ("EVAL", "return 1", 1, key)
    yield "pexpire", ("PEXPIRE", key, _LIFETIME)
    yield "expire", ("EXPIRE", key, 1)
    yield "del", ("DEL", key)
    yield "scan", ("SCAN", 0, "COUNT", 1)
    for name in ("time", "unwatch", "multi", "exec"):
        yield name, (name.upper(),)
