"""Execution of purges that are ordered over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from cachemw.errors import StoreError
from cachemw.frontdoor.purge_endpoint import Order, PurgeEndpoint, Refusal, answer_json, refusal
from cachemw.http.messages import Answer, Request
from cachemw.introspection.stored_entries import Inspection
from cachemw.wiring.core import Core

__all__ = ["PurgeOrders"]

_PREVIEW = 5.0
"""Seconds for a preview, which looks at every entry: servers end requests that take a minute."""


class PurgeOrders:
    """Executes the orders that a purge endpoint accepts."""

    def __init__(self, core: Core, endpoint: PurgeEndpoint) -> None:
        self._core = core
        self._endpoint = endpoint

    def matches(self, request: Request) -> bool:
        """Tell whether a request is for the endpoint; a failure here costs no request (I3)."""
        try:
            return self._endpoint.matches(request)
        except Exception:
            self._core.reporter.logs.failed("endpoint_failed")
            return False

    def reads_body(self, request: Request) -> bool:
        """Tell whether the request's body is to be read before `execute`."""
        return self._endpoint.reads_body(request)

    def execute(self, request: Request) -> Answer:
        """Execute what a request orders, in a thread."""
        order = self._endpoint.order(request)
        if isinstance(order, Refusal):
            return self._refuse(order)
        try:
            if order.dry_run:
                return self._preview(order)
            wanted = self._core.purger.wanted(**order.words, soft=order.soft)
            return answer_json(asdict(self._core.purger.purge(wanted)))
        except Exception as error:
            return self._failed(error)

    async def aexecute(self, request: Request) -> Answer:
        """Execute what a request orders, without blocking the event loop."""
        order = self._endpoint.order(request)
        if isinstance(order, Refusal):
            return self._refuse(order)
        try:
            if order.dry_run:
                return await asyncio.to_thread(self._preview, order)
            wanted = self._core.purger.wanted(**order.words, soft=order.soft)
            return answer_json(asdict(await self._core.purger.apurge(wanted)))
        except Exception as error:
            return self._failed(error)

    def _preview(self, order: Order) -> Answer:
        wanted = self._core.purger.wanted(**order.words)
        return answer_json(asdict(Inspection(self._core).preview(wanted, within=_PREVIEW)))

    def _failed(self, error: Exception) -> Answer:
        if isinstance(error, StoreError):
            return self._refuse(
                refusal(503, "store", f"the entries in Redis cannot be read: {error}")
            )
        if isinstance(error, ValueError):  # a wrong tag or URL, or an unknown route
            return self._refuse(refusal(400, "words", str(error)))
        self._core.reporter.logs.failed("endpoint_failed")
        return self._refuse(
            refusal(500, "failed", "the purge failed; see the log of the application")
        )

    def _refuse(self, refused: Refusal) -> Answer:
        self._core.reporter.count("endpoint_refused", refused.reason)
        self._core.reporter.logs.endpoint_refused(refused.reason)
        return refused.answer
