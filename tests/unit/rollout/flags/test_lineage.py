"""Which document of live flags knows of which, and what counts where neither does."""

from __future__ import annotations

import pytest

from cachemw.config import config_from
from cachemw.engine.core.setup import make_routes
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.rollout.flags.lineage import are_apart, includes, joined, with_life
from cachemw.rollout.flags.live import Change, LiveFlags, read_document, write_document

ROUTES = [{"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"}]


@pytest.mark.parametrize(
    ("newer", "older", "included"),
    [
        pytest.param(
            LiveFlags(revision=5), LiveFlags(revision=4), True, id="no lives: by revision"
        ),
        pytest.param(LiveFlags(revision=4), LiveFlags(revision=5), False, id="no lives, older"),
        pytest.param(
            LiveFlags(revision=5, life="a"), LiveFlags(revision=5, life="a"), True, id="the same"
        ),
        pytest.param(
            LiveFlags(revision=9, life="b"),
            LiveFlags(revision=5, life="a"),
            False,
            id="unknown life",
        ),
        pytest.param(
            LiveFlags(revision=9, life="b", lives={"a": 5}),
            LiveFlags(revision=5, life="a"),
            True,
            id="began with it",
        ),
        pytest.param(
            LiveFlags(revision=9, life="b", lives={"a": 5}),
            LiveFlags(revision=6, life="a"),
            False,
            id="began before it",
        ),
        pytest.param(
            LiveFlags(revision=5), LiveFlags(revision=4, life="a"), True, id="an older release"
        ),
        pytest.param(LiveFlags(life="b"), LiveFlags(), True, id="nothing was ever set"),
        pytest.param(LiveFlags(life="b"), LiveFlags(life="a"), True, id="nothing but a life"),
    ],
)
def test_a_document_includes_what_it_was_made_with(
    newer: LiveFlags, older: LiveFlags, included: bool
) -> None:
    assert includes(newer, older) is included


def test_a_new_life_names_the_one_before_with_its_last_revision() -> None:
    first = with_life(LiveFlags(revision=1))
    assert first.life
    assert with_life(first) is first
    second = with_life(first, new=True)
    assert second.life != first.life
    assert second.lives == {first.life: 1}
    assert includes(second, first)
    assert not includes(first, second)


def test_the_lives_that_are_named_are_bounded_and_the_last_ones_are_kept() -> None:
    live = LiveFlags(revision=1)
    before = []
    for _ in range(20):
        live = with_life(live, new=True)
        before.append(live.life)
    assert list(live.lives) == before[-9:-1]


def configured(name: str) -> str:
    return "shadow"


def test_where_neither_includes_the_other_the_least_of_both_counts() -> None:
    here = LiveFlags(
        revision=7,
        life="b",
        classes={"low": "on", "medium": "off"},
        routes={"orders": "canary 10%"},
        holdout=0.1,
    )
    there = LiveFlags(
        revision=9, life="a", kill=True, classes={"low": "canary 5%", "high": "on"}, holdout=0.2
    )
    both = joined(here, there, configured, configured)
    assert both.kill
    assert both.classes == {"low": "canary 5%", "medium": "off", "high": "shadow"}
    assert both.routes == {"orders": "shadow"}
    assert (both.revision, both.life, both.holdout) == (10, "b", 0.1)
    assert includes(both, here)
    assert includes(both, there)
    assert not are_apart(both, there)
    assert joined(here, both, configured, configured) is both
    assert joined(both, there, configured, configured) is both


# -- in a process ----------------------------------------------------------------------------------


class Redis:
    def __init__(self) -> None:
        self.document: bytes | None = None

    def exchange(self, change: Change) -> bytes:
        self.document = change(self.document)
        return self.document


def flags_of(redis: Redis) -> Flags:
    routes = make_routes(config_from({"routes": ROUTES}), {}, {})
    flags = Flags(routes, ConfiguredFlags(), exchange=redis.exchange, known=False)
    flags.answered(redis.document)
    return flags


def apart(redis: Redis) -> tuple[Flags, Flags]:
    """Return two processes: the first knows a kill that the second, and Redis, have never heard of."""
    knows, acts = flags_of(redis), flags_of(redis)
    assert acts.set(low="on")
    assert redis.document is not None
    knows.receive(redis.document)
    assert knows.set(kill="on", high="off")
    redis.document = None  # lost, and the second was cut off
    redis.document = acts.newest(redis.document)
    for state in ("off", "on", "shadow"):
        assert acts.set(medium=state, high="on")
    return knows, acts


def test_a_process_holds_on_to_what_redis_does_not_know_and_tells_it() -> None:
    redis = Redis()
    knows, acts = apart(redis)
    knows.answered(redis.document)
    assert knows.killed
    assert (knows.states()["high"], knows.states()["medium"]) == ("off", "shadow")
    redis.document = knows.newest(redis.document)
    assert redis.document is not None
    for each in (knows, acts):
        each.receive(redis.document)
        assert each.killed
        assert each.live.classes == {"low": "on", "medium": "shadow", "high": "off"}
    assert acts.set(kill="off", high="on")
    assert redis.document is not None
    knows.receive(redis.document)
    assert (knows.killed, knows.states()["high"]) == (False, "on")


def test_what_redis_does_not_know_is_told_it_with_what_was_set_while_it_was_away() -> None:
    redis = Redis()
    knows, _ = apart(redis)
    knows.answered(redis.document)
    knows.publish_pending()
    told = read_document(redis.document)
    assert told is not None
    assert (told.kill, told.classes["high"]) == (True, "off")
    before = redis.document
    knows.publish_pending()
    assert redis.document == before


def test_a_mirror_that_knows_more_is_not_overruled_by_a_higher_revision() -> None:
    redis = Redis()
    knows, acts = apart(redis)
    acts.restore(knows.published, young=True)
    assert acts.killed
    acts.publish_pending()
    told = read_document(redis.document)
    assert told is not None
    assert told.kill


def test_a_change_of_an_older_release_counts_by_its_revision() -> None:
    redis = Redis()
    flags = flags_of(redis)
    assert flags.set(low="off")
    flags.receive(write_document(LiveFlags(revision=2, classes={"low": "on"})))
    assert flags.states()["low"] == "on"
