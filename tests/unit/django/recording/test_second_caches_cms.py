"""A content management system that keeps whole pages in Django's cache, as django CMS does.

A version is the first thing that is read, and part of every other key. When an editor saves, the version is
raised, so nothing older is found again. Pages are kept as pairs of content and headers, menus as lists of
nodes; whoever builds a menu writes its key into a table, to delete it by.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import override_settings

from tests.unit.django.conftest import models
from tests.unit.django.recording.cached_site import Site, events, open_site

pytestmark = pytest.mark.usefixtures("goods")

VERSION = "cms-_PAGE_CACHE_VERSION"
SECONDS = 60


class Node:
    """A line of a menu."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.children: list[Node] = []


def version() -> int:
    found = cache.get(VERSION)
    if not found:
        cache.set(VERSION, 1, SECONDS)
    return found or 1


def publish(pk: int, text: str, *, drop: bool = True) -> None:
    """Save a page as an editor does, in a request that nobody records."""
    models().Product.objects.filter(pk=pk).update(name=text)
    if drop:
        cache.set(VERSION, version() + 1, SECONDS)


def menu() -> list[Node]:
    key = "cms-menu_nodes_en_1"
    nodes = cache.get(key, version=version())
    if not nodes:
        nodes = [Node(shop.name) for shop in models().Shop.objects.order_by("pk")]
        nodes[0].children.append(Node("below"))
        cache.set(key, nodes, SECONDS, version=version())
    return list(nodes)


def page(pk: int) -> HttpResponse:
    """Show a page: from Django's cache, or made and put there."""
    key = f"cms-:1:{pk}"
    kept = cache.get(key, version=version())
    if kept is not None:
        content, headers, _ = kept
        return HttpResponse(content, headers=headers)
    text = models().Product.objects.get(pk=pk).name
    response = HttpResponse(f"{'|'.join(node.title for node in menu())}: {text}")
    kept = response.content, dict(response.headers), datetime.now(UTC) + timedelta(seconds=9)
    current = version()
    cache.set(key, kept, SECONDS, version=current)
    cache.set(VERSION, current, SECONDS)
    return response


@pytest.fixture(
    params=[
        "locmem",
        "redis",
        pytest.param("files", marks=pytest.mark.thorough),
        pytest.param("database", marks=pytest.mark.thorough),
    ]
)
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Site]:
    with open_site(tmp_path, redis_url) as site:
        from django.conf import settings

        with override_settings(
            CACHES={**settings.CACHES, "default": settings.CACHES[request.param]}
        ):
            for pk in (1, 2, 3):
                site.works[str(pk)] = lambda pk=pk: page(pk)  # type: ignore[misc]
            yield site


def asked(site: Site) -> list[tuple[str, str]]:
    return [site.get(str(pk)) for pk in (1, 2, 3)]


def test_every_page_is_a_hit_and_new_after_a_save(site: Site) -> None:
    assert [verdict for _, verdict in asked(site)] == ["stored"] * 3
    assert [verdict for _, verdict in asked(site)] == ["hit"] * 3
    for text in ("once", "twice"):
        publish(2, text)
        assert asked(site) == [
            ("one|two: one 1", "hit"),
            (f"one|two: {text}", "stored"),
            ("one|two: two 1", "hit"),
        ]
        assert site.get("2")[1] == "hit"
    models().Shop.objects.filter(pk=1).update(name="new")
    cache.set(VERSION, version() + 1, SECONDS)
    assert [body.partition(":")[0] for body, _ in asked(site)] == ["new|two"] * 3
    assert [verdict for _, verdict in asked(site)] == ["hit"] * 3
    assert events("second_cache_unknown") == {}


def test_a_page_that_the_system_has_kept_is_as_good(site: Site) -> None:
    asked(site)
    publish(2, "before it is asked for by another spelling", drop=False)
    first: Any = site.client.get("/page/2", headers={"cookie": "seen=1"})
    assert first.content == b"one|two: one 2", "the system has it so"
    assert "stored" not in first.headers["Cache-Status"]
    publish(2, "new")
    assert site.client.get("/page/2", headers={"cookie": "seen=1"}).content == b"one|two: new"


def test_what_an_editor_sees_first_is_known_to_all(site: Site) -> None:
    asked(site)
    publish(2, "new")
    assert site.get("2", cookie="who=editor")[0] == "one|two: new"
    assert site.get("2") == ("one|two: new", "stored")
    publish(2, "newer")
    assert site.get("2") == ("one|two: newer", "stored")
