"""A failure of Redis in words that help, and that repeat nothing of the driver's.

The text of a driver's error may hold a password or a part of a command. So it is not shown: its class,
its cause in the operating system and the error codes of Redis tell enough.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

from cachemw.errors import StoreError

__all__ = ["describe_failure", "is_read_only"]

_REFUSALS = {
    "WRONGPASS": "refuses the user name or the password: compare both with those of the server",
    "NOAUTH": "wants a password: write it into the URL, as in redis://:PASSWORD@host:6379/0",
    "NOPERM": "does not allow this user to do that: see its ACL",
    "READONLY": "is a read-only replica: after a failover its name soon leads to the new primary server, else"
    " write the address of that",
    "UNBLOCKED": "has become a replica: another server is the primary now",
    "OOM": "is full: give it more memory (maxmemory), or let it evict entries",
    "LOADING": "is still loading its data",
    "MISCONF": "accepts no writes because it cannot save to its disk",
    "CLUSTERDOWN": "is a Cluster that is down",
    "MOVED": "is a Cluster: write redis+cluster:// in place of redis://",
    "NOREPLICAS": "accepts no writes because too few replicas are connected",
    "MASTERDOWN": "is a replica that has lost its primary server",
}
"""What a server with this error code does. The codes are those of Redis and Valkey."""

_NOTHING_TO_CHECK = ("without any password configured", "no password is set")
"""What Redis says, now and in old releases, if it gets a password and has none."""


_READ_ONLY = re.compile(r"(?:^|[\s-])READONLY ")
"""How the error begins where the command was in a script (before 7.0) or in a transaction."""


def is_read_only(error: BaseException) -> bool:
    """Tell whether a server refused a command because it is a replica."""
    from redis.exceptions import ReadOnlyError, ResponseError

    return isinstance(error, ReadOnlyError) or (
        isinstance(error, ResponseError) and _READ_ONLY.search(str(error)) is not None
    )


def describe_failure(error: BaseException, deadline: float | None = None) -> str:
    """Return what Redis does, as the rest of a sentence: "cannot be reached: connection refused".

    `deadline` is the number of seconds that the answer was waited for, if that is known.
    """
    from redis.exceptions import (
        AuthenticationError,
        InvalidResponse,
        MaxConnectionsError,
        RedisError,
        ResponseError,
    )
    from redis.exceptions import TimeoutError as RedisTimeout

    if isinstance(error, StoreError) and error.__cause__ is None:
        return f"cannot be used: {error}"
    failures = list(_chain(error))
    for failure in failures:
        if isinstance(failure, (AuthenticationError, ResponseError)):
            return _describe_refusal(failure)
        if isinstance(failure, InvalidResponse):
            return "does not speak the protocol of Redis: is another server at this address?"
        if isinstance(failure, MaxConnectionsError):
            return "has no free connection left in this process"
    for failure in failures:
        if (cause := _describe_system_error(failure)) is not None:
            return f"cannot be reached: {cause}"
    if any(isinstance(failure, (RedisTimeout, TimeoutError)) for failure in failures):
        return "did not answer in time" if deadline is None else f"did not answer in {deadline:g} s"
    name = type(failures[-1]).__name__
    if not any(isinstance(failure, (RedisError, OSError)) for failure in failures):
        return f"is not used, because of an error in this process: {name}"
    if name == "ConnectionError":  # redis-py's, without a cause: the server closed it
        return "cannot be reached: the connection was lost"
    return f"cannot be reached: {name}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it; what our own errors wrap comes in place of them."""
    seen: BaseException | None = error
    while seen is not None:
        if not isinstance(seen, StoreError):
            yield seen
        seen = seen.__cause__ or seen.__context__


def _describe_refusal(error: BaseException) -> str:
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if is_read_only(error):
        code = "READONLY"
    if code in _REFUSALS:
        return _REFUSALS[code]
    text = str(error).lower()
    if any(said in text for said in _NOTHING_TO_CHECK):
        return "has no password: leave it out of the URL"
    if "unknown command" in text:
        return "does not know a command: cachemw needs Redis 7.0, or Valkey"
    return f"refuses the command ({type(error).__name__})"


def _describe_system_error(error: BaseException) -> str | None:
    """Return what the operating system says of a connection; None if it says nothing."""
    if isinstance(error, socket.gaierror):
        return "its host name is not known here"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return "TLS failed: does the server speak TLS (rediss://), or not (redis://)?"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return None
