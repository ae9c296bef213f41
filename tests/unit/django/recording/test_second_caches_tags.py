"""What is read through Django's cache brings the tags with which it was set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.test import override_settings
from django.views.decorators.cache import cache_page

import cachemw
from cachemw.django import get_cache
from cachemw.frontdoor import recorded as recordings
from cachemw.recording.context import current
from tests.support.waiting import until
from tests.unit.django.conftest import models
from tests.unit.django.recording.cached_site import BACKENDS, CACHE, Apart, Site, events, open_site

pytestmark = pytest.mark.usefixtures("goods")


@pytest.fixture
def site(tmp_path: Path, redis_url: str) -> Iterator[Site]:
    with open_site(tmp_path, redis_url) as site:
        yield site


SLOWER = ("files", "database", "redis")


def name() -> str:
    """Read a row."""
    return str(models().Shop.objects.get(pk=1).name)


def rename(new: str) -> None:
    """Write it, as another process would: nobody touches Django's cache."""
    models().Shop.objects.filter(pk=1).update(name=new)


def get_or_set(cache: BaseCache) -> Any:
    return cache.get_or_set("k", name)


def by_hand(cache: BaseCache) -> Any:
    value = cache.get("k")
    if value is None:
        value = name()
        cache.set("k", value, 60)
    return value


def add(cache: BaseCache) -> Any:
    if cache.get("k", version=3) is None:
        cache.add("k", name(), timeout=60, version=3)
    return cache.get("k", version=3)


def many(cache: BaseCache) -> Any:
    found = cache.get_many(["k", "l", "m"])
    if not found:
        found = {"k": name(), "l": [name()]}
        cache.set_many(found, 60)
    return found["k"]


def compound(cache: BaseCache) -> Any:
    value = cache.get("k")
    if value is None:
        value = (models().Shop.objects.get(pk=1), {"name": name(), 1: (b"x", 2.5)})
        cache.set("k", value)
    return value[1]["name"]


def lazy(cache: BaseCache) -> Any:
    """Store a query that nobody has made yet: the cache makes it while it pickles the value."""
    value = cache.get("k")
    if value is None:
        value = models().Shop.objects.filter(pk=1)
        cache.set("k", value)
        value = cache.get("k")
    return value[0].name


def fragment(cache: BaseCache) -> Any:
    text = "{% load cache %}{% cache 60 side using=alias %}{{ make }}{% endcache %}"
    alias = cache._cachemw_alias  # type: ignore[attr-defined]
    with override_settings(
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    ):
        text = text.replace("=alias", f'="{alias}"')
        return engines["django"].from_string(text).render({"make": name})


def page_of_cache_page(cache: BaseCache) -> Any:
    alias = cache._cachemw_alias  # type: ignore[attr-defined]
    request = HttpRequest()
    request.method, request.path = "GET", "/p"
    request.META = {"SERVER_NAME": "shop.example", "SERVER_PORT": "80"}

    @cache_page(60, cache=alias)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(name())

    return view(request).content.decode()


async def aget_or_set(cache: BaseCache) -> Any:
    async def aname() -> str:
        return str((await models().Shop.objects.aget(pk=1)).name)

    value = await cache.aget("k")
    if value is None:
        value = await aname()
        await cache.aset("k", value, 60)
    return value


async def amany(cache: BaseCache) -> Any:
    found = await cache.aget_many(["k", "l"])
    if not found:
        shop = await models().Shop.objects.aget(pk=1)
        found = {"k": shop.name, "l": 5}
        await cache.aset_many(found)
    return found["k"]


WAYS: dict[str, Callable[[BaseCache], Any]] = {
    each.__name__: each
    for each in (
        *(get_or_set, by_hand, add, many, compound, lazy, fragment, page_of_cache_page),
        *(aget_or_set, amany),
    )
}


def pairs(*often: Callable[[BaseCache], Any]) -> list[Any]:
    """Return all ways in all caches; of most caches only these ways are tried each time."""
    return [
        pytest.param(
            alias,
            way,
            id=f"{alias}-{way.__name__}",
            marks=() if alias == "apart" or way in often else pytest.mark.thorough,
        )
        for alias in (*BACKENDS, "redis")
        for way in WAYS.values()
    ]


