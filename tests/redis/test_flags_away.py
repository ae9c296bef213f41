"""Flags while Redis is away: one machine's file and mirror; and levels, which are flags, in every process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cachemw import Cache
from cachemw.testing import ChaosProxy, FakeClock, RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PATH = "/things/7"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


def away(server: RedisServer, *caches: Cache) -> None:
    server.kill()
    until(lambda: not any(cache.log.live for cache in caches))


def away_from(proxy: ChaosProxy, cache: Cache) -> None:
    proxy.refuse()
    until(lambda: not cache.log.live)


def within_a_second(became: float) -> bool:
    return became < 1.0


# -- the local file --------------------------------------------------------------------------------


def test_the_local_file_counts_within_a_second_with_redis_down(
    own_caches: Caches, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "flags.toml"
    site = Site(own_caches.make(flags_file=str(file)))
    site.get(PATH)
    assert site.hits(PATH)
    away(own_redis_server, site.cache)
    file.write_text('"route:things" = "off"')
    assert within_a_second(until(lambda: not site.hits(PATH)))
    file.write_text("")
    assert within_a_second(until(lambda: site.hits(PATH)))
    file.write_text('kill = "on"')
    assert within_a_second(until(lambda: not site.hits(PATH)))


def test_the_local_file_stands_above_what_redis_says_and_is_one_machines(
    caches: Caches, tmp_path: Path
) -> None:
    file = tmp_path / "flags.toml"
    here, there = caches.make(flags_file=str(file)), caches.make()
    assert there.flags.set(low="off")
    until(lambda: here.flags.states()["low"] == "off")
    file.write_text('low = "on"')
    until(lambda: here.flags.states()["low"] == "on")
    assert there.flags.set(low="shadow")
    until(lambda: here.flags.live.classes["low"] == "shadow")
    assert (here.flags.states()["low"], there.flags.states()["low"]) == ("on", "shadow")
    assert here.flags.set({"kill": "on"})  # changes what is live, and not by what is local
    until(lambda: there.flags.killed)
    assert there.flags.states()["low"] == "shadow"
    assert here.flags.killed


# -- the mirror ------------------------------------------------------------------------------------


def restarted(own_caches: Caches, mirror: Path) -> Site:
    return Site(own_caches.make(live=False, flags_mirror=str(mirror)))


def test_a_process_that_restarts_without_redis_knows_what_was_switched_off(
    own_caches: Caches, own_redis_server: RedisServer, mirror: Path
) -> None:
    # Guard: `Mirror.take_over` before the first request; the thread comes to it later.
    own_caches.make(flags_mirror=str(mirror))
    assert own_caches.make().flags.set({"route:things": "off"})
    until(lambda: mirror.exists() and b"things" in mirror.read_bytes())
    own_redis_server.kill()
    site = restarted(own_caches, mirror)
    assert [site.get(PATH).cache_status, site.hits(PATH)] == [
        "cachemw; fwd=bypass; detail=off",
        False,
    ]


def test_what_is_newer_in_redis_wins_over_the_mirror(
    own_caches: Caches, own_redis_server: RedisServer, mirror: Path
) -> None:
    operator = own_caches.make()
    first = own_caches.make(flags_mirror=str(mirror))
    assert operator.flags.set(low="off")
    until(lambda: mirror.exists() and b"off" in mirror.read_bytes())
    first.close()
    assert operator.flags.set(low="shadow")
    again = own_caches.make(flags_mirror=str(mirror))
    until(lambda: again.flags.states()["low"] == "shadow")
    until(lambda: b"shadow" in mirror.read_bytes())


def test_an_emptied_redis_is_given_what_the_mirror_remembers(
    own_caches: Caches, own_redis_server: RedisServer, mirror: Path
) -> None:
    # Guard: `Mirror.take_over`, before the log is joined: `newest` knows what it took.
    first = own_caches.make(flags_mirror=str(mirror))
    assert first.flags.set({"kill": "on", "level:high": "error"})
    until(lambda: mirror.exists() and b"error" in mirror.read_bytes())
    first.close()
    own_redis_server.command("FLUSHALL")
    own_caches.make(flags_mirror=str(mirror))
    other = own_caches.make()  # of a machine without a mirror
    until(lambda: other.flags.killed)
    assert other.flags.levels["high"] == "error"


def test_a_mirror_that_cannot_be_written_is_counted_and_costs_nothing(
    own_caches: Caches, tmp_path: Path
) -> None:
    cache = own_caches.make(flags_mirror=str(tmp_path / "missing" / "flags.json"))
    site = Site(cache)
    assert cache.flags.set(high="off")
    until(lambda: cache.stats().events.get("store_error", {}).get("flags_mirror"))
    site.get(PATH)
    assert site.hits(PATH)


# -- whether everybody has heard -------------------------------------------------------------------


def test_the_least_revision_says_whether_a_change_has_reached_everybody(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    here, there = own_caches.make(), own_caches.make()
    assert here.flags.set(low="off")
    until(lambda: here.stats().merge(there.stats()).gauges["flags_revision"] == 1)

    def fleets() -> float | None:
        fleet = here.fleet_stats()
        assert fleet is not None
        return fleet.stats.gauges.get("flags_revision")

    until(lambda: fleets() == 1)
    there.close()  # behind from here on
    assert here.flags.set(low="on")
    assert here.stats().merge(there.stats()).gauges["flags_revision"] == 1


# -- what a process cannot know --------------------------------------------------------------------


def test_without_redis_and_mirror_a_process_lets_nothing_in(
    own_caches: Caches, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    # Guard: `known` of the flags, False where Redis is configured.
    own_redis_server.kill()
    with caplog.at_level("WARNING", "cachemw.faults"):
        site = Site(own_caches.make(live=False, flags_mirror=False))
        answers = {site.get(PATH).cache_status for _ in range(3)}
        assert answers == {"cachemw; fwd=bypass; detail=flags-unknown"}
        until(lambda: "event=flags_unknown" in caplog.text)


def test_it_lets_in_as_soon_as_redis_answers(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    own_redis_server.kill()
    site = Site(own_caches.make(live=False, flags_mirror=False))
    assert not site.hits(PATH)
    own_redis_server.start()
    until(lambda: site.hits(PATH))


def test_an_empty_redis_that_was_away_proves_nothing_until_others_had_time_to_tell(
    own_caches: Caches, own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `_is_new` in `FlagDocument.answer`. Without it, the one that is back first serves for a moment
    # what was switched off.
    monkeypatch.setattr("cachemw.invalidation.log.flag_document._TELL_TIME", 10.0)  # a busy machine
    with ChaosProxy(own_redis_server.url) as proxy:
        knows = own_caches.make(redis={"url": proxy.url}, flags_mirror=False)
        assert knows.flags.set(low="off")
        proxy.refuse()
        own_redis_server.kill()
        starts = Site(own_caches.make(live=False, flags_mirror=False))
        assert not starts.hits(PATH)
        own_redis_server.start()
        until(lambda: starts.cache.log.live)
        starts.get(PATH)
        assert not starts.hits(PATH)
        proxy.normal()
        until(lambda: starts.cache.flags.live.classes == {"low": "off"})
        assert starts.get(PATH).cache_status.endswith("; detail=off")


def test_what_one_process_alone_remembers_outlives_a_redis_that_is_emptied_and_changed_often(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `lineage`: by revision alone, the kill is older than what was set since.
    with ChaosProxy(own_redis_server.url) as proxy, ChaosProxy(own_redis_server.url) as other:
        knows = own_caches.make(redis={"url": proxy.url}, flags_mirror=False)
        here = own_caches.make(redis={"url": other.url}, flags_mirror=False)
        assert here.flags.set(high="shadow")
        until(lambda: knows.flags.live.classes == {"high": "shadow"})
        away_from(other, here)
        assert knows.flags.kill()
        away_from(proxy, knows)
        own_redis_server.command("FLUSHALL")
        other.normal()
        until(lambda: here.log.live)
        for state in ("on", "off", "on"):
            assert here.flags.set(low=state)
        assert not here.flags.killed
        proxy.normal()
        until(lambda: here.flags.killed)
        until(lambda: here.flags.live == knows.flags.live)
        assert here.flags.states()["high"] == "shadow"
        assert here.flags.set(kill="off")
        until(lambda: not knows.flags.killed)


def test_a_start_waits_one_deadline_for_all_its_requests(
    own_caches: Caches, own_redis_server: RedisServer, clock: FakeClock
) -> None:
    # Guard: `flags_wait` begins when the process begins to ask. Otherwise each request waits again.
    own_redis_server.hang()
    cache = own_caches.make(
        live=False, clock=clock, flags_mirror=False, redis={"deadline": "50ms"}, log={"poll": "5s"}
    )
    core = cache._core
    assert core.flags_wait == pytest.approx(0.05)
    assert core.asks_for_flags
    clock.advance(0.03)
    assert core.flags_wait == pytest.approx(0.02)
    clock.advance(0.03)
    assert not core.asks_for_flags
    assert not cache.flags.known
    own_redis_server.resume()


def test_the_configuration_counts_where_it_is_told_so(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    own_redis_server.kill()
    site = Site(own_caches.make(live=False, flags_mirror=False, flags_unknown="configured"))
    until(lambda: site.hits(PATH))  # nothing is served before it is known that Redis is away


def test_the_first_request_waits_for_a_redis_that_answers(own_caches: Caches) -> None:
    # Guard: `_AwaitFlags` in the pipeline.
    site = Site(own_caches.make(live=False, flags_mirror=False))
    assert site.get(PATH).cache_status.startswith("cachemw; fwd=uri-miss")


def test_the_mirror_is_on_by_default_and_in_the_state_folder(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    first = own_caches.make()
    folder = Path(os.environ["XDG_STATE_HOME"]) / "cachemw"
    until(lambda: folder.exists() and list(folder.glob("shared-*.json")))
    first.close()
    own_redis_server.kill()
    site = Site(own_caches.make(live=False))
    until(lambda: site.hits(PATH))  # the mirror is young, and says that nothing was switched off


def test_a_kill_while_redis_is_away_survives_a_restart(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    first = own_caches.make()
    away(own_redis_server, first)
    assert not first.flags.kill()
    first.close()
    second = own_caches.make(live=False)
    assert second.flags.killed
    own_redis_server.start()
    other = own_caches.make(flags_mirror=False)
    until(lambda: other.flags.killed)


def test_a_rollback_and_its_history_come_back_to_an_emptied_redis(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `RedisParts._rejoined` restores the rollout.
    first = own_caches.make()
    first.rollout.start()
    first.rollout.roll_back(reason="wrong prices")
    parts = first._core.redis
    assert parts is not None
    until(lambda: b"wrong prices" in parts.remembered.newest(b"null"))
    first.close()
    own_redis_server.command("FLUSHALL")
    second = own_caches.make()
    until(lambda: second.rollout.status() is not None)
    state = second.rollout.status()
    assert state is not None
    assert (state.status, second.flags.states()["low"]) == ("rolled back", "off")
    assert "wrong prices" in [record.reason for record in second.rollout.history()]
