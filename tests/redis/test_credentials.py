"""Credentials by a provider: asked in the background, rotated without a restart, and told when it fails."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from cachemw import Cache, wsgi
from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.nodes import Nodes
from cachemw.errors import ConfigError
from cachemw.testing import RedisServer
from tests.support.caches import options
from tests.support.calls import call_wsgi
from tests.support.shared_hits import shared_by_loop, shared_by_thread
from tests.support.traffic import Origin
from tests.support.waiting import until

MODULE = "tokens_of_a_test"
FIRST, SECOND = "first-token", "second-token"


class Tokens(CredentialProvider):
    """A provider that says what a test tells it, and notes who has asked."""

    def __init__(self) -> None:
        self.token = FIRST
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked_by: list[str] = []

    def get_credentials(self) -> tuple[str, str]:
        self.asked_by.append(threading.current_thread().name)
        self.answers.wait(20.0)
        if self.error is not None:
            raise self.error
        return "cache", self.token


class StreamingTokens(Tokens, StreamingCredentialProvider):
    """A provider that tells when there is a new token."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed: Callable[[Any], Any] | None = None

    def on_next(self, callback: Callable[[Any], Any]) -> None:
        self.renewed = callback

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        pass

    def is_streaming(self) -> bool:
        return True


class AsyncTokens(CredentialProvider):
    """A provider with nothing but the method for event loops."""

    async def get_credentials_async(self) -> tuple[str, str]:
        await asyncio.sleep(0)
        return "cache", FIRST


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yield a module that has the providers of this test."""
    module: Any = ModuleType(MODULE)
    module.provider = Tokens()
    module.Provider = Tokens
    module.make = lambda: module.provider
    module.streaming = StreamingTokens()
    module.of_loops = AsyncTokens()
    module.nothing = 1
    module.make_nothing = lambda: None
    monkeypatch.setitem(sys.modules, MODULE, module)
    yield module
    module.provider.answers.set()


@pytest.fixture
def locked(own_redis_server: RedisServer) -> RedisServer:
    """Return a server that lets in only the user `cache`, with the first token."""
    user = ("ACL", "SETUSER", "cache", "on", "allkeys", "allchannels", "+@all")
    own_redis_server.command(*user, "resetpass", f">{FIRST}")
    own_redis_server.command(
        "ACL", "SETUSER", "default", "-@all", "+ping", "+info", "+acl", "+client"
    )
    return own_redis_server


def rotate(server: RedisServer) -> None:
    server.command("ACL", "SETUSER", "cache", "resetpass", f">{SECOND}")


def cache_over(server: RedisServer, name: str) -> Cache:
    return Cache.from_dict(options(server.url, redis={"credentials": f"{MODULE}:{name}"}))


@pytest.mark.parametrize("name", ["provider", "Provider", "make", "of_loops"])
def test_a_provider_opens_the_connections_of_threads_and_loops(
    locked: RedisServer, tokens: Any, name: str
) -> None:
    with closing(cache_over(locked, name)) as cache:
        cache.start()
        until(lambda: cache.log.live)
        assert "detail=shared" in shared_by_thread(cache, "/things/1")
        assert "detail=shared" in asyncio.run(shared_by_loop(cache, "/things/2"))
        assert cache.purge(tags=["things"]).confirmed
    # Guard: `SharedCall`. redis-py asks in the event loop, or in the thread that needs a connection.
    assert set(tokens.provider.asked_by) <= {"cachemw-connect"}


def test_new_connections_ask_anew(locked: RedisServer, tokens: Any) -> None:
    # Guard: nothing keeps what a provider has said.
    with closing(cache_over(locked, "provider")) as cache:
        cache.start()
        until(lambda: cache.log.live)
        assert "detail=shared" in shared_by_thread(cache, "/things/1")
        tokens.provider.token = SECOND
        rotate(locked)
        locked.command("CLIENT", "KILL", "USER", "cache")
        until(lambda: "detail=shared" in shared_by_thread(cache, "/things/1"))
        until(lambda: cache.log.live)


def test_a_token_that_is_streamed_replaces_the_connections_without_a_miss(
    locked: RedisServer, tokens: Any
) -> None:
    # Guard: `Node.renew`. The connections stay in use until they have been replaced.
    with closing(cache_over(locked, "streaming")) as cache:
        cache.start()
        until(lambda: cache.log.live)
        assert "detail=shared" in shared_by_thread(cache, "/things/1")
        before = clients(locked)
        tokens.streaming.token = SECOND
        locked.command("ACL", "SETUSER", "cache", f">{SECOND}")
        tokens.streaming.renewed(None)
        seen = []
        until(
            lambda: (
                seen.append(shared_by_thread(cache, "/things/1")) or not before & clients(locked)
            )
        )
        assert all("hit" in status for status in seen)
        assert cache.log.live
        events = cache.stats().events
        assert "log_losses" not in events
        assert "breaker_opened" not in events


def test_a_loop_replaces_its_connections_too(locked: RedisServer, tokens: Any) -> None:
    async def main(nodes: Nodes) -> None:
        node = nodes.of(b"key")
        client = await node.aconnected()
        first = await client.client_id()
        assert await client.client_id() == first
        await asyncio.to_thread(tokens.streaming.renewed, None)
        assert await client.client_id() == first  # it is replaced after this use
        assert await client.client_id() != first
        await node.aclose()

    asyncio.run(main(Nodes(RedisSettings(url=locked.url, credentials=f"{MODULE}:streaming"))))


def clients(server: RedisServer) -> set[bytes]:
    listed: Any = server.command("CLIENT", "LIST")
    return {line.split()[0] for line in listed.splitlines() if b"user=cache" in line}


def test_a_provider_that_fails_is_told_in_words_without_its_own(
    locked: RedisServer, tokens: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.provider.error = ValueError("the secret is hunter2")
    cache = cache_over(locked, "provider")
    with caplog.at_level(logging.WARNING, "cachemw"), closing(cache):
        cache.start()
        until(lambda: caplog.messages)
        assert call_wsgi(wsgi.CacheMiddleware(Origin().wsgi, cache), "/things/1").status == 200
        assert "the credential provider failed with ValueError" in caplog.messages[0]
        assert "hunter2" not in caplog.text
        tokens.provider.error = None
        until(lambda: cache.log.live)


def test_a_provider_that_hangs_holds_no_request(locked: RedisServer, tokens: Any) -> None:
    # Guard: `Credentials` waits for the limit only, in the thread that opens a connection.
    tokens.provider.answers.clear()
    nodes = Nodes(
        RedisSettings(url=locked.url, deadline="50ms", credentials=f"{MODULE}:provider")  # type: ignore[arg-type]
    )
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(Exception, match="No connection available"):
            nodes.of(b"key").sync().ping()
    assert time.monotonic() - began < 0.9  # ten times 15 ms; the limit is a second each
    assert len(tokens.provider.asked_by) == 1
    tokens.provider.answers.set()
    until(lambda: nodes.of(b"key").connected().ping())
    nodes.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("not_here:provider", "No module named 'not_here'"),
        (f"{MODULE}:missing", "has no attribute 'missing'"),
        (f"{MODULE}:nothing", "is neither a credential provider nor a function that returns one"),
        (f"{MODULE}:make_nothing", "is no credential provider: it has no method `get_credentials`"),
    ],
)
def test_what_is_no_provider_is_a_mistake_of_the_configuration(
    tokens: Any, name: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        Cache.from_dict(options("redis://localhost", redis={"credentials": name}))
    (problem,) = raised.value.problems
    assert problem.path == "redis.credentials"
    assert said in problem.message