ALIAS = pytest.mark.parametrize(
    "alias",
    ["locmem", "apart", *(pytest.param(each, marks=pytest.mark.thorough) for each in SLOWER)],
)


def show(site: Site, way: Callable[[BaseCache], Any], alias: str, *pages: str) -> None:
    """Make pages that show what this way of caching returns."""
    for page in pages:
        if way.__name__.startswith("a") and way is not add:
            site.aworks[page] = lambda: way(caches[alias])
        else:
            site.works[page] = lambda: way(caches[alias])


@pytest.mark.parametrize(("alias", "way"), pairs(by_hand))
def test_a_write_purges_each_page_that_shows_the_value(
    site: Site, way: Callable[[BaseCache], Any], alias: str
) -> None:
    show(site, way, alias, "a", "b", "c")
    assert [site.get(page) for page in "abab"] == [("one", "stored")] * 2 + [("one", "hit")] * 2
    rename("new")
    # As long as the old value is there, it is shown, and is too old to be stored.
    assert [site.get(page) for page in "abca"] == [("one", "overtaken")] * 4
    caches[alias].clear()
    assert [site.get(page) for page in "abca"] == [("new", "stored")] * 3 + [("new", "hit")]
    assert (events("second_cache_unknown"), events("second_cache_error")) == ({}, {})


@ALIAS
def test_what_was_set_outside_of_an_answer_is_unknown(site: Site, alias: str) -> None:
    show(site, by_hand, alias, "a", "b")
    caches[alias].set("k", "from a command")
    assert [site.get(page)[1] for page in "aab"] == ["unknown-value"] * 3
    assert events("second_cache_unknown") == {alias: 3}
    caches[alias].delete("k")
    assert [site.get(page)[1] for page in "aba"] == ["stored", "stored", "hit"]


@ALIAS
def test_a_value_that_was_replaced_outside_is_unknown(site: Site, alias: str) -> None:
    show(site, by_hand, alias, "a", "b", "c")
    assert site.get("a")[1] == "stored"
    caches[alias].set("k", "two")
    assert site.get("b") == ("two", "unknown-value")
    caches[alias].set("k", "one")
    assert site.get("c") == ("one", "stored")


def test_what_is_made_from_an_unknown_value_is_unknown_too(site: Site) -> None:
    cache = caches["files"]
    cache.set("outside", "x")
    site.works["a"] = lambda: cache.set("inside", cache.get("outside") + name())
    site.works["b"] = lambda: cache.get("inside")
    assert site.get("a")[1] == "unknown-value"
    assert site.get("b") == ("xone", "unknown-value")


def test_each_value_has_the_tags_of_what_was_read_before_it(site: Site) -> None:
    cache = caches["files"]

    def page() -> None:
        cache.set("first", name())
        models().Shop.objects.get(pk=2)
        cache.set("second", 2)

    site.works |= {
        "both": page,
        "first": lambda: cache.get("first"),
        "second": lambda: cache.get("second"),
    }
    assert [site.get(each)[1] for each in ("both", "first", "second")] == ["stored"] * 3
    models().Shop.objects.filter(pk=2).update(name="new")
    assert site.get("first")[1] == "hit"
    assert site.get("second")[1] == "overtaken"


def test_a_value_that_nothing_has_overtaken_makes_its_page_no_older(site: Site) -> None:
    cache = caches["files"]
    site.works["set"] = lambda: cache.set("k", name())
    site.works["a"] = lambda: (models().Shop.objects.get(pk=2).name, cache.get("k"))
    assert site.get("set")[1] == "stored"
    for new in (
        "new",
        "newer",
    ):  # the other row, after the value was set and before the page is made
        models().Shop.objects.filter(pk=2).update(name=new)
        assert site.get("a") == (f"('{new}', 'one')", "stored")
        assert site.get("a")[1] == "hit"
    rename("new")
    assert site.get("a") == ("('newer', 'one')", "overtaken")


