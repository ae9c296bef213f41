"""Real servers with several workers: what one has made or purged holds in all, and streams stream."""

from __future__ import annotations

import base64
import itertools
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cachemw.testing import RedisServer
from tests.support.servers import Answer, Client, Server, client_of_each, serve
from tests.support.waiting import until

pytestmark = pytest.mark.thorough

NAMES = (f"name-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def server(
    request: pytest.FixtureRequest, redis_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    redis_server.command("FLUSHALL")
    with serve(request.param, redis_server.url, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def each(server: Server) -> Iterator[list[Client]]:
    """One connection to every worker."""
    with client_of_each(server) as clients:
        yield clients


@pytest.fixture
def name() -> str:
    return next(NAMES)


def test_a_page_that_one_worker_made_serves_in_all(
    server: Server, each: list[Client], name: str
) -> None:
    here, there = each
    calls = server.calls
    assert "fwd=uri-miss; stored" in here.get(f"/pages/{name}").cache_status
    # The shared store is written after the response, so there may be a moment without it.
    until(lambda: "fwd=uri-miss" not in there.get(f"/pages/{name}?again").cache_status)
    assert server.calls - calls <= 3


def test_the_second_worker_reads_redis_once_and_its_own_memory_then(
    server: Server, each: list[Client], redis_server: Any, name: str
) -> None:
    here, there = each
    before = stored(redis_server)
    assert here.get(f"/pages/{name}").body == f"{name} v1".encode()
    until(lambda: stored(redis_server) > before)
    calls = server.calls
    answers = [client.get(f"/pages/{name}") for client in (there, there, here)]
    assert [answer.body for answer in answers] == [f"{name} v1".encode()] * 3
    details = [answer.cache_status.rpartition("detail=")[2] for answer in answers]
    assert details == ["shared", "memory", "memory"]
    assert server.calls == calls


def stored(redis_server: Any) -> int:
    return len(redis_server.command("KEYS", "cachemw:{servers:*}:e4"))


def test_what_one_worker_purges_is_gone_in_all_when_the_purge_returns(
    each: list[Client], name: str
) -> None:
    # Guard: a purge waits until every follower has told that it has applied it.
    path = f"/pages/{name}"
    for version in range(1, 51):
        for client in each:
            assert client.get(path).body == f"{name} v{version}".encode()
        purger = each[version % len(each)]
        assert purger.get(path, "PUT").body == b"confirmed"
    assert {client.get(path).body for client in each} == {f"{name} v51".encode()}


# -- a purge during a fill -------------------------------------------------------------------------


def fill_overtaken_by_a_purge(server: Server, each: list[Client], name: str) -> list[bytes]:
    """Let one worker read version 1, the other write and purge, the first then complete its fill.

    Give the bodies that both serve afterwards, out of memory and out of Redis.
    """
    filling, purging = each
    filling.send(f"/paused/{name}")
    until(lambda: server.has(f"paused-{name}"))
    assert purging.get(f"/pages/{name}", "PUT").body == b"confirmed"
    server.go_on(name)
    assert filling.answer().body == f"{name} v1".encode()
    afterwards = []
    for _ in range(5):
        afterwards += [client.get(f"/paused/{name}").body for client in each]
    return afterwards


def test_a_page_that_a_purge_overtook_is_never_served(
    server: Server, each: list[Client], name: str
) -> None:
    # Guard: the position is noted before the application is called, and the entry carries it.
    for round_ in range(5):
        page = f"{name}-{round_}"
        assert set(fill_overtaken_by_a_purge(server, each, page)) == {f"{page} v2".encode()}


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_without_the_early_position_the_overtaken_page_would_be_served(
    kind: str, own_redis_server: RedisServer, tmp_path: Path, name: str
) -> None:
    """Show that the test above can fail: entries carry a position that is noted too late."""
    # A server of its own: the other workers of this module come back to a log that was flushed.
    with (
        serve(kind, own_redis_server.url, tmp_path, APP_LATE_POSITION="1") as server,
        client_of_each(server) as each,
    ):
        assert f"{name} v1".encode() in fill_overtaken_by_a_purge(server, each, name)


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stream", "events"])
def test_the_first_piece_of_a_stream_is_not_held_back(server: Server, name: str, kind: str) -> None:
    # Guard: pieces are copied aside, never gathered. The second is made when the first is here.
    with server.client() as client:
        client.about()
        began = time.monotonic()
        client.send(f"/{kind}/{name}")
        status, headers = client.head()
        assert (status, client.chunk()) == (200, b"data: first\n\n")
        assert time.monotonic() - began < 0.5  # about 2 ms; the machine may be busy
        assert "fwd=uri-miss" in headers["cache-status"]
        server.go_on(name)
        assert client.chunk() == b"data: last\n\n"
        assert client.chunk() == b""


def test_the_first_event_comes_within_fifty_milliseconds(server: Server) -> None:
    taken = []
    with server.client() as client:
        for _ in range(9):
            page = next(NAMES)
            client.about()
            began = time.monotonic()
            client.send(f"/events/{page}")
            client.head()
            client.chunk()
            taken.append(time.monotonic() - began)
            server.go_on(page)
            while client.chunk():
                pass
    assert sorted(taken)[len(taken) // 2] < 0.05


def test_a_stream_that_has_ended_is_served_from_memory(server: Server, name: str) -> None:
    server.go_on(name)
    with server.client() as client:
        assert client.get(f"/stream/{name}").body == b"data: first\n\ndata: last\n\n"
        again = client.get(f"/stream/{name}")
        assert again.body == b"data: first\n\ndata: last\n\n"
        assert "detail=memory" in again.cache_status


def test_a_lifetime_by_expires_outlives_the_date_that_the_server_sends(
    server: Server, each: list[Client], name: str
) -> None:
    # Guard: `stating_lifetime` in http/freshness. uvicorn puts a Date of its own before the stored
    # one, and gunicorn puts it in its place; counted from there, Expires less Age is too short.
    client = each[0]
    client.get(f"/dated/{name}")
    hit = client.get(f"/dated/{name}")
    assert "detail=memory" in hit.cache_status
    lifetime = int(hit.headers["cache-control"].removeprefix("max-age="))
    assert abs(lifetime - 3600) <= 1
    ttl = int(hit.cache_status.partition("ttl=")[2].partition(";")[0])
    assert abs(lifetime - int(hit.headers["age"]) - ttl) <= 1


def test_a_client_that_goes_away_in_mid_body_leaves_nothing_half_done(
    server: Server, each: list[Client], name: str
) -> None:
    # Guards: the body is closed in `finally`; what did not end is not kept.
    with server.client() as client:
        client.send(f"/large/{name}")
        client.head()
        client.read(1000)
        until(lambda: server.has(f"paused-{name}"))
    server.go_on(name)
    if server.kind == "gunicorn":
        until(lambda: server.has(f"closed-{name}"))
        assert "fwd=uri-miss" in each[0].get(f"/large/{name}").cache_status
    # uvicorn lets the application end, with nobody listening: then the body is whole.
    for other in each:
        answer = other.get(f"/large/{name}")
        assert (answer.status, answer.body) == (200, b"x" * (16 * 65536))


def test_whoever_has_the_whole_body_finds_it_stored(server: Server, each: list[Client]) -> None:
    # Guard: the memory tier is written before the last piece goes out. The second connection leads
    # to the same worker, and asks the moment that the first has its last byte.
    worker = each[0].about()["pid"]
    others: list[Client] = []

    def found() -> bool:
        others.append(server.client())
        return bool(others[-1].about()["pid"] == worker)

    until(found)
    for _ in range(200):
        path = f"/pages/{next(NAMES)}"
        assert "fwd=uri-miss" in each[0].get(path).cache_status
        assert "detail=memory" in others[-1].get(path).cache_status
    for other in others:
        other.close()


# -- bodies ----------------------------------------------------------------------------------------


def sent(client: Client, path: str, body: bytes, *, chunk: int = 0, **fields: str) -> Answer:
    """Post a body, in chunks where their size is given; waits to be asked for it where it may."""
    fields |= {"Transfer_Encoding": "chunked"} if chunk else {"Content_Length": str(len(body))}
    client.send(path, "POST", **fields)
    if "Expect" in fields:
        assert client.head()[0] == 100
    if not chunk:
        client.socket.sendall(body)
        return client.answer()
    for start in range(0, len(body), chunk):
        piece = body[start : start + chunk]
        client.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.socket.sendall(b"0\r\n\r\n")
    return client.answer()


@pytest.mark.parametrize("chunk", [0, 1, 1000, 30_000])
@pytest.mark.parametrize("size", [0, 3000, 100 * 1024, 300_000])
def test_a_posted_body_arrives_whole_and_is_answered_again(
    each: list[Client], name: str, chunk: int, size: int
) -> None:
    body, path = os.urandom(size), f"/bodies/{name}"
    if chunk == 1:
        body = body[:500]
    expected = f"{name} v1".encode() + body
    answers = [sent(each[0], path, body, chunk=chunk) for _ in range(2)]
    assert [answer.body for answer in answers] == [expected] * 2
    word = "detail=memory" if len(body) <= 100 * 1024 else "detail=body-limit"
    assert word in answers[1].cache_status
    assert each[0].get("/pages/after").status == 200  # the connection is where it should be


@pytest.mark.parametrize("chunk", [0, 1000])
def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
    each: list[Client], name: str, chunk: int
) -> None:
    """RFC 9110 10.1.1."""
    for word in ("fwd=uri-miss", "detail=memory"):
        answer = sent(each[0], f"/bodies/{name}", b"x" * 5000, chunk=chunk, Expect="100-continue")
        assert answer.body == f"{name} v1".encode() + b"x" * 5000
        assert word in answer.cache_status


def test_a_client_that_goes_away_while_it_posts_leaves_nothing(
    server: Server, each: list[Client], name: str
) -> None:
    path, calls = f"/bodies/{name}", server.calls
    with server.client() as client:
        client.send(path, "POST", Content_Length="1000")
        client.socket.sendall(b"x" * 500)
    until(lambda: server.calls > calls)  # the application meets the end of the body, as without us
    for length in (500, 1000):
        answer = sent(each[0], path, b"x" * length)
        assert "fwd=uri-miss" in answer.cache_status
        assert answer.body == f"{name} v1".encode() + b"x" * length


# -- websockets ------------------------------------------------------------------------------------


def test_websockets_pass_through(redis_url: str, tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    with serve("uvicorn", redis_url, tmp_path) as server, server.client() as client:
        key = base64.b64encode(os.urandom(16)).decode()
        client.send(
            "/pages/socket",
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Key=key,
            Sec_WebSocket_Version="13",
        )
        status, headers = client.head()
        assert (status, headers["upgrade"].lower()) == (101, "websocket")
        for text in (b"hello", b"again"):
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
            client.socket.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
            assert client.read(2 + len(text)) == bytes([0x81, len(text)]) + text.upper()


# -- forks -----------------------------------------------------------------------------------------


def test_four_workers_of_one_preloaded_application_share_no_connection(
    own_redis_server: RedisServer, tmp_path: Path
) -> None:
    # Guard: `register_at_fork`. The application has used its cache before the workers were forked.
    with serve("preload", own_redis_server.url, tmp_path, APP_WARM="1") as server:
        wrong: list[str] = []
        workers: set[int] = set()
        with client_of_each(server) as each:
            workers |= {client.about()["pid"] for client in each}

            def hammer(client: Client, seed: int) -> None:
                for number in range(150):
                    page = f"page-{(number * 7 + seed * 13) % 60}"
                    body = client.get(f"/pages/{page}").body
                    if body != f"{page} v1".encode():
                        wrong.append(f"{page}: {body!r}")

            extra = [server.client() for _ in range(8)]
            with ThreadPoolExecutor(12) as pool:
                list(pool.map(hammer, [*each, *extra], range(12)))
            for client in extra:
                client.close()
            assert wrong == []
            assert len(workers) == 4
            assert server.process.pid not in workers
            # Every worker follows the log for itself.
            page = next(NAMES)
            for version in range(1, 11):
                bodies = {client.get(f"/pages/{page}").body for client in each}
                assert bodies == {f"{page} v{version}".encode()}
                assert each[version % 4].get(f"/pages/{page}", "PUT").body == b"confirmed"


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn", "preload"])
def test_a_server_that_is_asked_to_end_does_so_in_seconds_and_in_silence(
    kind: str, redis_url: str, tmp_path: Path
) -> None:
    with serve(kind, redis_url, tmp_path) as server:
        with client_of_each(server) as each:  # their connections stay open, as browsers' do
            for client, page in itertools.product(each, range(20)):
                client.get(f"/pages/{page}")
            began = time.monotonic()
            assert server.terminate() in (0, -signal.SIGTERM)
            assert time.monotonic() - began < 15.0
        log = server.log.read_text()
    assert "Traceback" not in log
    assert "rror" not in log.replace("error_log", "")


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_a_worker_that_is_killed_takes_nothing_along(
    kind: str, redis_url: str, tmp_path: Path, name: str
) -> None:
    with serve(kind, redis_url, tmp_path) as server, client_of_each(server) as each:
        pids = [client.about()["pid"] for client in each]
        for client in each:
            assert client.get(f"/pages/{name}").body == f"{name} v1".encode()
        os.kill(pids[0], signal.SIGKILL)
        assert each[1].get(f"/pages/{name}").status == 200
        until(lambda: each[1].get(f"/pages/{name}", "PUT").body == b"confirmed")
        until(lambda: replaced(server, pids))


def replaced(server: Server, pids: list[int]) -> bool:
    """Say whether a new worker answers."""
    with server.client() as client:
        return client.about()["pid"] not in pids
