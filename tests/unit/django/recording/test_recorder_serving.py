"""Through the middleware: what is written makes what is served fresh, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from cachemw.django import get_cache
from tests.support.waiting import until
from tests.unit.django import conftest, urls

pytestmark = pytest.mark.usefixtures("goods")

HERE = Path(__file__).parents[1]


@pytest.fixture(params=[False, True], ids=["threads", "loops"])
def get(request: pytest.FixtureRequest) -> Iterator[Callable[..., tuple[str, str]]]:
    """Return a function that asks the project for a path; gives the body, and what the cache did."""
    loops = request.param
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=["cachemw.django.CacheMiddleware"]):
        client: Any = (AsyncClient if loops else Client)(headers={"host": "shop.example"})

        def ask(path: str, method: str = "get") -> tuple[str, str]:
            call = getattr(client, method)
            response = async_to_sync(_asked)(call, path) if loops else call(path)
            status = response.headers["Cache-Status"]
            return response.content.decode(), "hit" if "; hit" in status else "miss"

        yield ask


async def _asked(call: Any, path: str) -> Any:
    return await call(path)


@pytest.mark.parametrize("kind", ["", "a"])
def test_what_is_written_is_fresh_and_the_rest_is_a_hit(kind: str, get: Any) -> None:
    paths = [f"/{kind}products/1", f"/{kind}products/2", "/shops/1", "/shops/2"]
    for path in paths:
        assert get(path)[1] == "miss"
    assert [get(path)[1] for path in paths] == ["hit"] * 4
    get(f"/{kind}rename/1/new", "post")
    assert get(paths[0]) == ("new", "miss")
    assert get(paths[1]) == ("one 2", "hit")
    assert get("/shops/1") == ("new one 2", "miss")


def test_a_row_that_was_not_there_is_found_when_it_is(get: Any) -> None:
    models = conftest.models()
    assert get("/products/5") == ("none", "miss")
    assert get("/products/5") == ("none", "hit")
    assert get("/products/1")[1] == "miss"
    assert get("/shops/2")[1] == "miss"
    models.Product.objects.create(name="five", shop_id=1)
    assert get("/products/5") == ("five", "miss")
    assert get("/products/1")[1] == "hit"
    assert get("/shops/2")[1] == "hit"


def test_a_worker_that_serves_nothing_purges_and_ends(
    get: Any, redis_url: str, age_log: Callable[[str], None]
) -> None:
    age_log("recorded")
    config = {**conftest.CONFIG, "namespace": "recorded", "redis": redis_url}
    with override_settings(CACHEMW=config):
        cache = get_cache()
        cache.start()
        until(lambda: getattr(cache.log, "live", False))
        assert [get(f"/products/{pk}")[1] for pk in (1, 2, 1, 2)] == ["miss", "miss", "hit", "hit"]
        _work(connections["default"].settings_dict["NAME"], redis_url)
        until(lambda: get("/products/1") == ("renamed", "miss"))
        assert get("/products/2")[1] == "hit"
        cache.close()


WITHOUT = """
import sys

sys.modules["sqlglot"] = None  # as if it were not installed
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["cachemw.django"],
    CACHEMW={"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]},
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["cachemw.django.CacheMiddleware"],
    ROOT_URLCONF=__name__,
    LOGGING_CONFIG=None,
)
django.setup()
from django.http import HttpResponse
from django.test import Client
from django.urls import path

urlpatterns = [path("a", lambda request: HttpResponse("a"))]
client = Client(headers={"host": "shop.example"})
print([client.get("/a").headers["Cache-Status"] for _ in range(2)])
"""


def test_without_the_extra_everything_else_works_and_the_log_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("; hit") == 1
    assert done.stderr.count("recorder_missing") == 1


def _work(database: str, redis: str) -> None:
    # The application is named as in this process, where a test runner has found it by its folder.
    applications = ",".join(conftest.APPS).replace(f"{conftest.__package__}.", "")
    subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "worker.py"), database, redis, applications],
        check=True,
        timeout=60,
    )