def test_a_default_is_no_dependency_and_a_stored_zero_is_one(site: Site) -> None:
    cache = caches["files"]
    site.works["missing"] = lambda: cache.get("missing", 0)
    assert site.get("missing") == ("0", "stored")
    site.works["set"] = lambda: cache.set("zero", models().Shop.objects.filter(pk=9).count())
    site.works["zero"] = lambda: cache.get("zero", 0)
    assert (site.get("set")[1], site.get("zero")) == ("stored", ("0", "stored"))
    models().Shop.objects.create(pk=9, name="nine")
    assert site.get("zero") == ("0", "overtaken")


def test_whoever_is_faster_with_a_value_has_made_it(site: Site) -> None:
    cache = caches["files"]

    def slow() -> str:
        with cachemw.unrecorded():
            cache.set("k", "faster")
        return name()

    site.works["a"] = lambda: cache.get_or_set("k", slow)
    assert site.get("a") == ("faster", "unknown-value")


def test_a_value_that_a_passing_request_has_set_brings_its_tags(site: Site) -> None:
    show(site, by_hand, "files", "a", "b")
    site.works["other"] = lambda: caches["files"].set("other", 1)
    assert site.get("other")[1] == "stored"
    for _ in range(2):
        assert "detail=personal-cookie" in site.get("a", cookie="who=me")[1]
    assert (events("second_cache_hit"), site.get("b")) == ({}, ("one", "stored"))
    rename("new")
    caches["files"].clear()
    assert site.get("b") == ("new", "stored")


def tenant(get_response: Any) -> Any:
    """Read the name of the tenant before the cache, through Django's cache."""

    def answer(request: Any) -> Any:
        request.tenant = by_hand(caches["files"])
        return get_response(request)

    return answer


def atenant(get_response: Any) -> Any:
    """Read it in an event loop."""

    async def answer(request: Any) -> Any:
        request.tenant = await aget_or_set(caches["files"])
        return await get_response(request)

    return answer


atenant.sync_capable, atenant.async_capable = False, True  # type: ignore[attr-defined]


@pytest.mark.parametrize("middleware", [tenant, atenant])
def test_what_middleware_before_the_cache_reads_counts_too(site: Site, middleware: Any) -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.{middleware.__name__}", CACHE]):
        site.fresh_clients()
        site.works |= dict.fromkeys("abc", lambda: "page")
        site.aworks["d"] = lambda: aget_or_set(caches["files"])
        # The row is read by a query for the first page only, and what the value brings is as good.
        assert [site.get(page)[1] for page in "abdabd"] == ["stored"] * 3 + ["hit"] * 3
        rename("new")
        assert [site.get(page)[1] for page in "abd"] == ["overtaken"] * 3
        caches["files"].set("k", "unknown")
        assert site.get("c")[1] == "unknown-value"
        assert events("second_cache_unknown") == {"files": 1}


def test_passing_requests_are_not_recorded_where_no_cache_is_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "value_caches", set[str]())
    site.works["a"] = lambda: current.get() is not None
    assert site.get("a")[0] == "True"
    assert site.get("a", cookie="who=me")[0] == "False"
    recordings.value_caches.add("default")
    assert site.get("a", cookie="who=me")[0] == "True"
    assert site.client.post("/page/a").content == b"False", (
        "what it writes may come after what it reads"
    )


# -- what the application sees -----------------------------------------------------------------------


def test_an_application_sees_its_own_values_only(site: Site) -> None:
    cache = caches["apart"]

    def page() -> list[object]:
        return [
            cache.set("k", 5, 7),
            cache.set("k", 6, version=2),
            cache.incr("k"),
            cache.add("k", 8),
            cache.get_many(["k", "l"]),
            cache.get("k", version=2),
            cache.touch("k", 9),
            cache.set_many({"l": 1, "m": 2}, timeout=3),
            cache.delete("m"),
            cache.has_key("m"),
        ]

    with cachemw.unrecorded():
        unrecorded = str(page())
    cache.clear()
    site.works["a"] = page
    assert site.get("a")[0] == unrecorded
    own = {key: each for key, each in Apart.timeouts.items() if "cachemw." not in key}
    assert own == {"site:1:k": 9, "site:2:k": 300, "site:1:l": 3, "site:1:m": 3}
    companions = [key for key in Apart.timeouts if "cachemw." in key]
    assert sorted(Apart.timeouts[key] for key in companions) == [3, 3, 9, 300]
    assert {key.partition("cachemw.")[0] for key in companions} == {"site:1:", "site:2:"}


