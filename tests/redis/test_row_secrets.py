"""Keys that are texts, such as tokens, are in no byte that leaves the process, and still purge."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cachemw import Cache
from cachemw.integrations.sqlalchemy import record
from cachemw.wsgi import CacheMiddleware
from tests.support.caches import Caches
from tests.support.calls import call_wsgi
from tests.support.waiting import until

TOKEN, PIN = "k3y-of-a-live-session", "31415926"
CONFIG: dict[str, Any] = {
    "routes": [{"name": "all", "path": "/{kind}/{key}", "ttl": "1h", "risk": "low"}],
    "digest_secret": "one digest secret",
}


class Base(DeclarativeBase):
    pass


class Token(Base):
    __tablename__ = "token"

    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]


class Use(Base):
    __tablename__ = "use"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_key: Mapped[str] = mapped_column(ForeignKey("token.key"))


@dataclass
class Process:
    """One process of the site: a cache, a recorder and an engine."""

    cache: Cache
    engine: Engine

    def __post_init__(self) -> None:
        record(self.engine, self.cache, Base.metadata)
        self._door = CacheMiddleware(self._application, self.cache)

    def _application(self, environ: Any, start_response: Any) -> list[bytes]:
        _, kind, number = environ["PATH_INFO"].split("/")
        key = (TOKEN, PIN)[int(number)]
        with Session(self.engine) as db:
            if kind == "owner":
                shown = db.get_one(Token, key).owner
            else:
                shown = str(len(db.scalars(select(Use).where(Use.token_key == key)).all()))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [shown.encode()]

    def get(self, path: str) -> tuple[str, bool]:
        response = call_wsgi(self._door, path)
        return response.body.decode(), "; hit" in response.cache_status

    def rename(self, key: str, owner: str) -> None:
        with Session(self.engine) as db, db.begin():
            db.execute(update(Token).where(Token.key == key).values(owner=owner))


@pytest.fixture
def site(caches: Caches, tmp_path: Path) -> Iterator[Any]:
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    engines: list[Engine] = []

    def start(**changes: Any) -> Process:
        engines.append(create_engine(url))
        return Process(caches.make(**{**CONFIG, **changes}), engines[-1])

    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as db, db.begin():
        db.add_all([Token(key=TOKEN, owner="ann"), Token(key=PIN, owner="bob")])
        db.flush()
        db.add_all([Use(token_key=TOKEN), Use(token_key=PIN)])
    engine.dispose()
    yield start
    for each in engines:
        each.dispose()


def everything(server: Any) -> bytes:
    """Give all that the server stores."""
    found = []
    for name in server.command("KEYS", "*"):
        kind = server.command("TYPE", name).decode()
        read = {
            "string": ["GET", name],
            "stream": ["XRANGE", name, "-", "+"],
            "hash": ["HGETALL", name],
        }
        read["zset"] = ["ZRANGE", name, "0", "-1"]
        found.append(repr((name, server.command(*read[kind]))))
    return "\n".join(found).encode()


def test_no_text_that_is_a_key_is_stored_logged_or_shown(
    site: Any, redis_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    process = site()
    for path in ("/owner/0", "/owner/1", "/uses/0", "/uses/1"):
        process.get(path)
        until(lambda path=path: process.get(path)[1])
    process.rename(TOKEN, "eve")
    process.rename(PIN, "eve")
    with Session(process.engine) as db, db.begin():
        db.add(Use(token_key=TOKEN))
    inspection = process.cache.inspection
    until(lambda: len(list(inspection.shared())) >= 3)
    shown = [*inspection.memory(), *inspection.shared(), *process.cache.log.recent()]
    stored = everything(redis_server)
    assert b"db:token:~" in stored
    assert b"db:use:by:token_key=~" in stored
    for text in (TOKEN, PIN):
        assert text.encode() not in stored
        assert text not in repr(shown)
        assert text not in caplog.text


def test_a_write_in_one_process_still_reaches_the_other(site: Any) -> None:
    one, other = site(), site()
    for process in (one, other):
        until(lambda process=process: process.get("/owner/0") == ("ann", True))
        until(lambda process=process: process.get("/owner/1") == ("bob", True))
    one.rename(TOKEN, "eve")
    until(lambda: other.get("/owner/0") == ("eve", True))
    assert other.get("/owner/1") == ("bob", True)


def test_while_the_secret_of_digests_changes_a_write_reaches_all(site: Any) -> None:
    """Fails where the tag of another secret is taken for a row that nobody has read."""
    early, late = site(), site(digest_secret="another digest secret")
    for process in (early, late):
        until(lambda process=process: process.get("/owner/0") == ("ann", True))
    late.rename(TOKEN, "eve")
    until(lambda: early.get("/owner/0") == ("eve", True))
    early.rename(TOKEN, "ann")
    until(lambda: late.get("/owner/0") == ("ann", True))


@pytest.mark.parametrize("tag", [f"db:token:{TOKEN}", f"db:token:{TOKEN.upper()}", "db:token:*"])
def test_an_operator_purges_it_by_its_text(tag: str, site: Any) -> None:
    process = site()
    until(lambda: process.get("/owner/0") == ("ann", True))
    (found,) = process.cache.inspection.memory(tags=[tag])
    assert found.url.endswith("/owner/0")
    assert process.cache.purge(tags=[tag]).confirmed
    assert not process.get("/owner/0")[1]


def test_and_by_the_digest_that_tools_show(site: Any) -> None:
    process = site()
    until(lambda: process.get("/owner/0") == ("ann", True))
    until(lambda: process.get("/owner/1") == ("bob", True))
    (entry,) = [each for each in process.cache.inspection.memory() if each.url.endswith("/0")]
    (tag,) = [tag for tag in entry.tags if tag.startswith("db:token:~")]
    process.cache.purge(tags=[tag])
    assert not process.get("/owner/0")[1]
    assert process.get("/owner/1")[1]


def test_what_depends_on_such_a_row_is_purged_with_it(site: Any) -> None:
    """Fails where dependencies see the digest, which fits no tag of a user."""
    routes = [{"name": "all", "path": "/{kind}/{key}", "ttl": "1h", "tags": ["page:{kind}"]}]
    process = site(routes=routes, dependencies={"page:{key}": ["db:token:{key}"]})
    until(lambda: process.get("/uses/0")[1])
    purged = process.cache._core.purger.wanted(
        tags=[f"db:token:'{TOKEN}"], urls=(), routes=(), everything=False
    )
    assert f"page:{TOKEN}" in (purged.tags or ())
    assert not any(TOKEN in tag for tag in purged.tags or () if tag.startswith("db:"))
