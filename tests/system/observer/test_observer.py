"""An observer outside three real workers sees no broken promise, whatever happens to them and to Redis.

`CACHEMW_OBSERVE_SECONDS` says how long to look (`tox -e observe`: two minutes), half of it at each
server; `CACHEMW_OBSERVE_SEED` draws the same mishaps again, though no two runs are ever the same.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.waiting import until

from .judge import Judge, Violation
from .kit import KINDS, serve
from .observer import PAGES, Observer

SECONDS = float(os.environ.get("CACHEMW_OBSERVE_SECONDS", "10")) / len(KINDS)
SEED = os.environ.get("CACHEMW_OBSERVE_SEED") or str(random.randrange(10**6))


def observe(
    kind: str, server: RedisServer, folder: Path, seconds: float, **environment: str
) -> Counter[str]:
    """Look for so long, and give what was seen; raises Violation."""
    data = folder / "data"
    data.mkdir()
    judge = Judge(f"seed {SEED}, {kind}", PAGES)
    for page in PAGES:
        (data / page[1:].replace("/", "-")).write_text("1")
    with (
        ChaosProxy(server.url) as proxy,
        serve(kind, proxy.url, data, folder / "log", **environment) as port,
    ):
        observer = Observer(judge, SEED, port, server, proxy, data)
        with observer.going_on():
            until(lambda: judge.violation or judge.seen["purge confirmed"] > 3)
            observer.suffer(seconds)
            observer.await_peace()
    print(judge.title, dict(judge.seen))
    judge.verdict()
    return judge.seen


@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_observer_sees_no_promise_broken(
    kind: str, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    seen = observe(kind, own_redis_server, tmp_path, SECONDS)
    assert seen["hit"] > 100
    assert seen["purge confirmed"] > 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_observer_sees_workers_that_do_not_apply_what_others_purge(
    kind: str, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    # The observer can fail: workers that read the log, say so, and leave it at that.
    with pytest.raises(Violation, match="I5"):
        observe(kind, own_redis_server, tmp_path, 5.0, APP_DEAF="1")