def test_where_nothing_is_recorded_a_cache_is_asked_nothing_more(site: Site) -> None:
    cache = caches["apart"]
    site.works["unrecorded"] = cachemw.unrecorded()(lambda: (cache.set("k", 1), cache.get("k"))[1])
    cache.set("k", 1)
    cache.get("k")
    assert site.get("unrecorded") == ("1", "stored")
    assert Apart.asked == ["set k", "get k"] * 2


def test_a_recorded_answer_asks_for_one_thing_more(site: Site) -> None:
    cache = caches["apart"]
    site.works["miss"] = lambda: cache.get("k")
    site.works["set"] = lambda: cache.set("k", 1)
    site.works["hit"] = lambda: cache.get("k")
    site.works["not added"] = lambda: cache.add("k", 2)
    asked = []
    for page in site.works:
        Apart.asked.clear()
        site.get(page)
        asked.append([each.partition(".")[0] for each in Apart.asked])
    assert asked == [["get k"], ["set k", "set cachemw"], ["get k", "get cachemw"], []]


def test_values_in_this_process_take_no_room_of_others(site: Site) -> None:
    site.works["a"] = lambda: caches["locmem"].set("k", name())
    site.get("a")
    cache: Any = caches["locmem"]
    assert list(cache._cache) == ["site:1:k"]


def test_a_key_in_a_tag_is_stored_as_a_digest(site: Site) -> None:
    site.works["a"] = lambda: caches["apart"].set("k", models().Tag.objects.get(pk="red").word)
    site.works["b"] = lambda: caches["apart"].get("k")
    assert (site.get("a")[1], site.get("b")[1]) == ("stored", "stored")
    (companion,) = (each for key, each in Apart.stored.items() if "cachemw." in key)
    assert b"db:shop_tag:~" in companion
    assert b"red" not in companion
    models().Tag.objects.filter(pk="red").delete()
    assert site.get("b")[1] == "overtaken"


# -- pieces for one client ---------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["who=me", None])
def test_a_page_with_a_token_from_a_fragment_is_not_stored(site: Site, who: str | None) -> None:
    """Fails where it is stored: every client would get the token of whoever came first."""
    request = HttpRequest()
    site.works |= dict.fromkeys(
        "ab",
        lambda: caches["files"].get_or_set("form", lambda: f"<form>{get_token(request)}</form>"),
    )
    site.works["warm"] = lambda: caches["files"].set("warm", 1)
    site.get("warm")
    site.get("a", **({"cookie": who} if who else {}))
    assert [site.get("b")[1] for _ in range(2)] == ["lost-piece"] * 2


def test_a_fragment_with_a_hole_is_made_for_each_page(tmp_path: Path) -> None:
    """Fails where the placeholder stays in Django's cache: nothing would fill it in another page."""
    with open_site(tmp_path, holes={"basket": f"{__name__}:basket"}) as site:
        site.works |= dict.fromkeys(
            "ab",
            lambda: caches["files"].get_or_set(
                "header", lambda: f"<i>{cachemw.hole('basket')}</i>"
            ),
        )
        for page in "abab":
            assert site.get(page)[0] == "<i>basket of nobody</i>"


def test_a_hole_that_a_passing_request_has_filled_is_in_no_stored_page(tmp_path: Path) -> None:
    with open_site(tmp_path, holes={"basket": f"{__name__}:basket"}) as site:
        site.works["warm"] = lambda: caches["files"].set("warm", 1)
        site.works |= dict.fromkeys(
            "ab",
            lambda: caches["files"].get_or_set("header", lambda: str(cachemw.hole("basket"))),
        )
        assert site.get("warm")[1] == "stored"
        assert site.get("a", cookie="who=me")[0] == "basket of nobody"
        assert site.get("b") == ("basket of nobody", "lost-piece")


def basket(request: Any, *arguments: str) -> str:
    return "basket of nobody"


