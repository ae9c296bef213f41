"""Each server that the documentation lists: purges reach all of its workers, whose names differ."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from cachemw import Cache
from tests.support.waiting import until
from tests.system.infra.hosts import (
    DAEMON,
    HOSTS,
    Host,
    Running,
    gunicorn,
    mod_wsgi,
    outside_cache,
    serve,
    uwsgi,
)

ROUNDS = 12
ENDS_WITHIN = 12.0
"""Seconds. mod_wsgi gives its interpreters some seconds to end, with or without a cache."""
IDLE = 0.3
"""Seconds without a request before the end: uWSGI runs no `atexit` in a worker that has just answered."""
FOLLOWERS = "cachemw:{servers}:followers"


def heartbeats(redis_server: Any) -> set[str]:
    return {name.decode() for name in redis_server.command("HKEYS", FOLLOWERS)}


def purged_everywhere(site: Running, outside: Cache, names: set[str], rounds: int) -> None:
    """Purge a page from inside and from outside in turn: whoever is asked then has the new one."""
    version = 1
    for number in range(rounds):
        until(lambda: all_hits(site, names))
        if number % 2:
            version = site.change("page")
            assert outside.purge(tags=["page:page"]).status == "confirmed"
        else:
            assert site.ask("/pages/page", "PUT").body == b"confirmed"
            version += 1
        answers = [*site.at_once("/pages/page"), *site.each("/pages/page", names)]
        assert {answer.body for answer in answers} == {f"page v{version}".encode()}, number


def all_hits(site: Running, names: set[str]) -> bool:
    """Tell whether each cache has answered from its memory."""
    answers = site.each("/pages/page", names)
    hits = {a.headers["worker"] for a in answers if "detail=memory" in a.cache_status}
    return names <= hits


@pytest.mark.parametrize("name", HOSTS)
def test_a_confirmed_purge_has_reached_every_worker_of(
    name: str, redis_server: Any, redis_url: str
) -> None:
    host = HOSTS[name]
    with serve(host, redis_url) as site, outside_cache(redis_url) as outside:
        names = site.names(host.caches)
        mine = {outside.log.me}  # type: ignore[attr-defined]
        assert len(names) == host.caches
        masters = 1 if host.environment else 0  # one that was warmed up follows too
        until(lambda: len(heartbeats(redis_server)) == len(names | mine) + masters)
        assert (beats := heartbeats(redis_server)) >= names | mine
        purged_everywhere(site, outside, names, ROUNDS)
        until(lambda: names <= counting(outside))
        assert "event=threads_missing" not in site.log()
        time.sleep(IDLE)
        assert site.terminate() < ENDS_WITHIN
        if host.leaves:
            assert heartbeats(redis_server) - (beats - names) == set()
        until(lambda: outside.purge(tags=["page:page"]).status == "confirmed", 5.0)


def counting(outside: Cache) -> set[str]:
    """Return the names of the processes that have published how many requests they answered."""
    redis = outside._core.redis
    assert redis is not None
    return {each.id for each in redis.fleet_processes() if each.stats.requests}


def test_uwsgi_without_threads_is_named_and_serves_nothing_that_was_purged_while_it_stood_still(
    redis_url: str,
) -> None:
    # Guard: `_due` in `Trust.serves`. The log's thread runs only while a request is answered, so after
    # a pause purges are confirmed without these workers, and nothing tells them.
    with serve(WITHOUT_THREADS, redis_url) as site, outside_cache(redis_url) as outside:
        names = site.names(2)
        line = "event=threads_missing server=uwsgi set=enable-threads"
        assert site.log().count(line) == 1  # the master loads the application, once
        for _ in range(3):
            until(lambda: all_hits(site, names))
            version = site.change("page")
            until(lambda: outside.purge(tags=["page:page"]).status == "confirmed")
            answers = [*site.at_once("/pages/page"), *site.each("/pages/page", names)]
            assert {answer.body for answer in answers} == {f"page v{version}".encode()}
        until(lambda: site.each("/pages/page", names) and "event=log_late" in site.log())
        assert site.terminate() < ENDS_WITHIN


WITHOUT_THREADS = Host(uwsgi(debian=True))


# -- recycled workers ------------------------------------------------------------------------------


def reload_gunicorn(site: Running) -> None:
    site.processes[0].send_signal(signal.SIGHUP)


def touch(site: Running) -> None:
    """Tell uWSGI, or mod_wsgi, that the application is another one."""
    for name in ("touched", "site.wsgi"):
        if (file := site.folder / name).exists():
            os.utime(file, (time.time() + 1, time.time() + 1))


def wait_for_limit(site: Running) -> None:
    """Do nothing: the workers end after a number of requests."""


THREADS = ("--worker-class", "gthread", "--threads", "4")
RECYCLED: dict[str, tuple[Host, Callable[[Running], None]]] = {
    "gunicorn HUP": (Host(gunicorn(*THREADS)), reload_gunicorn),
    "gunicorn preload HUP": (Host(gunicorn(*THREADS, "--preload")), reload_gunicorn),
    "gunicorn max-requests": (Host(gunicorn(*THREADS, "--max-requests", "400")), wait_for_limit),
    "uwsgi reload": (Host(uwsgi(), module="pyuwsgi"), touch),
    "uwsgi lazy reload": (Host(uwsgi("--lazy-apps"), module="pyuwsgi"), touch),
    "uwsgi max-requests": (Host(uwsgi("--max-requests", "400"), module="pyuwsgi"), wait_for_limit),
    "mod_wsgi touched": (Host(mod_wsgi(DAEMON.format(group="%{GLOBAL}", options=""))), touch),
    "mod_wsgi maximum-requests": (
        Host(mod_wsgi(DAEMON.format(group="%{GLOBAL}", options="maximum-requests=400"))),
        wait_for_limit,
    ),
}


@pytest.mark.parametrize("name", RECYCLED)
def test_workers_that_are_replaced_leave_no_old_page_and_no_purge_that_waits(
    name: str, redis_server: Any, redis_url: str
) -> None:
    host, recycle = RECYCLED[name]
    with serve(host, redis_url) as site, outside_cache(redis_url) as outside:
        before = site.names(host.caches)
        old = site.change("page")
        until(lambda: outside.purge(tags=["page:page"]).status == "confirmed")
        recycle(site)
        version = old
        seen = set(before)

        def replaced() -> bool:
            """Purge, and ask: whoever answers then, old worker or new, has the new page."""
            nonlocal version
            version = site.change("page")
            confirmed = outside.purge(tags=["page:page"]).status == "confirmed"
            answers = site.at_once("/pages/page")
            seen.update(answer.headers["worker"] for answer in answers)
            if confirmed:
                assert {answer.body for answer in answers} == {f"page v{version}".encode()}, answers
            return len(seen - before) >= host.caches and not heartbeats(redis_server) & before

        until(replaced)
        until(lambda: outside.purge(tags=["page:page"]).status == "confirmed")
        assert site.terminate() < ENDS_WITHIN


def test_cheaper_workers_come_and_go(redis_server: Any, redis_url: str) -> None:
    """uWSGI starts workers under load, and ends those that are idle."""
    host = Host(uwsgi(*CHEAPER, workers=3), module="pyuwsgi")
    with serve(host, redis_url) as site, outside_cache(redis_url) as outside:
        [first] = site.names(1)
        names, numbers = {first}, itertools.count()

        def grown() -> bool:
            site.at_once(*(f"/slow/{next(numbers)}" for _ in range(16)))
            names.update(answer.headers["worker"] for answer in site.at_once("/pages/page"))
            return len(names) >= 2

        until(grown)
        for _ in range(ROUNDS):
            version = site.change("page")
            until(lambda: outside.purge(tags=["page:page"]).status == "confirmed")
            answers = site.at_once("/pages/page")
            assert {answer.body for answer in answers} == {f"page v{version}".encode()}
        mine = {outside.log.me}  # type: ignore[attr-defined]
        until(lambda: len(heartbeats(redis_server) - mine) == 1)  # the idle ones have left
        assert outside.purge(tags=["page:page"]).status == "confirmed"
        assert site.terminate() < ENDS_WITHIN


CHEAPER = ("--cheaper", "1", "--cheaper-initial", "1", "--cheaper-overload", "1")
