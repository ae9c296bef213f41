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

from cachemw.connections.versions import NEEDED
from cachemw.errors import StoreError

__all__ = ["REFUSALS", "describe_failure", "error_code"]

REFUSALS = {
    "WRONGPASS": "refuses the user name or the password: compare both with those of the server",
    "NOAUTH": "wants a password: write it into the URL, as in redis://:PASSWORD@host:6379/0",
    "DENIED": "is in protected mode: it takes other machines' connections only with a password",
    "READONLY": "is a read-only replica: write the address of the primary server",
    "OOM": "is full: give it more memory (maxmemory), or let it evict entries",
    "LOADING": "is still loading its data",
    "MISCONF": "accepts no writes because it cannot save to its disk",
    "CLUSTERDOWN": "is a Cluster that is down",
    "MOVED": "is a Cluster: write redis+cluster:// in place of redis://",
    "NOREPLICAS": "accepts no writes because too few replicas are connected",
    "MASTERDOWN": "is a replica that has lost its primary server",
}
"""What a server with this error code does. The codes are those of Redis and Valkey."""

_SAYINGS = {
    "cluster support disabled": "is no node of a Cluster: write redis:// in place of redis+cluster://",
    "db index is out of range": "has no database of this number: change the last part of the URL",
    "select is not allowed in cluster mode": "is a Cluster, which has only database 0: write no other",
    "max number of clients reached": "has no connection left: raise maxclients, or close others",
    "the user executing the script can't": "does not allow this user all commands and keys of a script",
    "unknown command": f"does not know a command: {NEEDED}",
}
"""What a server does that answers with this text, without a code that tells enough."""

_FORBIDDEN_COMMAND = re.compile(r"'([a-z0-9|_-]{1,40})' command")
"""The command in a refusal of the ACL, from Redis 6.2 to Valkey 9. Nothing else of the text is shown."""

_ADVICE = {
    errno.ECONNREFUSED: " (does it run, and is this its port?)",
    errno.EHOSTUNREACH: " (is this its address, and does a firewall let it through?)",
    errno.ENETUNREACH: " (is this its address, and does a firewall let it through?)",
    errno.ECONNRESET: " (did it end, or does it speak TLS only, rediss://?)",
}

_HANDSHAKE = "handshake operation timed out"
"""The message of Python's `ssl` where the other side does not speak TLS, and waits."""

_CLOSED = "Connection closed by server"
"""The message of redis-py."""

_NOTHING_TO_CHECK = ("without any password configured", "no password is set")
"""What Redis says, now and in old releases, if it gets a password and has none."""


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

    failures = list(_chain(error))
    if not failures:  # nothing but our own words: the innermost say most
        return f"cannot be used: {_innermost(error)}"
    for failure in failures:
        if isinstance(failure, (AuthenticationError, ResponseError)):
            return _describe_refusal(failure)
        if isinstance(failure, InvalidResponse):
            return "does not speak the protocol of Redis: is another server at this address?"
        if isinstance(failure, MaxConnectionsError):
            return "has no free connection left in this process"
        if any(said in str(failure).lower() for said in _SAYINGS):
            return _describe_refusal(failure)
    for failure in failures:
        if (cause := _describe_system_error(failure)) is not None:
            return f"cannot be reached: {cause}"
    if any(isinstance(failure, (RedisTimeout, TimeoutError)) for failure in failures):
        return "did not answer in time" if deadline is None else f"did not answer in {deadline:g} s"
    if any(_CLOSED in str(failure) for failure in failures):
        return "closed the connection (did it end, or does it speak TLS only, rediss://?)"
    name = type(failures[-1]).__name__
    if not any(isinstance(failure, (RedisError, OSError)) for failure in failures):
        return f"is not used, because of an error in this process: {name}"
    return f"cannot be reached: {name}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it; what our own errors wrap comes in place of them."""
    seen: BaseException | None = error
    while seen is not None:
        if not isinstance(seen, StoreError):
            yield seen
        seen = _cause(seen)


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def error_code(error: BaseException) -> str:
    """Return the code at the beginning of what a server has answered, such as NOPERM."""
    return str(getattr(error, "status_code", None) or str(error).partition(" ")[0])


def _describe_refusal(error: BaseException) -> str:
    code = error_code(error)
    if code in REFUSALS:
        return REFUSALS[code]
    text = str(error).lower()
    if "NOPERM" in (code, *str(error).split()) or "acl failure in script" in text:
        return _describe_permission(text)
    if any(said in text for said in _NOTHING_TO_CHECK):
        return "has no password: leave it out of the URL"
    described = next((does for said, does in _SAYINGS.items() if said in text), None)
    return described or f"refuses the command ({type(error).__name__})"


def _describe_permission(text: str) -> str:
    """Return what the ACL does not allow: a command, or the names of keys."""
    if found := _FORBIDDEN_COMMAND.search(text):
        command = found[1]
        return f"does not allow this user the command {command.upper()}: add +{command} to its ACL"
    return "does not allow this user these keys: add ~cachemw:* to its ACL"


def _describe_system_error(error: BaseException) -> str | None:
    """Return what the operating system says of a connection; None if it says nothing."""
    if isinstance(error, socket.gaierror):
        return "its host name is not known here"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, ssl.SSLError) or _HANDSHAKE in str(error):
        return "TLS failed: does the server speak TLS (rediss://), or not (redis://)?"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower() + _ADVICE.get(error.errno, "")
    return None
