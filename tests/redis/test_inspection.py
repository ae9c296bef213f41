"""What is in Redis can be looked through: told for what it is, and judged by the log."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw import Cache
from cachemw.errors import SearchTimedOut, StoreUnavailable
from cachemw.introspection.stored_entries import StoredEntry, Touched
from cachemw.testing import RedisCluster, RedisServer
from tests.support.caches import Caches, Site, caches_over, entry_of, options
from tests.support.waiting import until

from .following import FOLLOWERS, records
from .test_purging import WHAT

ROUTES: list[dict[str, Any]] = [
    {"name": "things", "path": "/things/{id}", "ttl": "1h", "tags": ["thing:{id}", "things"]},
    {
        "name": "mine",
        "path": "/mine",
        "ttl": "1h",
        "identity": "who",
        "cookies": ["theme"],
        "vary": ["X-Tenant"],
    },
]


@contextmanager
def looking(url: str, **changes: Any) -> Iterator[Cache]:
    """Make a cache that serves nobody, as the command line does; it has not begun to follow the log."""
    cache = Cache.from_dict(options(url, **changes), identities={"who": lambda request: None})
    cache.log.only_listens = True  # type: ignore[attr-defined]
    try:
        yield cache
    finally:
        cache.close()


def filled(caches: Caches, *paths: str, **changes: Any) -> Site:
    """Give a site whose answers to these are in both tiers."""
    site = Site(caches.make(**changes))
    for path in paths:
        site.get(path)
    return site


def put(cache: Cache, count: int, body: Callable[[], bytes] = lambda: b"body") -> None:
    """Put so many entries into Redis, as if they had been asked for."""
    keys, tier = cache._core.engine.keys, cache._core.effects.shared
    assert tier is not None
    for number in range(count):
        key = keys.make((b"http", b"shop.example", b"", b"/things/%d" % number, b"/", b""))
        tier.put(key, replace(entry_of(cache), key=key.digest, body=body()))


def verdicts(found: Iterator[StoredEntry]) -> dict[str, str]:
    return {each.url.rpartition("/")[2]: each.verdict for each in found}


# -- what is told ----------------------------------------------------------------------------------


def test_each_answer_is_one_record(caches: Caches) -> None:
    site = Site(caches.make())
    body = site.get("/things/a b", QUERY_STRING="page=%32").body
    with looking(caches.url) as cache:
        (found,) = cache.inspection.shared()
    assert found.url == "http://shop.example/things/a%20b?page=%32"
    assert (found.method, found.route, found.status) == ("GET", "things", 200)
    assert found.size == len(body)
    assert 0 <= found.age < 60
    assert found.age + found.ttl == pytest.approx(3600)
    assert {"thing:a%20b", "things", "@route:things"} <= set(found.tags)
    assert (found.vary, found.keyed_by, found.verdict) == ((), (), "valid")
    assert found.name.startswith("cachemw:{shared:")


def test_memory_tells_what_the_tags_know_of_the_url(caches: Caches) -> None:
    site = filled(caches, "/things/7")
    site.get("/things/8", QUERY_STRING="page=2")
    found = {each.url: each for each in site.cache.inspection.memory()}
    assert set(found) == {"//shop.example/things/7", "//shop.example/things/8?page=2"}
    site.cache.purge(urls=["//shop.example/things/8?page=2"], soft=True)
    assert verdicts(site.cache.inspection.memory()) == {"7": "valid", "8?page=2": "stale"}


def test_secrets_stay_concealed_and_only_their_kind_is_told(caches: Caches) -> None:
    caches.identities["who"] = lambda request: request.headers.first(b"x-who").decode()  # type: ignore[union-attr]
    site = filled(caches, routes=ROUTES)
    fields = {"HTTP_X_WHO": "mallory", "HTTP_COOKIE": "theme=darkest", "HTTP_X_TENANT": "acme"}
    site.get("/mine", **fields)
    with looking(caches.url, routes=ROUTES) as cache:
        (found,) = cache.inspection.shared()
    assert found.keyed_by == ("x-tenant", "cookie", "identity")
    for secret in ("mallory", "darkest", "acme"):
        assert secret not in repr(found)


def test_variants_are_told_apart_and_what_selects_them_is_no_answer(caches: Caches) -> None:
    """Fails when markers are told of too."""
    site = Site(caches.make(routes=ROUTES[:1]))
    site.fields = [("Vary", "Accept-Language")]
    for language in ("de", "en"):
        site.get("/things/7", HTTP_ACCEPT_LANGUAGE=language)
    with looking(caches.url, routes=ROUTES[:1]) as cache:
        found = list(cache.inspection.shared())
        assert [each.vary for each in found] == [("accept-language",)] * 2
        assert len({each.name for each in found}) == 2
    assert [each.vary for each in site.cache.inspection.memory()] == [("accept-language",)] * 2


@pytest.mark.parametrize("what", WHAT)
def test_who_looks_finds_by_the_words_of_a_purge(caches: Caches, what: str) -> None:
    filled(caches, "/things/7", "/things/8")
    words = {name: value for name, value in WHAT[what].items() if name != "everything"}
    with looking(caches.url) as cache:
        shown = verdicts(cache.inspection.shared(**words))
    assert set(shown) == ({"7", "8"} if what in ("tag of many", "route", "everything") else {"7"})


# -- how it is judged ------------------------------------------------------------------------------


def test_the_log_says_what_is_purged(caches: Caches) -> None:
    """Fails when who looks does not join the log first: then nothing is known to be purged."""
    site = filled(caches, "/things/6", "/things/7", "/things/8")
    site.cache.purge(tags=["thing:6"])
    site.cache.purge(tags=["thing:7"], soft=True)
    with looking(caches.url) as cache:
        found = verdicts(cache.inspection.shared())
    assert found == {"6": "purged", "7": "stale", "8": "valid"}
    # What is purged may have been swept out of memory by now.
    assert verdicts(site.cache.inspection.memory()).items() <= found.items()


def test_what_is_over_its_lifetime_is_stale(caches: Caches) -> None:
    route = {**ROUTES[0], "ttl": "1ms", "stale_while_revalidate": "1h"}
    filled(caches, "/things/7", routes=[route])
    with looking(caches.url, routes=[route]) as cache:
        (found,) = cache.inspection.shared()
    assert found.verdict == "stale"
    assert found.ttl < 0


def test_what_is_older_than_the_log_is_purged(redis_server: Any, caches: Caches) -> None:
    filled(caches, "/things/7")
    caches.close()
    log = "cachemw:{shared}:log"
    redis_server.command("XADD", log, "*", "k", "tags", "s", "0", "v", '["other"]')
    redis_server.command("XTRIM", log, "MAXLEN", "1")
    with looking(caches.url) as cache:
        assert verdicts(cache.inspection.shared()) == {"7": "purged"}


def test_what_is_of_another_life_of_the_log_is_purged(redis_server: Any, caches: Caches) -> None:
    filled(caches, "/things/7")
    caches.close()
    redis_server.command("DEL", "cachemw:{shared}:epoch")
    with looking(caches.url) as cache:
        assert verdicts(cache.inspection.shared()) == {"7": "purged"}


# -- what is no entry ------------------------------------------------------------------------------


def test_what_would_not_be_believed_is_told_with_the_reason(
    redis_server: Any, caches: Caches
) -> None:
    filled(caches, "/things/7")
    (name,) = redis_server.command("KEYS", "*:e4")
    other = "cachemw:{shared:" + "00" * 24 + "}:e4"
    redis_server.command("COPY", name, other)
    redis_server.command("SET", other.replace("00", "01"), "junk")
    redis_server.command("RPUSH", other.replace("00", "02"), "a", "list")
    redis_server.command("SETRANGE", other.replace("00", "03"), 100 << 20, "x")
    with looking(caches.url) as cache:
        found = {each.name: each for each in cache.inspection.shared()}
    assert found.pop(name.decode()).verdict == "valid"
    assert {each.verdict for each in found.values()} == {"rejected"}
    reasons = [found[other.replace("00", digit)].reason for digit in ("00", "01", "02", "03")]
    assert reasons == ["key", "short", "type", "size"]


def test_what_is_too_long_is_not_read(redis_server: Any, caches: Caches) -> None:
    """Fails when values are read without a look at their length."""
    caches.make()
    redis_server.command("SETRANGE", "cachemw:{shared:00}:e4", 64 << 20, "x")
    with looking(caches.url) as cache:
        before = _sent(redis_server)
        assert [each.reason for each in cache.inspection.shared()] == ["size"]
        assert _sent(redis_server) - before < 1 << 20


def _sent(server: Any) -> int:
    stats = server.command("INFO", "stats").decode()
    return int(stats.partition("total_net_output_bytes:")[2].split()[0])


def test_other_namespaces_are_not_looked_at(caches: Caches) -> None:
    filled(caches, "/things/7")
    filled(caches, "/things/8", namespace="shared2")
    filled(caches, "/things/9", namespace="share")
    with looking(caches.url) as cache:
        assert verdicts(cache.inspection.shared()) == {"7": "valid"}


# -- what it costs ---------------------------------------------------------------------------------


def test_memory_is_bounded_however_much_is_stored(caches: Caches) -> None:
    """Fails when the values of all names are asked for at once."""
    noise = random.Random(7)
    put(caches.make(), 40, lambda: noise.randbytes(900_000))
    with looking(caches.url) as cache:
        found = cache.inspection.shared()
        tracemalloc.start()
        try:
            assert sum(each.size for each in found) > 30_000_000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 20 << 20


def test_it_asks_redis_in_small_pieces(redis_server: Any, caches: Caches) -> None:
    put(caches.make(), 2500)
    redis_server.command("CONFIG", "RESETSTAT")
    with looking(caches.url) as cache:
        assert len(list(cache.inspection.shared())) == 2500
    commands = redis_server.command("INFO", "commandstats").decode()
    calls = {
        line.partition(":")[0].removeprefix("cmdstat_"): int(line.split("calls=")[1].split(",")[0])
        for line in commands.splitlines()
        if line.startswith("cmdstat_")
    }
    assert calls["scan"] >= 2
    assert calls["getrange"] == 2500
    assert "keys" not in calls


def test_who_looks_is_not_waited_for_and_counted_nowhere(redis_server: Any, caches: Caches) -> None:
    # Guard: `RedisLog.only_listens`.
    site = filled(caches, "/things/7")
    with looking(caches.url) as cache:
        list(cache.inspection.shared())
        for _ in range(2):  # when it has read the second, all is done that comes after the first
            behind = cache.log.floors.position
            site.cache.purge(tags=["other"])
            until(lambda behind=behind: cache.log.floors.position > behind)  # type: ignore[misc]
        until(lambda: redis_server.command("HLEN", "cachemw:{shared}:stats") > 0)
        assert redis_server.command("HLEN", "cachemw:{shared}:stats") == 1
        assert redis_server.command("HLEN", FOLLOWERS) == 1


def test_out_of_reach_nothing_is_said(own_redis_server: RedisServer) -> None:
    with looking(own_redis_server.url) as cache:
        own_redis_server.kill()
        with pytest.raises(StoreUnavailable):
            cache.inspection.shared()
        with pytest.raises(StoreUnavailable):
            cache.preview(everything=True)


def test_a_server_that_goes_away_meanwhile_is_told_of(
    own_redis_server: RedisServer, own_caches: Caches
) -> None:
    """Fails when what redis-py raises comes out as it is."""
    put(own_caches.make(), 2500)
    with looking(own_redis_server.url) as cache:
        found = cache.inspection.shared()
        next(found)
        own_redis_server.kill()
        with pytest.raises(StoreUnavailable, match="scan"):
            list(found)


def test_every_server_of_a_cluster_is_looked_at() -> None:
    # Guard: `Nodes.all_nodes`.
    with RedisCluster() as cluster, caches_over(cluster.url) as caches:
        site = Site(caches.make())
        paths = [f"/things/{number}" for number in range(30)]
        until(lambda: all(site.get(path) for path in paths) and _stored(cluster) >= 30)
        with looking(cluster.url) as cache:
            found = Counter(each.url for each in cache.inspection.shared())
        assert found == Counter(f"http://shop.example{path}" for path in paths)


def _stored(cluster: RedisCluster) -> int:
    masters = [each for each in cluster.servers if each.command("ROLE")[0] == b"master"]
    assert len(masters) == 3
    return sum(len(each.command("KEYS", "*:e4")) for each in masters)


# -- what a purge would touch ----------------------------------------------------------------------


@pytest.mark.parametrize("what", WHAT)
def test_a_preview_says_what_the_purge_takes(caches: Caches, what: str) -> None:
    site = filled(caches, "/things/7", "/things/8", "/things/9")
    site.cache.purge(tags=["thing:9"])  # gone already: no purge touches it
    preview = site.cache.preview(**WHAT[what])
    memory, redis = site.cache.inspection.memory, site.cache.inspection.shared

    def left() -> list[list[str]]:
        return [[e.url for e in found() if e.verdict == "valid"] for found in (memory, redis)]

    before = left()
    site.cache.purge(**WHAT[what])
    taken = [len(was) - len(now) for was, now in zip(before, left(), strict=True)]
    assert preview.redis is not None
    assert [preview.memory.entries, preview.redis.entries] == taken
    assert preview.redis.routes == {"things": taken[1]}
    assert preview.redis.size == taken[1] * len("/things/7 v1")
    assert preview.complete
    assert (preview.tags is None) is (what == "everything")


def test_a_preview_purges_nothing_and_counts_nothing(redis_server: Any, caches: Caches) -> None:
    site = filled(caches, "/things/7")
    before = records(redis_server)
    for what in WHAT.values():
        site.cache.preview(**what)
    assert records(redis_server) == before
    assert "purge" not in site.cache.stats().events
    assert site.hits("/things/7")


def test_a_preview_ends_when_its_time_is_over(caches: Caches) -> None:
    site = filled(caches, "/things/7", "/things/8")
    preview = site.cache.preview(everything=True, within=0)
    assert not preview.complete
    assert preview.redis is not None
    assert preview.redis.entries == 1


def test_without_redis_a_preview_is_of_this_process() -> None:
    cache = Cache.from_dict({"routes": ROUTES[:1]})
    site = Site(cache)
    site.get("/things/7")
    preview = cache.preview(tags=["things"])
    assert preview.tags == ("things",)
    assert preview.memory == Touched(entries=1, size=len("/things/7 v1"), routes={"things": 1})
    assert preview.redis is None
    assert list(cache.inspection.shared()) == []


def test_a_preview_says_what_depends_on_what_is_named() -> None:
    """Fails when a preview finds its tags on another way than a purge."""
    depends = {"catalog": ["thing:{id}"]}
    cache = Cache.from_dict({"routes": ROUTES[:1], "dependencies": depends})
    assert cache.preview(tags=["thing:7"]).tags == ("thing:7", "catalog")


@pytest.mark.parametrize(
    "mistake",
    [{}, {"tags": ["@own"]}, {"tags": "text"}, {"urls": ["no path"]}, {"routes": ["nope"]}],
    ids=repr,
)
def test_a_preview_raises_what_a_purge_does(mistake: dict[str, Any]) -> None:
    cache = Cache.from_dict({"routes": ROUTES[:1]})
    raised = []
    for call in (cache.purge, cache.preview):
        with pytest.raises((ValueError, TypeError)) as caught:
            call(**mistake)
        raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]


def test_a_look_ends_in_time_also_among_the_keys_of_others(redis_url: str) -> None:
    """Fails when only what is ours is counted on to notice the time: a server may be full of theirs."""
    with looking(redis_url) as cache:
        cache.inspection.wait_for_log()
        client = cache._core.redis.nodes.find(b"other").sync()  # type: ignore[union-attr]
        client.set("other", "of another application")
        preview = cache.preview(everything=True, within=0.0)
        assert not preview.complete
        with pytest.raises(SearchTimedOut):
            list(cache.inspection.shared(within=0.0))
        assert cache.preview(everything=True, within=60.0).complete
