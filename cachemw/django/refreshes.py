"""Refreshes of stale answers: calls of the application in the background, as requests of Django's own.

Django's handlers do more for a request than call the middleware: they set the script prefix, and send
`request_started` and `request_finished`, at which Django closes old database connections and whatever
else hangs on a request. A connection belongs to a thread, so both signals are sent in the thread in which
the application's synchronous code runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.core.signals import request_finished, request_started
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from cachemw.django.translate import copy_request
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.pipeline import CacheReply
from cachemw.http.messages import Content
from cachemw.process.daemon_executor import DaemonExecutor

__all__ = ["start_refresh"]

Forward = Callable[[HttpRequest, Exchange], HttpResponseBase]
AsyncForward = Callable[[HttpRequest, Exchange], Awaitable[HttpResponseBase]]


class Refresh:
    """The sender of the signals of refreshes."""


def start_refresh(
    reply: CacheReply,
    request: HttpRequest,
    forward: Forward,
    aforward: AsyncForward,
    *,
    in_loop: bool,
) -> None:
    """Start the refresh that a reply asks for; `in_loop` tells how Django runs the middleware."""
    content = reply.content
    if not hasattr(request, "scope"):
        # Under WSGI an event loop, if there is one, lives no longer than its request.
        call = async_to_sync(aforward) if in_loop else forward
        reply.start_refresh(_refresh_of(call, request, content))
    elif in_loop:
        reply.astart_refresh(_arefresh_of(aforward, request, content))
    else:  # a thread beside the server's event loop, in which asynchronous views run
        acall = _arefresh_of(sync_to_async(forward), request, content)

        async def start() -> None:
            reply.astart_refresh(acall)

        async_to_sync(start)()


def _refresh_of(
    forward: Forward, request: HttpRequest, content: Content | None
) -> Callable[[Exchange], None]:
    """Return a call of the application for a worker thread; `request` is what set it off."""
    copied = _copied(request, content)

    def call(exchange: Exchange) -> None:
        own, response = copied(), None
        set_script_prefix(own.META.get("SCRIPT_NAME", ""))
        try:
            request_started.send(sender=Refresh, environ=own.META)
            response = forward(own, exchange)
            _consume(response)
        finally:
            _finish(own, response)

    return call


def _arefresh_of(
    forward: AsyncForward, request: HttpRequest, content: Content | None
) -> Callable[[Exchange], Awaitable[None]]:
    """Return a call of the application for an event loop; `request` is what set it off."""
    copied = _copied(request, content)

    async def call(exchange: Exchange) -> None:
        own: Any = copied()
        response = None
        async with _own_thread():
            set_script_prefix(own.META.get("SCRIPT_NAME", ""))
            try:
                await request_started.asend(sender=Refresh, scope=own.scope)
                response = await forward(own, exchange)
                await _aconsume(response)
            finally:
                await sync_to_async(_finish)(own, response)

    return call


@asynccontextmanager
async def _own_thread() -> AsyncIterator[None]:
    """Run the synchronous code of a refresh in a thread of its own, as each request has one.

    It may hang, and must then keep neither the event loop nor the process from ending.
    """
    executor = DaemonExecutor()
    try:
        context = ThreadSensitiveContext(executor=executor)
    except TypeError:  # an older asgiref: its thread is waited for
        context = ThreadSensitiveContext()
    try:
        async with context:
            yield
    finally:
        executor.shutdown()


def _copied(request: HttpRequest, content: Content | None) -> Callable[[], HttpRequest]:
    """Copy a request now, and raise what that raises in the refresh, which lets its flight go then."""
    try:
        own = copy_request(request, content)
    except Exception as error:
        fault = error
    else:
        return lambda: own

    def fail() -> HttpRequest:
        raise fault

    return fail


def _consume(response: Any) -> None:
    """Consume a body in a thread. Iterating over the response would warn of an asynchronous one."""
    if response.streaming and response.is_async:
        async_to_sync(_aconsume)(response)
    elif response.streaming:
        for _ in response.streaming_content:
            pass


async def _aconsume(response: Any) -> None:
    """Consume a body in an event loop."""
    if response.streaming and response.is_async:
        async with aclosing(response.streaming_content) as pieces:
            async for _ in pieces:
                pass
    elif response.streaming:
        await sync_to_async(_consume)(response)


def _finish(request: Any, response: Any) -> None:
    """Close what belongs to a refresh, and send `request_finished`."""
    if response is None:
        request.close()
        request_finished.send(sender=Refresh)
    else:
        response._handler_class = Refresh
        response._resource_closers.append(request.close)
        response.close()
