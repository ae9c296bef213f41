"""The knowledge of a kind: announced changes, measured staleness, and adding up what processes know."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.learning.kinds import DOUBT, LearnedKind, Round, Seen

TARGET = 0.02


def seen(**changes: Any) -> Seen:
    fields: dict[str, Any] = {
        "seconds": 10.0,
        "changed": False,
        "announced": False,
        "lifetime": 10.0,
        "requests": 100.0,
        "young": True,
        "free": True,
    }
    return Seen(**{**fields, **changes})


def learned(*facts: Seen) -> LearnedKind:
    kind = LearnedKind()
    for each in facts:
        kind.learn(each, TARGET)
    return kind


def test_nothing_is_expected_of_a_new_kind() -> None:
    kind = LearnedKind()
    assert (kind.expected, kind.staleness, kind.lifetime, kind.saved) == (None, None, None, None)
    assert kind.silent_share == 1.0
    assert kind.figures() == {"refreshes": 0.0, "changes": 0.0}


def test_young_keys_tell_what_a_new_one_is_like() -> None:
    kind = learned(*[seen(seconds=100.0, changed=number % 2 == 0) for number in range(20)])
    assert kind.expected is not None
    assert kind.expected.changes == 1.0
    assert kind.expected.mean == pytest.approx(1 / 145, rel=0.2)  # half of 100 s without a change


def test_old_keys_do_not() -> None:
    """They are refreshed as often as they change, and would speak for all."""
    kind = learned(seen(seconds=100.0), *[seen(changed=True, seconds=1.0, young=False)] * 50)
    assert kind.expected is not None
    assert kind.expected.mean == pytest.approx(1 / 100)


def test_announced_changes_make_the_silent_ones_few() -> None:
    kind = learned(*[seen(changed=True, announced=True)] * 10)
    assert kind.silent_share == pytest.approx(DOUBT / (10 + DOUBT))
    kind.learn(seen(changed=True), TARGET)
    assert kind.silent_share == pytest.approx((1 + DOUBT) / (11 + DOUBT))


def test_what_was_announced_long_ago_loses_weight() -> None:
    kind = learned(*[seen(changed=True, announced=True)] * 1000)
    before = kind.silent_share
    for _ in range(100):
        kind.learn(seen(changed=True), TARGET)
    assert before < 0.06
    assert kind.silent_share > 0.85


def test_an_unannounced_change_makes_half_of_a_lifetime_stale() -> None:
    kind = learned(seen(changed=True))
    asked = 100.0 * 10.0
    assert kind.staleness == pytest.approx(0.5 * asked / (1 + asked))


@pytest.mark.parametrize(
    ("facts", "share"),
    [
        pytest.param({"announced": True}, 0.0, id="a purge had ended the old answer"),
        pytest.param({"changed": False}, 0.0, id="nothing has changed"),
        pytest.param({"seconds": 40.0}, 0.125, id="it may have changed after the lifetime"),
        pytest.param({"requests": 0.1}, 0.25, id="half of the requests are the misses"),
    ],
)
def test_other_changes_make_less_of_it_stale(facts: dict[str, Any], share: float) -> None:
    kind = learned(seen(**{"changed": True, "requests": 1e9, **facts}))
    assert kind.staleness == pytest.approx(share)


def test_too_much_staleness_corrects_the_target_downwards_and_never_up() -> None:
    kind = learned(*[seen(changed=True)] * 20)
    assert kind.factor < 1.0
    for _ in range(5000):
        kind.learn(seen(), TARGET)
    assert kind.factor == 1.0


def test_the_correction_has_an_end() -> None:
    kind = learned(*[seen(changed=True)] * 5000)
    assert kind.factor == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("facts", [{"free": False}, {"announced": True}])
def test_what_says_nothing_of_the_estimate_does_not_correct_it(facts: dict[str, Any]) -> None:
    """A lifetime at its bound, or one that was not learned, would be no other with another estimate."""
    assert learned(*[seen(**{"changed": True, **facts})] * 20).factor == 1.0


def round_of(**changes: Any) -> Round:
    fields: dict[str, Any] = {
        "learned": 9.0,
        "used": 9.0,
        "initial": 4.0,
        "requests": 1.0,
        "reached": True,
    }
    return Round(**{**fields, **changes})


def test_the_calls_saved_are_those_beside_the_initial_lifetime() -> None:
    kind = LearnedKind()
    kind.note(round_of())
    assert kind.lifetime == pytest.approx(9.0)
    assert kind.saved == pytest.approx(
        1 - 5 / 10
    )  # one call for 10 requests, in place of one for 5
    shadow = LearnedKind()
    shadow.note(round_of(used=4.0))
    assert shadow.saved == pytest.approx(0.5)


def test_a_target_out_of_reach_is_told() -> None:
    kind = LearnedKind()
    for reached in (True, False, False, False):
        kind.note(round_of(reached=reached))
    assert kind.reached_share == pytest.approx(0.25, abs=0.01)


def test_what_two_processes_have_learned_is_added_up() -> None:
    base = learned(seen(changed=True, announced=True), seen())
    base.note(round_of())
    one, other, alone = replace(base), replace(base), replace(base)
    facts = seen(changed=True, seconds=30.0)
    one.learn(facts, TARGET)
    other.note(round_of(learned=0.5))
    for kind in (alone,):
        kind.learn(facts, TARGET)
        kind.note(round_of(learned=0.5))
    shared = base.merged(base, one).merged(base, other)
    for name in LearnedKind.__struct_fields__:
        assert getattr(shared, name) == pytest.approx(getattr(alone, name)), name
    assert shared.is_sound


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": math.nan},
        {"covered": math.inf},
        {"silent": -1.0},
        {"correction": 0.1},
        {"correction": -9.0},
    ],
)
def test_numbers_that_nobody_learned_are_told(changes: dict[str, float]) -> None:
    assert LearnedKind().is_sound
    assert not LearnedKind(**changes).is_sound
