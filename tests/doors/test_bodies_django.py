"""Django's own ways to a body: each works in a view whose body the cache has read before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from . import apps_django

View = Callable[[HttpRequest], str]
ROUTE: dict[str, Any] = {"path": "/p", "ttl": "60s", "cookies": []}
ROUTE |= {"methods": ["POST"], "body": "raw", "body_limit": "2KiB"}


def read_then_body(request: HttpRequest) -> str:
    first = request.read(1)
    with pytest.raises(RawPostDataException):
        _ = request.body
    return repr(first + request.read())


VIEWS: dict[str, View] = {
    "body": lambda request: repr(request.body),
    "body twice": lambda request: repr(request.body + request.body),
    "body and read": lambda request: repr((request.body, request.read())),
    "read": lambda request: repr(request.read()),
    "read and body": read_then_body,
    "lines": lambda request: repr(list(request)),
    "readline": lambda request: repr((request.readline(), request.readline())),
    "form": lambda request: repr(sorted(request.POST.lists())),
    "form and body": lambda request: repr((request.POST["a"], request.body)),
}
HOST = {"host": "shop.example"}
FORM = "application/x-www-form-urlencoded"


@contextmanager
def client(view: View, *, loops: bool) -> Iterator[Callable[..., Any]]:
    """Give what posts to a view behind the cache."""
    apps_django.configure()
    urls = ModuleType("bodies_urls")

    async def answer_async(request: HttpRequest) -> HttpResponse:
        return HttpResponse(view(request))

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(view(request))

    urls.__dict__["urlpatterns"] = [path("p", answer_async if loops else answer)]
    with override_settings(
        ALLOWED_HOSTS=["*"],
        CACHEMW={"routes": [ROUTE]},
        MIDDLEWARE=["cachemw.django.CacheMiddleware"],
        ROOT_URLCONF=urls,
    ):
        if loops:
            post = AsyncClient(headers=HOST).post
            yield lambda *args, **further: asyncio.run(post(*args, **further))
        else:
            yield Client(headers=HOST).post


@pytest.mark.parametrize("loops", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("padding", [0, 3000], ids=["small", "too large"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_reads_its_body_as_it_likes(name: str, padding: int, loops: bool) -> None:
    body = b"a=1&b=\n" + b"x" * padding
    calls: list[str] = []

    def view(request: HttpRequest) -> str:
        calls.append(VIEWS[name](request))
        return calls[-1]

    with client(view, loops=loops) as post, override_settings(MIDDLEWARE=[]):
        expected = post("/p", body, content_type=FORM).content
    with client(view, loops=loops) as post:
        replies = [post("/p", body, content_type=FORM) for _ in range(2)]
        assert [reply.content for reply in replies] == [expected] * 2
        assert ("hit" in replies[1]["Cache-Status"]) is (padding == 0)
    assert len(calls) == (2 if padding == 0 else 3)


@pytest.mark.parametrize("loops", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("size", [10, 5000], ids=["small", "too large"])
def test_uploaded_files_arrive(size: int, loops: bool) -> None:
    def view(request: HttpRequest) -> str:
        file: Any = request.FILES["file"]
        return f"{request.POST['a']} {file.name} {file.read() == b'x' * size}"

    with client(view, loops=loops) as post:
        for _ in range(2):
            file = SimpleUploadedFile("f.txt", b"x" * size)
            assert post("/p", {"a": "1", "file": file}).content == b"1 f.txt True"


@sync_and_async_middleware
def outside(get_response: Any) -> Any:
    """A middleware that reads the body before the cache is reached."""
    if not iscoroutinefunction(get_response):

        def answer(request: HttpRequest) -> Any:
            settings.READS(request)
            return get_response(request)

        return answer

    async def answer_async(request: HttpRequest) -> Any:
        settings.READS(request)
        return await get_response(request)

    return answer_async


@pytest.mark.parametrize("loops", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("reads", "left", "hit"),
    [(lambda r: r.body, b"b'whole'", True), (lambda r: r.read(3), b"b'le'", False)],
    ids=["body", "read"],
)
def test_a_middleware_outside_may_have_read_it(
    reads: Callable[[HttpRequest], bytes], left: bytes, hit: bool, loops: bool
) -> None:
    both = [f"{__name__}.outside", "cachemw.django.CacheMiddleware"]
    with (
        client(VIEWS["read"], loops=loops) as post,
        override_settings(MIDDLEWARE=both, READS=reads),
    ):
        replies = [post("/p", b"whole", content_type="text/plain") for _ in range(2)]
    assert [reply.content for reply in replies] == [left] * 2
    assert ("hit" in replies[1]["Cache-Status"]) is hit
