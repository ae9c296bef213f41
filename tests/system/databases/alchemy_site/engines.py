"""The engines of a site, each recorded: those that write, the one that reads, and one through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cachemw import Cache
from cachemw.integrations.sqlalchemy import record
from tests.system.databases.acknowledgements import AcknowledgementProxy

from .models import Base

__all__ = ["ASYNCHRONOUS", "Engines"]

ASYNCHRONOUS = ("asyncpg", "aiosqlite", "psycopg_async")
DIALECTS = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}
MULTI_STATEMENTS = 65536


class Engines:
    """The engines of one database and driver; each is synchronous, over a driver that may not be."""

    def __init__(self, options: Mapping[str, Any], cache: Cache) -> None:
        self._options = options
        self._cache = cache
        self._made: list[Engine | AsyncEngine] = []
        self.vendor: str = options["vendor"]
        self.is_async = options["driver"] in ASYNCHRONOUS
        path = options.get("socket")
        self.proxy = AcknowledgementProxy(path) if path else None
        self.reader = self._make()
        self.writer = self._make()
        self.automatic = self._make(isolation_level="AUTOCOMMIT")
        self.through_proxy = self._make(proxied=True) if self.proxy else None

    def asynchronous(self, engine: Engine) -> AsyncEngine:
        """Return the asynchronous engine over one of these."""
        return next(
            made
            for made in self._made
            if isinstance(made, AsyncEngine) and made.sync_engine is engine
        )

    def _make(self, *, proxied: bool = False, **settings: Any) -> Engine:
        url, arguments = self._address(proxied=proxied)
        made: Engine | AsyncEngine
        if self.is_async:
            made = create_async_engine(url, connect_args=arguments, **settings)
        else:
            made = create_engine(url, connect_args=arguments, **settings)
        engine = made if isinstance(made, Engine) else made.sync_engine
        if self.vendor == "sqlite":
            event.listen(engine, "connect", _enforce_keys)
        record(made, self._cache, Base.metadata)
        self._made.append(made)
        return engine

    def _address(self, *, proxied: bool) -> tuple[URL, dict[str, Any]]:
        """Return the URL of the database, and what its driver is given besides."""
        options, driver = self._options, self._options["driver"]
        url = URL.create(f"{DIALECTS[self.vendor]}+{driver}", database=options["database"])
        if self.vendor == "sqlite":
            return url.set(drivername=f"sqlite+{'pysqlite' if driver == 'sqlite3' else driver}"), {}
        if proxied:
            assert self.proxy is not None
            url = url.set(host="127.0.0.1", port=self.proxy.port)
        if self.vendor == "mysql":
            arguments: dict[str, Any] = {"client_flag": MULTI_STATEMENTS}
            if not proxied:
                arguments["unix_socket"] = options["host"]
            return url.set(username="root"), arguments
        url = url.set(username="postgres")
        if not proxied:
            url = url.update_query_dict({"host": options["host"]})
        # A prepared statement fails once after its table was altered: the read, and not the cache.
        if driver == "asyncpg":
            return url.update_query_dict({"prepared_statement_cache_size": "0"}), {}
        return url, {"prepare_threshold": None}

    async def adispose(self) -> None:
        for made in self._made:
            if isinstance(made, AsyncEngine):
                await made.dispose()

    def dispose(self) -> None:
        for made in self._made:
            if isinstance(made, Engine):
                made.dispose()


def _enforce_keys(connection: Any, _: object) -> None:
    """Let SQLite cascade, as Django does."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
