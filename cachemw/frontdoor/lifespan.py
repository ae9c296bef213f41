"""ASGI lifespan: follow the log before the first request, close the cache after the last."""

from __future__ import annotations

from cachemw.frontdoor.asgi_scope import Message, Send
from cachemw.wiring.core import Core

__all__ = ["Lifespan"]


class Lifespan:
    """The lifespan of one server, which shares its process's cache with any others."""

    def __init__(self, core: Core, send: Send) -> None:
        self._core = core
        self._send = send

    async def relay(self, message: Message) -> None:
        """Pass on what the application says of its startup and shutdown."""
        if message["type"] == "lifespan.startup.complete":
            self._core.servers.add(self)
            self._core.start()
        elif message["type"] == "lifespan.shutdown.complete":
            self._core.servers.discard(self)
            await self._shut_down()
        await self._send(message)

    async def _shut_down(self) -> None:
        # Another server of this process may go on. Were the cache closed under it, it would serve
        # from memory what is purged meanwhile (I5).
        end = self._core.aleave if self._core.servers else self._core.aclose
        try:
            await end()
        except Exception:  # for example, the event loop is not asyncio's
            if not self._core.servers:
                self._core.close()
