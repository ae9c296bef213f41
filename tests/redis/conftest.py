from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachemw.testing import RedisServer
from tests.support.caches import Caches, caches_over


@pytest.fixture
def caches(redis_url: str) -> Iterator[Caches]:
    with caches_over(redis_url) as made:
        yield made


@pytest.fixture
def own_caches(own_redis_server: RedisServer) -> Iterator[Caches]:
    with caches_over(own_redis_server.url) as made:
        yield made
