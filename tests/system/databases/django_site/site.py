"""The Django project over the library: its settings, its views, its handlers with and without the cache."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import WSGIHandler
from django.db import connection, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from tests.support.calls import call_wsgi
from tests.support.waiting import LIMIT
from tests.system.databases.acknowledgements import AcknowledgementProxy
from tests.system.databases.cases import Way, Write, named
from tests.system.databases.worker import Answer, Pause, configuration, pages_of

from .owned import owned

__all__ = ["Outer", "make"]

ENGINES = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}
MULTI_STATEMENTS_AND_FOUND_ROWS = 65536 + 2
CACHE = "cachemw.django.CacheMiddleware"
OUTER = f"{__name__}.Outer"


def make(options: Mapping[str, Any]) -> DjangoSite:
    """Set Django up for one database and driver, and return the site."""
    if options["driver"] == "psycopg2":
        sys.modules["psycopg"] = None  # type: ignore[assignment]  # Django would prefer it
    if options["driver"] == "pymysql":
        import pymysql

        pymysql.install_as_MySQLdb()
    urls = ModuleType("library_urls")
    sys.modules["library_urls"] = urls
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHEMW=configuration(options),
        DATABASES={"default": _database(options)},
        INSTALLED_APPS=["tests.system.databases.django_site", "cachemw.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[OUTER],
        ROOT_URLCONF="library_urls",
        SECRET_KEY="nothing is signed",
        USE_TZ=True,
    )
    logging.getLogger("django.request").setLevel(logging.CRITICAL)  # each 404 and 504 is wanted
    django.setup()
    return DjangoSite(options, urls)


def _database(options: Mapping[str, Any]) -> dict[str, Any]:
    vendor = options["vendor"]
    database = {
        "ENGINE": f"django.db.backends.{ENGINES[vendor]}",
        "NAME": options["database"],
        "HOST": options.get("host", ""),
        "CONN_MAX_AGE": None,
        "OPTIONS": {},
    }
    if vendor == "postgresql":
        database["USER"] = "postgres"
    if vendor == "mysql":
        database["USER"] = "root"
        database["OPTIONS"]["client_flag"] = MULTI_STATEMENTS_AND_FOUND_ROWS
    return database


class Outer:
    """A middleware outside of the cache's, which uses the database before the cache's begins.

    It reads whose page it is, for one page. When it is told to pause it has begun a transaction by then.
    """

    pausing: Callable[[], object] | None = None

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from .models import Odd, Publisher

        if request.path == owned.page:
            owned.city = Publisher.objects.get(pk=1).city
        pausing, type(self).pausing = type(self).pausing, None
        if pausing is None:
            return self._get_response(request)
        if connection.vendor == "mysql":
            self._isolate("SESSION TRANSACTION")
        with transaction.atomic():
            if connection.vendor == "postgresql":
                self._isolate("TRANSACTION")
            Odd.objects.count()  # the snapshot begins
            pausing()
            return self._get_response(request)

    def _isolate(self, what: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET {what} ISOLATION LEVEL REPEATABLE READ")


class DjangoSite:
    """The project's views, and what the worker may do with them."""

    def __init__(self, options: Mapping[str, Any], urls: ModuleType) -> None:
        from cachemw.django import get_cache

        from . import reads, writes
        from .ways import ways

        self.cache = get_cache()
        self.reads = named(reads.reads(options["driver"]))
        self.plain = named(reads.plain())
        self.writes = named(writes.writes(options["driver"]))
        self.unseen = writes.unseen(options["driver"])
        host = options.get("socket")
        self._proxy = AcknowledgementProxy(host) if host else None
        self.ways = named(ways(self._proxy, self._post))
        self._all = pages_of(self)
        names = [read.name for read in self._all]
        owned.page = f"/reads/{names.index(owned.name)}"
        self._change: Callable[[], object] = lambda: None
        urls.urlpatterns = [  # type: ignore[attr-defined]
            path("reads/<int:number>", self._show),
            path("write", self._write),
        ]
        self._bare = WSGIHandler()
        settings.MIDDLEWARE = [OUTER, CACHE]
        self._cached = WSGIHandler()

    def _show(self, request: HttpRequest, number: int) -> HttpResponse:
        status = 200
        try:
            body = repr(self._all[number].read())
        except Http404:
            body, status = "not found", 404
        except Exception as error:  # seen in the answer, where the test looks
            body, status = repr(error), 500
        return HttpResponse(body, status=status, content_type="text/plain")

    def _write(self, request: HttpRequest) -> HttpResponse:
        assert connection.in_atomic_block, "the request has no transaction"
        self._change()
        return HttpResponse(status=204)

    def _post(self, change: Callable[[], object]) -> None:
        """Make a change by a request, in a transaction of the request's own."""
        self._change = change
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        try:
            answer = call_wsgi(self._cached, "/write", REQUEST_METHOD="POST", CONTENT_LENGTH="0")
        finally:
            connection.settings_dict["ATOMIC_REQUESTS"] = False
        assert answer.status == 204, answer.body.decode()

    def open(self) -> None:
        connection.ensure_connection()

    def close(self) -> None:
        connections.close_all()
        if self._proxy is not None:
            self._proxy.close()

    def ask(self, path: str, *, cached: bool, only_if_cached: bool = False) -> Answer:
        handler = self._cached if cached else self._bare
        variables = {"HTTP_CACHE_CONTROL": "only-if-cached"} if only_if_cached else {}
        answer = call_wsgi(handler, path, **variables)
        return answer.status, answer.body.decode(), answer.cache_status

    def carry_out(self, write: Write, way: Way, pause: Pause) -> None:
        try:
            way.run(write.write, pause)
        except BaseException:
            connection.close()
            raise
        finally:
            if connection.in_atomic_block or not connection.get_autocommit():
                connection.close()

    def overtake(self, path: str, write: Write) -> list[Answer]:
        opened, written = threading.Event(), threading.Event()
        first: list[Answer] = []

        def pause() -> None:
            opened.set()
            written.wait()

        def request() -> None:
            first.append(self.ask(path, cached=True))
            connections.close_all()

        Outer.pausing = pause
        thread = threading.Thread(target=request)
        thread.start()
        try:
            assert opened.wait(LIMIT), "the middleware did not come to its pause"
            write.write()
        finally:
            written.set()
            thread.join()
        return [*first, self.ask(path, cached=True)]

    def repeat(self, name: str, times: int) -> None:
        action = self.reads[name].read if name in self.reads else self.writes[name].write
        for _ in range(times):
            action()