# -- what cannot be trusted --------------------------------------------------------------------------


def test_a_value_of_another_cache_of_ours_is_unknown(site: Site) -> None:
    show(site, by_hand, "files", "a", "b")
    assert site.get("a")[1] == "stored"
    with override_settings(CACHEMW={"routes": [{"path": "/page/{name}", "ttl": "1h"}]}):
        assert site.get("b")[1] == "unknown-value"


def test_a_value_of_another_process_is_known_by_their_common_log(
    site: Site, redis_url: str, age_log: Callable[[str], None]
) -> None:
    age_log("common")
    show(site, by_hand, "files", "a", "b", "c")
    for page, verdict in (("a", "stored"), ("b", "stored"), ("c", "overtaken")):
        # A new cache stands for a new process: nothing is left but what Redis and the files have.
        with override_settings(
            CACHEMW={
                "routes": [{"path": "/page/{name}", "ttl": "1h"}],
                "namespace": "common",
                "redis": redis_url,
            }
        ):
            cache = get_cache()
            cache.start()
            until(lambda cache=cache: getattr(cache.log, "live", False))  # type: ignore[misc]
            if page == "c":
                rename("new")
            assert site.get(page) == ("one", verdict)
            cache.close()


def test_a_value_whose_tags_another_secret_has_made_is_unknown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.works["a"] = lambda: caches["files"].set("k", models().Tag.objects.get(pk="red").word)
    site.works["b"] = lambda: caches["files"].get("k")
    assert site.get("a")[1] == "stored"
    monkeypatch.setattr(get_cache()._core.engine.row_tags, "_mark", "00000000")
    assert site.get("b")[1] == "unknown-value"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '["x","y","z","-",["a"],1]', 5, None, b"\xff"])
def test_what_is_no_companion_makes_the_value_unknown(site: Site, text: object) -> None:
    cache = caches["apart"]
    site.works["a"] = lambda: cache.set("k", 1)
    site.works["b"] = lambda: cache.get("k")
    site.get("a")
    (place,) = (key for key in Apart.stored if "cachemw." in key)
    cache.set(place.removeprefix("site:1:"), text)
    assert site.get("b") == ("1", "unknown-value")


class Failing(Apart):
    """A cache that fails where companions are concerned."""

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        if key.startswith("cachemw."):
            raise ConnectionError("the cache is gone")
        return super().get(key, default, version)

    def set(self, key: Any, value: Any, timeout: Any = 300, version: Any = None) -> None:
        if key.startswith("cachemw."):
            raise ConnectionError("the cache is gone")
        super().set(key, value, timeout, version)


