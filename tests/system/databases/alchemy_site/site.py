"""The application over the library with SQLAlchemy, and its front doors with and without the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from cachemw import Cache
from cachemw.asgi import CacheMiddleware as AsgiMiddleware
from cachemw.wsgi import CacheMiddleware as WsgiMiddleware
from tests.support.calls import call_asgi, call_wsgi, scope_of
from tests.system.databases.cases import Way, Write, named
from tests.system.databases.worker import Answer, Pause, configuration, pages_of

from . import models, reads, writes
from .db import Db
from .engines import Engines
from .ways import Change, ways

__all__ = ["make"]


def make(options: Mapping[str, Any]) -> AlchemySite:
    """Return the site over one database and driver."""
    return AlchemySite(options)


class AlchemySite:
    """The application, and what the worker may do with it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        vendor, driver = options["vendor"], options["driver"]
        models.fold(vendor)
        self.cache = Cache.from_dict(configuration(options))
        self._engines = Engines(options, self.cache)
        self.reads = named(reads.reads(vendor, driver))
        self.plain = named(reads.plain(vendor))
        self.writes = named(writes.writes(vendor, driver, options["database"]))
        self.unseen = writes.unseen(vendor, driver)
        self._change: Change = lambda db: None
        self._main = asyncio.Runner()
        self._reading: asyncio.Runner | None = None
        self._all = pages_of(self)
        if self._engines.is_async:
            self._cached: Any = AsgiMiddleware(self._asgi, self.cache)
        else:
            self._cached = WsgiMiddleware(self._wsgi, self.cache)
        self.ways = named(
            ways(self._engines, self._apost if self._engines.is_async else self._post)
        )

    # -- the application -------------------------------------------------------------------------

    def _answer(self, path: str, session: Session | None = None) -> tuple[int, str]:
        """Return the status and body of a page, by a session of its own or the one it is given."""
        if path == "/write":
            with Session(self._engines.writer) as own, own.begin():
                self._change(Db(own))
            return 204, ""
        read = self._all[int(path.rpartition("/")[2])].read
        try:
            if session is not None:
                return 200, repr(read(Db(session)))
            with Session(self._engines.reader) as own:
                return 200, repr(read(Db(own)))
        except reads.NoResultFound:
            return 404, "not found"
        except Exception as error:  # seen in the answer, where the test looks
            return 500, repr(error)

    def _wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        status, body = self._answer(environ["PATH_INFO"], environ.get("library.session"))
        start_response(f"{status} Status", [("Content-Type", "text/plain")])
        return [body.encode()]

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        session = scope.get("library.session")
        status, body = await greenlet_spawn(self._answer, scope["path"], session)
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    def _post(self, change: Change) -> None:
        """Make a change by a request."""
        self._change = change
        answer = call_wsgi(self._cached, "/write", REQUEST_METHOD="POST", CONTENT_LENGTH="0")
        assert answer.status == 204, answer

    async def _apost(self, change: Change) -> None:
        self._change = change
        answer = await call_asgi(self._cached, "/write", method="POST")
        assert answer.status == 204, answer

    # -- what the worker does --------------------------------------------------------------------

    def open(self) -> None:
        self._reading = asyncio.Runner()

    def close(self) -> None:
        """Close what the thread has opened: the first call is in the one that reads."""
        runner, self._reading = (self._reading or self._main), None
        if self._engines.is_async:
            # A connection belongs to the loop in which it was made: those of the other are left.
            runner.run(self._engines.adispose())
        else:
            self._engines.dispose()
        runner.close()

    def ask(self, path: str, *, cached: bool, only_if_cached: bool = False) -> Answer:
        if self._engines.is_async:
            assert self._reading is not None
            return self._reading.run(self._aask(path, cached, only_if_cached))
        variables = {"HTTP_CACHE_CONTROL": "only-if-cached"} if only_if_cached else {}
        answer = call_wsgi(self._cached if cached else self._wsgi, path, **variables)
        return answer.status, answer.body.decode(), answer.cache_status

    async def _aask(self, path: str, cached: bool, only_if_cached: bool) -> Answer:
        fields = [(b"cache-control", b"only-if-cached")] if only_if_cached else []
        door = self._cached if cached else self._asgi
        answer = await call_asgi(door, path, headers=scope_of(path, *fields)["headers"])
        return answer.status, answer.body.decode(), answer.cache_status

    def carry_out(self, write: Write, way: Way, pause: Pause) -> None:
        if not self._engines.is_async:
            way.run(write.write, pause)
        else:
            self._main.run(self._acarry_out(way.run, write.write, pause))

    async def _acarry_out(self, run: Callable[..., Any], change: Change, pause: Pause) -> None:
        function = getattr(run, "func", run)
        if iscoroutinefunction(function):
            await run(change, pause)
            return
        result = await greenlet_spawn(run, change, pause)
        if result is not None:
            await result

    def overtake(self, path: str, write: Write) -> list[Answer]:
        if self._engines.is_async:
            return self._main.run(self._aovertake(path, write))
        with Session(self._engines.reader) as outer:
            _begin_snapshot(outer)
            self._write_now(write)
            first = call_wsgi(self._cached, path, **{"library.session": outer})
        return [_answer_of(first), _answer_of(call_wsgi(self._cached, path))]

    async def _aovertake(self, path: str, write: Write) -> list[Answer]:
        def snapshot() -> Session:
            outer = Session(self._engines.writer)
            _begin_snapshot(outer)
            return outer

        outer = await greenlet_spawn(snapshot)
        await greenlet_spawn(self._write_now, write)
        first = await call_asgi(self._cached, path, **{"library.session": outer})
        await greenlet_spawn(outer.close)
        # The engine that reads belongs to another loop: the session here is of the one that writes.
        with_own = Session(self._engines.writer)
        following = await call_asgi(self._cached, path, **{"library.session": with_own})
        await greenlet_spawn(with_own.close)
        return [_answer_of(first), _answer_of(following)]

    def _write_now(self, write: Write) -> None:
        with Session(self._engines.writer) as session, session.begin():
            write.write(Db(session))

    def repeat(self, name: str, times: int) -> None:
        if self._engines.is_async:
            self._main.run(greenlet_spawn(self._repeat, name, times))
        else:
            self._repeat(name, times)

    def _repeat(self, name: str, times: int) -> None:
        for _ in range(times):
            with Session(self._engines.writer) as session, session.begin():
                if name in self.reads:
                    self.reads[name].read(Db(session))
                else:
                    self.writes[name].write(Db(session))


def _begin_snapshot(session: Session) -> None:
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    session.scalar(select(func.count()).select_from(models.Shelf))


def _answer_of(answer: Any) -> Answer:
    return answer.status, answer.body.decode(), answer.cache_status
