"""A process that writes and one that reads, over Redis: nothing older is served after a confirmed purge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .bench import KINDS, Kind
from .fixtures import MakeBench
from .judge import chosen, fail_if_wrong, try_all
from .worker import NAMESPACE

EVERY = 250
SHORT = [KINDS[2], KINDS[5], KINDS[7]]
"""The kinds of a short run: each framework, each database."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_process_that_reads_serves_nothing_older_after_a_confirmed_purge(
    make_bench: MakeBench,
    kind: Kind,
    redis_url: str,
    age_log: Callable[[str], None],
    pytestconfig: pytest.Config,
) -> None:
    every = pytestconfig.getoption("every")
    if not (every or kind in SHORT):
        pytest.skip("in a longer run only (--every, --whole)")
    age_log(NAMESPACE)
    bench = make_bench(kind, redis=redis_url)
    pairs = chosen(bench.described, every or EVERY, known=bool(every))
    fail_if_wrong(try_all(bench, pairs))
