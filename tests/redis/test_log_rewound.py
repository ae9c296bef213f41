"""A failover loses the log's last records: whoever applied them gives them back, or all is purged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachemw import Cache
from cachemw.engine.model.entry import Verdict
from cachemw.invalidation.floors import Floors
from cachemw.invalidation.log.records import stream_id
from cachemw.invalidation.purges import Purge
from tests.support.caches import Caches, Site, entry_of
from tests.support.waiting import until

from .following import EPOCH, STREAM, judged, records


def rewind(server: Any, saved: bytes, *then: str) -> None:
    """Put the log back to what it was, and in the same step append what a new master was told."""
    server.command("RESTORE", "planted", 0, saved, "REPLACE")
    if then:
        server.command("XADD", "planted", *then)
    server.command("RENAME", "planted", STREAM)


def applied(cache: Cache, purge: Callable[[], object]) -> str:
    """Purge, and give the ID of the record when this process has read it."""
    before = cache._core.engine.floors.position  # type: ignore[attr-defined]
    purge()
    until(lambda: cache._core.engine.floors.position > before)  # type: ignore[attr-defined]
    return stream_id(cache._core.engine.floors.position)  # type: ignore[attr-defined]


def tags_in(server: Any) -> str:
    return repr(records(server))


@pytest.mark.parametrize("noticed", [True, False], ids=["by its connection", "by nothing"])
def test_lost_records_are_given_back_and_the_cache_goes_on(
    caches: Caches, redis_server: Any, noticed: bool
) -> None:
    # Guards: `Trail.is_boundary` in each beat, also where a connection was made anew between two
    # commands; `give_back`. Without it those who join would be served what was purged.
    here, other = Site(caches.make()), Site(caches.make())
    here.get("/things/7")
    here.get("/things/8")
    applied(here.cache, lambda: here.cache.purge(tags=["first"]))
    until(
        lambda: other.cache._core.engine.floors.position == here.cache._core.engine.floors.position
    )  # type: ignore[attr-defined]
    epoch, saved = redis_server.command("GET", EPOCH), redis_server.command("DUMP", STREAM)
    gone, kept = entry_of(here.cache, "thing:7"), entry_of(here.cache, "thing:8")
    lost = applied(here.cache, lambda: here.cache.purge(tags=["thing:7"]))
    other.cache.close()
    rewind(redis_server, saved)
    if noticed:
        redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    until(lambda: "thing:7" in tags_in(redis_server))
    until(lambda: here.cache.log.live)
    assert [judged(here.cache, each) for each in (gone, kept)] == [Verdict.DEAD, Verdict.VALID]
    assert here.hits("/things/8")
    assert redis_server.command("GET", EPOCH) == epoch
    # Guard: `mark_log_lost`. Heartbeats that a new master has may be of records that it has not.
    assert here.cache.purge(tags=["unrelated"]).status == "appended"
    assert records(redis_server)[-1][0].decode() > lost
    joined = Site(caches.make())
    assert "fwd=uri-miss" in joined.get("/things/7").cache_status
    assert "detail=shared" in joined.get("/things/8").cache_status
    assert here.cache.stats().events["log_losses"][""] == 1


def test_everybody_gives_back_what_they_know(caches: Caches, redis_server: Any) -> None:
    # Guard: the boundary of `Trail`. What the first gives back is newer than all that the second has
    # applied, and reading it would hide that there are older ones which it has to give back.
    knows_one, knows_two = caches.make(), caches.make()
    applied(knows_one, lambda: knows_one.purge(tags=["first"]))
    saved = redis_server.command("DUMP", STREAM)
    epoch = redis_server.command("GET", EPOCH)
    knows_one.purge(tags=["second"])
    knows_one.close()
    applied(knows_two, lambda: knows_two.purge(tags=["third"]))
    rewind(redis_server, saved)
    knows_one.start()
    until(lambda: "third" in tags_in(redis_server) and "second" in tags_in(redis_server))
    until(lambda: knows_one.log.live and knows_two.log.live)
    assert redis_server.command("GET", EPOCH) == epoch


LOST = "k", "tags", "s", "0", "v"


@pytest.mark.parametrize(
    "later", [[], ["third"]], ids=["under the same number", "under a lower one"]
)
def test_a_master_that_gave_out_numbers_which_were_given_out_already_begins_another_life(
    caches: Caches, redis_server: Any, later: list[str]
) -> None:
    # As with clocks that differ by more than a failover takes. Guard: a mark is of the fields too.
    here = caches.make()
    applied(here, lambda: here.purge(tags=["first"]))
    epoch, saved = redis_server.command("GET", EPOCH), redis_server.command("DUMP", STREAM)
    entry = entry_of(here, "any")
    between = applied(here, lambda: here.purge(tags=["second"]))
    for tag in later:
        applied(here, lambda tag=tag: here.purge(tags=[tag]))  # type: ignore[misc]
    rewind(redis_server, saved, between, *LOST, '["other"]')
    until(lambda: redis_server.command("GET", EPOCH) not in (None, epoch))
    until(lambda: judged(here, entry) is Verdict.DEAD)


def test_a_log_that_lost_more_than_is_remembered_begins_another_life(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: the fork must be among the records that `Trail` knows.
    here = caches.make()
    epoch, saved = redis_server.command("GET", EPOCH), redis_server.command("DUMP", STREAM)
    before = here._core.engine.floors.position  # type: ignore[attr-defined]
    for at in range(1100):
        redis_server.command("XADD", STREAM, "*", *LOST, f'["many:{at}"]')
    until(lambda: "many:1099" in tags_in(redis_server))
    until(lambda: here.stats().events["log_records"][""] >= 1100)
    assert here._core.engine.floors.position > before  # type: ignore[attr-defined]
    rewind(redis_server, saved)
    until(lambda: redis_server.command("GET", EPOCH) not in (None, epoch))


def test_a_flag_whose_change_was_lost_is_set_again(caches: Caches, redis_server: Any) -> None:
    # Guard: `Flags.newest` compares revisions; Redis has a document, and it is the older one.
    here = caches.make()
    assert here.flags.set(low="off")
    flags = "cachemw:{shared}:flags"
    stream, document = redis_server.command("DUMP", STREAM), redis_server.command("GET", flags)
    applied(here, lambda: here.flags.set(low="on", medium="off"))
    redis_server.command("SET", flags, document)
    rewind(redis_server, stream)
    until(lambda: b"medium" in redis_server.command("GET", flags))
    joined = caches.make()
    assert (joined.flags.states()["low"], joined.flags.states()["medium"]) == ("on", "off")


def test_a_server_whose_clock_is_set_back_begins_another_life(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: `_learn_server_time`. Stored entries carry times on that clock, and would live longer
    # by the step.
    here: Any = caches.make()
    epoch = redis_server.command("GET", EPOCH)
    entry = entry_of(here, "any")
    here.log.server_shift += 30.0  # as if the clock had been half a minute ahead until now
    until(lambda: redis_server.command("GET", EPOCH) not in (None, epoch))
    until(lambda: judged(here, entry) is Verdict.DEAD)
    until(lambda: here.log.live)


def test_old_records_are_trimmed_off(caches: Caches, redis_server: Any) -> None:
    # Guard: `_trim`. The server drops whole nodes of a hundred records, so there must be many.
    here: Any = caches.make(log={"max_age": "100ms"})
    for at in range(300):
        redis_server.command("XADD", STREAM, "*", *LOST, f'["many:{at}"]')

    def trimmed() -> bool:
        here.log._trimmed_at = 0.0
        return len(records(redis_server)) <= 100

    until(trimmed)
    assert here.log.live
    joined = caches.make()
    assert joined.purge(tags=["any"]).confirmed


@pytest.mark.parametrize(
    ("purges", "since"),
    [
        ([Purge(tags=("a",)), Purge(tags=("b",))], [Purge(tags=("a", "b"))]),
        ([Purge(tags=("a",), soft=True)], [Purge(tags=("a",), soft=True)]),
        ([Purge(tags=("a",)), Purge(tags=None)], [Purge(tags=None)]),
        (
            [Purge(tags=None, soft=True), Purge(tags=("a",))],
            [Purge(tags=None, soft=True), Purge(tags=("a",))],
        ),
        ([], []),
    ],
    ids=["tags", "soft", "everything", "everything softly", "nothing"],
)
def test_what_was_purged_since_a_record_is_said_in_few(
    purges: list[Purge], since: list[Purge]
) -> None:
    floors = Floors(100)
    floors.apply(1, ("before",), soft=False)
    for number, purge in enumerate(purges, 2):
        floors.apply(number, purge.tags, soft=purge.soft)
    assert floors.purges_since(1) == since
