"""The least versions of the servers, and the check of the version that a server names."""

from __future__ import annotations

import re
from typing import Any

from cachemw.errors import StoreUnavailable

__all__ = ["NEEDED", "refuse_old_server"]

_LEAST = {"redis": (6, 2), "valkey": (7, 2)}
"""The least version by the name that a server gives itself. Redis 6.2 is the first with XADD NOMKSTREAM,
without which a log that was lost would look whole."""

NEEDED = "cachemw needs Redis 6.2 or later, or Valkey 7.2 or later"

_NUMBER = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)


def refuse_old_server(client: Any) -> None:
    """Raise StoreUnavailable where a server says that it is too old. Sends one command, at most two.

    HELLO tells the version, and every user that may connect may send it. Redis before 6.0 does not know
    it, and INFO tells there. A server that tells neither, or that is of another make, is trusted.
    """
    from redis.exceptions import ResponseError

    try:
        told = _pairs(client.execute_command("HELLO"))
    except ResponseError:
        try:
            info = client.info("server")
        except ResponseError:
            return
        told = {"server": "redis", "version": str(info.get("redis_version", ""))}
    _refuse_old(told.get("server", ""), told.get("version", ""))


def _refuse_old(name: str, version: str) -> None:
    found, least = _NUMBER.match(version), _LEAST.get(name)
    if found is not None and least is not None and (int(found[1]), int(found[2])) < least:
        # `from None`: it is checked where another error is handled, and counts in place of that one.
        raise StoreUnavailable(f"{name.capitalize()} {version} is too old: {NEEDED}") from None


def _pairs(reply: Any) -> dict[str, str]:
    """Return the texts in the answer of HELLO, a flat list in RESP2."""
    if isinstance(reply, dict):
        items = list(reply.items())
    elif isinstance(reply, list):
        items = list(zip(reply[::2], reply[1::2], strict=False))
    else:
        items = []
    return {_text(name): _text(value) for name, value in items}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
