"""Workers that are forked from a process which has loaded the application: gunicorn's preload."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import Client, Server, client_of_each, serve
from tests.support.waiting import until

pytestmark = pytest.mark.thorough


def wrong_answers(servers: list[Server], clients: list[Client], rounds: int) -> list[str]:
    """Ask for many pages from all clients at once; give what came wrong."""

    def hammer(client: Client, seed: int) -> list[str]:
        wrong = []
        for number in range(rounds):
            page = f"page-{(number * 7 + seed * 13) % 60}"
            answer = client.get(f"/pages/{page}")
            if (answer.status, answer.body) != (200, f"{page} v1".encode()):
                wrong.append(f"{page}: {answer}")
        return wrong

    with ExitStack() as extra, ThreadPoolExecutor(12) as pool:
        more = [extra.enter_context(server.client()) for server in servers for _ in range(2)]
        found = pool.map(hammer, [*clients, *more], range(12))
        return [each for wrong in found for each in wrong]


def connections_of(pid: int) -> set[str]:
    """The sockets of a process that are connected over TCP, by their numbers."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    connected = {fields[9] for line in lines if (fields := line.split())[3] == "01"}
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    return found & connected


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="there is no /proc to look into")
def test_a_preloaded_master_makes_no_connection_and_each_worker_its_own(
    redis_server: Any, redis_url: str, tmp_path: Path
) -> None:
    with serve("preload", redis_url, tmp_path) as server, client_of_each(server) as each:
        pids = {client.about()["pid"] for client in each}
        assert wrong_answers([server], each, rounds=200) == []
        assert not connections_of(server.process.pid)
        theirs = [connections_of(pid) for pid in pids]
        assert all(theirs)
        assert sum(map(len, theirs)) == len(set().union(*theirs))
        assert redis_server.command("HLEN", "cachemw:{servers}:followers") == 4


def test_a_preloaded_worker_that_is_killed_is_replaced_by_one_that_follows(
    redis_url: str, tmp_path: Path
) -> None:
    with serve("preload", redis_url, tmp_path) as server, client_of_each(server) as each:
        killed = each[0].about()["pid"]
        others = {client.about()["pid"] for client in each[1:]}
        os.kill(killed, signal.SIGKILL)
        for number in range(200):  # nobody else notices
            client = each[1 + number % 3]
            assert client.get(f"/pages/{number}").body == f"{number} v1".encode()
        with new_worker(server, {killed, *others}) as new:
            new.get("/pages/begin")
            until(lambda: new.about()["live"])
            everybody = [new, *each[1:]]
            until(lambda: new.get("/pages/other", "PUT").body == b"confirmed")
            for version in range(1, 11):
                bodies = {client.get("/pages/page").body for client in everybody}
                assert bodies == {f"page v{version}".encode()}
                assert everybody[version % 4].get("/pages/page", "PUT").body == b"confirmed"


@contextmanager
def new_worker(server: Server, known: set[int]) -> Iterator[Client]:
    """Open a connection to a worker that was not there before."""
    with ExitStack() as stack:
        opened: list[Client] = []

        def found() -> bool:
            opened.append(stack.enter_context(server.client()))
            return opened[-1].about()["pid"] not in known

        until(found)
        yield opened[-1]


@pytest.mark.thorough
def test_django_preloaded_and_django_in_event_loops_share_one_cache(
    redis_url: str, tmp_path: Path
) -> None:
    # Guard: `register_at_fork`. Django's cache follows the log before the workers are forked.
    threads, loops = tmp_path / "threads", tmp_path / "loops"
    threads.mkdir()
    loops.mkdir()
    data = str(threads / "data")
    with (
        serve("django-preload", redis_url, threads, APP_FOLLOW="1") as sync,
        serve("django-uvicorn", redis_url, loops, APP_DATA=data, APP_LOOPS="1") as aio,
        client_of_each(sync) as here,
        client_of_each(aio) as there,
    ):
        each = [*here, *there]
        assert len({client.about()["pid"] for client in each}) == 4
        assert wrong_answers([sync, aio], each, rounds=100) == []
        # Made by one, known to all, and purged by any.
        calls = sync.calls
        for version in range(1, 21):
            assert {c.get("/pages/page").body for c in each} == {f"page v{version}".encode()}
            assert each[version % 4].get("/pages/page", "PUT").body == b"confirmed"
        assert sync.calls - calls < 60  # of 80 requests, one or two in each round found nothing
        assert "memory" in here[0].get("/pages/page-1").cache_status
