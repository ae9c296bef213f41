"""The credentials that a provider of the application returns, such as tokens of IAM or Entra.

A provider may ask a service for a token, which takes time. So it is called in a background thread:
neither in an event loop, nor in a thread of a request, nor in the one that follows the log. Each new
connection asks it anew, so that credentials are rotated without a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.credentials import CredentialProvider, StreamingCredentialProvider

from cachemw.connections.opening.shared_call import SharedCall
from cachemw.errors import ConnectError

__all__ = ["Credentials"]


class Credentials(CredentialProvider):
    """A provider that is asked in the background. Thread-safe."""

    def __init__(self, provider: CredentialProvider, limit: float) -> None:
        """Wait at most `limit` seconds for each answer of the provider."""
        self._provider = provider
        self._limit = limit
        self._call = SharedCall(self._ask)

    def reset_after_fork(self) -> None:
        """Forget a call of the parent process."""
        self._call.reset_after_fork()

    def on_renewal(self, renew: Callable[[], None]) -> None:
        """Call `renew` when a provider that streams credentials has new ones."""
        if isinstance(self._provider, StreamingCredentialProvider):
            self._provider.on_next(lambda token: renew())
            # What fails is asked for, and told, when the next connection is opened.
            self._provider.on_error(lambda error: None)

    def get_credentials(self) -> Any:
        """Return the credentials for one connection. Raises ConnectError."""
        try:
            return self._call.result(self._limit)
        except TimeoutError as error:
            raise ConnectError(self._too_slow) from error

    async def get_credentials_async(self) -> Any:
        """Return the credentials as `get_credentials` does, without blocking the event loop."""
        try:
            return await self._call.aresult(self._limit)
        except TimeoutError as error:
            raise ConnectError(self._too_slow) from error

    @property
    def _too_slow(self) -> str:
        return f"cannot be asked: the credential provider did not answer in {self._limit:g} s"

    def _ask(self) -> tuple[str, ...]:
        try:
            credentials = self._from_provider()
        except Exception as error:
            message = f"cannot be asked: the credential provider failed with {type(error).__name__}"
            raise ConnectError(message) from error
        if not _are_credentials(credentials):
            raise ConnectError(
                "cannot be asked: the credential provider did not return a user name and a password"
            )
        return tuple(credentials)

    def _from_provider(self) -> Any:
        try:
            return self._provider.get_credentials()
        except NotImplementedError:  # it has only the method for event loops
            return asyncio.run(self._provider.get_credentials_async())


def _are_credentials(found: Any) -> bool:
    return (
        isinstance(found, (tuple, list))
        and len(found) in (1, 2)
        and all(isinstance(each, (str, bytes)) for each in found)
    )
