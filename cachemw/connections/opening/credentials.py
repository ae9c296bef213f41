"""The credentials that a provider of the application returns, such as tokens of IAM or Entra.

A provider may ask a service for a token, which takes time. So it is called in a background thread:
neither in an event loop, nor in a thread of a request, nor in the one that follows the log. Each new
connection asks it anew, so that credentials are rotated without a restart.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

from redis.credentials import CredentialProvider, StreamingCredentialProvider

from cachemw.connections.opening.shared_call import SharedCall
from cachemw.errors import ConfigError, ConnectError, Problem

__all__ = ["Credentials", "import_provider"]

_METHOD = "get_credentials"


def import_provider(name: str) -> Any:
    """Return the provider `module:name`: an object, or what a class or function of that name returns.

    Raises ConfigError.
    """
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return _provider_of(found)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"{name!r}: {error}"
    except Exception as error:  # of the module, while it is imported, or of the function
        message = f"{name!r} cannot be imported: {type(error).__name__}: {error}"
    raise ConfigError([Problem("redis.credentials", message)])


def _provider_of(found: Any) -> Any:
    if isinstance(found, type) or not hasattr(found, _METHOD):
        if not callable(found):
            raise ValueError("is neither a credential provider nor a function that returns one")
        provider = found()
    else:
        provider = found
    if not callable(getattr(provider, _METHOD, None)):
        raise ValueError(f"is no credential provider: it has no method `{_METHOD}`")
    return provider


class Credentials(CredentialProvider):
    """A provider that is asked in the background. Thread-safe."""

    def __init__(self, provider: Any, limit: float) -> None:
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
