"""The TLS context of a deployment, made once, in the background.

Making one reads and parses all certificates of the system: 24 to 38 ms. redis-py makes one for each
connection, and for event loops inside the loop.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from cachemw.connections.opening.shared_call import SharedCall
from cachemw.errors import ConnectError

__all__ = ["TlsContext", "tls_options"]

_NOT_IN_TIME = "cannot be used with TLS: its certificates were not read in time"
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")


def tls_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of a URL that are about TLS."""
    return {name: value for name, value in options.items() if name.startswith("ssl_")}


class TlsContext:
    """The context for all connections to the servers of one deployment. Thread-safe."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the options as they are in a URL for redis-py."""
        self._options = dict(options)
        self._made: ssl.SSLContext | None = None
        self._call = SharedCall(self._make)

    def reset_after_fork(self) -> None:
        """Keep the context, and forget a call of the parent process."""
        self._call.reset_after_fork()

    def get(self, timeout: float) -> ssl.SSLContext:
        """Return the context; wait at most `timeout` seconds. Raises ConnectError if it cannot be made."""
        try:
            return self._made or self._call.result(timeout)
        except TimeoutError as error:
            raise ConnectError(_NOT_IN_TIME) from error

    async def aget(self, timeout: float) -> ssl.SSLContext:
        """Return the context as `get` does, without blocking the event loop."""
        try:
            return self._made or await self._call.aresult(timeout)
        except TimeoutError as error:
            raise ConnectError(_NOT_IN_TIME) from error

    def _make(self) -> ssl.SSLContext:
        from redis.asyncio import SSLConnection
        from redis.exceptions import RedisError

        try:
            self._made = SSLConnection(**self._options).ssl_context.get()
        except (OSError, ValueError, TypeError, RedisError) as error:
            raise ConnectError(f"cannot be used with TLS: {self._mistake(error)}") from error
        return self._made

    def _mistake(self, error: Exception) -> str:
        """Return which option does not work. Nothing of its value is repeated."""
        for name in _FILES:
            path = self._options.get(name)
            if path is not None and not os.access(path, os.R_OK):
                return f"the file of {name} is missing, or this process may not read it"
        if isinstance(error, ssl.SSLError):
            return "its certificates or keys cannot be read: " + ", ".join(
                name for name in _FILES if name in self._options
            )
        return f"the options ssl_… of its URL do not fit together ({type(error).__name__})"