@pytest.mark.parametrize("way", [by_hand, many, get_or_set, aget_or_set, amany])
def test_a_failure_costs_nothing_but_the_tags(
    site: Site, way: Callable[[BaseCache], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(CACHES={"default": {"BACKEND": f"{__name__}.Failing"}}):
        caches["default"].clear()
        show(site, way, "default", "a", "b")
        assert site.get("a") == ("one", "stored")
        assert site.get("b") == ("one", "unknown-value")
    assert events("second_cache_error") == {"default": 2}
    assert any("recorder_failed" in each.getMessage() for each in caplog.records)


# -- settings ----------------------------------------------------------------------------------------


def test_an_answer_from_an_unknown_value_can_be_kept(tmp_path: Path) -> None:
    with open_site(tmp_path, unknown_cached="keep") as site:
        caches["files"].set("k", "x")
        show(site, by_hand, "files", "a")
        assert [site.get("a") for _ in range(2)] == [("x", "stored"), ("x", "hit")]


def test_an_answer_from_an_unknown_value_can_live_shorter(tmp_path: Path) -> None:
    with open_site(tmp_path, unknown_cached="shorten", unknown_ttl="20s") as site:
        caches["files"].set("k", "x")
        show(site, by_hand, "files", "a")
        site.works["b"] = name
        assert [site.get(page)[1] for page in "abab"] == ["stored", "stored", "hit", "hit"]
        ends = {page: site.client.get(f"/page/{page}").headers["Cache-Status"] for page in "ab"}
        left = {
            page: int(text.partition("ttl=")[2].partition(";")[0]) for page, text in ends.items()
        }
        assert left["a"] <= 20 < left["b"]


@pytest.mark.parametrize(
    "key",
    [
        "throttle_anon_192.0.2.1",
        "cms_PAGE_CACHE_VERSION",
        "django.contrib.sessions.cached_dbabc",
        "mine:5",
    ],
)
def test_keys_that_no_answer_is_made_from_are_ignored(tmp_path: Path, key: str) -> None:
    with open_site(tmp_path, ignore_cached=["mine:*"]) as site:
        cache = caches["apart"]
        cache.set(key, [1])
        Apart.asked.clear()
        site.works["a"] = lambda: (cache.get(key), cache.set(key, [name()]))
        assert [site.get("a")[1] for _ in range(2)] == ["stored", "hit"]
        assert Apart.asked == [f"get {key}", f"set {key}"]
        assert events("second_cache_hit") == {}


def test_unknown_values_are_warned_of_and_others_are_not(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cachemw.faults")
    show(site, by_hand, "files", "a", "b")
    assert (site.get("a")[1], site.get("b")[1]) == ("stored", "stored")
    assert caplog.records == []
    caches["files"].set("k", "x")
    site.works["c"] = site.works["a"]
    site.get("c")
    site.get("c")
    (record,) = caplog.records
    assert record.cachemw["event"] == "second_cache_unknown"  # type: ignore[attr-defined]
    assert events("second_cache_hit") == {"files": 3}
    assert events("second_cache_unknown") == {"files": 2}


def test_a_table_of_a_cache_is_no_table_of_an_answer(site: Site) -> None:
    show(site, by_hand, "database", "a")
    assert site.get("a")[1] == "stored"
    caches["database"].set("another", 1)
    assert site.get("a") == ("one", "hit")


@pytest.mark.parametrize(("alias", "way"), pairs())
def test_an_old_value_can_be_removed_and_is_made_anew(
    tmp_path: Path, redis_url: str, way: Callable[[BaseCache], Any], alias: str
) -> None:
    with open_site(tmp_path, redis_url, drop_cached=["*"]) as site:
        show(site, way, alias, "a", "b")
        assert [site.get(page) for page in "ab"] == [("one", "stored")] * 2
        rename("new")
        assert [site.get(page) for page in "abab"] == [("new", "stored")] * 2 + [("new", "hit")] * 2


def test_only_what_is_known_to_be_old_is_removed(tmp_path: Path) -> None:
    with open_site(tmp_path, drop_cached=["*"]) as site:
        show(site, by_hand, "files", "a")
        site.get("a")
        caches["files"].set("k", "unknown")
        rename("new")
        assert site.get("a") == ("unknown", "unknown-value")


def test_a_value_that_applications_are_known_to_remake_is_removed_if_it_is_unknown(
    tmp_path: Path,
) -> None:
    with open_site(tmp_path) as site:
        for key in ("CATEGORY_URL_en_1", "other"):
            site.works[key] = lambda key=key: caches["files"].get_or_set(key, name)  # type: ignore[misc]
            caches["files"].set(key, "unknown")
        assert site.get("CATEGORY_URL_en_1") == ("one", "stored")
        assert site.get("other") == ("unknown", "unknown-value")


def test_only_keys_that_are_listed_are_removed(tmp_path: Path) -> None:
    with open_site(tmp_path, drop_cached=["mine:*"]) as site:
        for key in ("mine:1", "other"):
            site.works[key] = lambda key=key: caches["files"].get_or_set(key, name)  # type: ignore[misc]
        assert [site.get(key)[1] for key in ("mine:1", "other")] == ["stored"] * 2
        rename("new")
        assert site.get("mine:1") == ("new", "stored")
        assert site.get("other") == ("one", "overtaken")


def test_a_passing_request_removes_nothing(tmp_path: Path) -> None:
    with open_site(tmp_path, drop_cached=["*"]) as site:
        show(site, by_hand, "files", "a")
        site.get("a")
        rename("new")
        assert site.get("a", cookie="who=me")[0] == "one"
        assert site.get("a") == ("new", "stored")
