"""Celery and RQ: what a task purges is gone in the workers of the web server when the task has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.support.servers import started
from tests.support.waiting import until
from tests.system.infra.hosts import HOSTS, Running, serve

pytest.importorskip("celery")
pytest.importorskip("rq")

ROUNDS = 6
CELERY = ("celery", "--app", "jobs.celery", "worker", "--pool", "prefork", "--concurrency", "2")
RECYCLED = ("--max-tasks-per-child", "2", "--loglevel", "warning")
Publish = Callable[[str], tuple[str, int]]


@contextmanager
def by_celery(
    environment: dict[str, str], log: Path, url: str
) -> Iterator[tuple[Publish, Popen[bytes]]]:
    from celery import Celery

    client = Celery("client", broker=url, backend=url)
    command = (sys.executable, "-m", *CELERY, *RECYCLED)
    with started(command, log, **environment) as process:

        def publish(name: str) -> tuple[str, int]:
            status, pid = client.send_task("publish", (name,)).get(timeout=20)
            return status, pid

        yield publish, process
    client.close()


@contextmanager
def by_rq(
    environment: dict[str, str], log: Path, url: str
) -> Iterator[tuple[Publish, Popen[bytes]]]:
    from redis import Redis
    from rq import Queue

    command = (sys.executable, "-m", "rq.cli", "worker", "--url", url)
    with Redis.from_url(url) as client, started(command, log, **environment) as process:
        queue = Queue(connection=client)

        def publish(name: str) -> tuple[str, int]:
            job = queue.enqueue("jobs.publish", name)
            until(lambda: job.is_finished or job.is_failed)
            status, pid = job.return_value()
            return status, pid

        yield publish, process


@pytest.mark.parametrize("by", [by_celery, by_rq], ids=["celery", "rq"])
def test_what_a_task_purges_is_gone_everywhere_when_the_task_has_ended(
    by: Any, redis_server: Any, redis_url: str, age_log: Callable[[str], None]
) -> None:
    age_log("servers")  # a process that only purges waits until a log is some seconds old
    with ExitStack() as stack:
        site: Running = stack.enter_context(serve(HOSTS["gunicorn gthread"], redis_url))
        names = site.names(2)
        environment = {**site.environment, "PYTHONUNBUFFERED": "1"}
        publish, process = stack.enter_context(by(environment, site.folder / "log-jobs", redis_url))
        pids = set()
        for version in range(2, 2 + ROUNDS):
            until(lambda: all(hit(answer) for answer in site.each("/pages/page", names)))
            status, pid = publish("page")
            pids.add(pid)
            assert status == "confirmed", site.log()
            answers = [*site.at_once("/pages/page"), *site.each("/pages/page", names)]
            assert {answer.body for answer in answers} == {f"page v{version}".encode()}
        assert len(pids) > 1, "the processes were replaced meanwhile"
        heartbeats = {
            name.decode() for name in redis_server.command("HKEYS", "cachemw:{servers}:followers")
        }
        assert heartbeats == names, "what only purges follows no log"
        process.terminate()
        until(lambda: process.poll() is not None)


def hit(answer: Any) -> bool:
    return "detail=memory" in answer.cache_status
