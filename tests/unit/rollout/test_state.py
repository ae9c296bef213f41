"""A rollout moves only in the ways that there are, and each move says what the flags are to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cachemw.config.rollout_plan import RolloutPlan
from cachemw.errors import RolloutError
from cachemw.rollout import transitions as moves
from cachemw.rollout.state import Move, State

from .plans import AT, BY, begun, plan, written

PLAN = plan()
Step = Callable[[State, RolloutPlan, float, str, str], Move]


def go(step: Step, state: State, **more: Any) -> Move:
    return step(state, PLAN, AT, BY, "because", **more)


def at(phase: int, step: int, **changed: Any) -> State:
    return replace(begun(), phase=phase, step=step, **changed)


def test_it_begins_with_everything_off_but_the_first_step() -> None:
    move = moves.begin(PLAN, written(), None, AT, BY, "")
    assert move.flags == {
        "low": "shadow",
        "medium": "off",
        "high": "off",
        "holdout": "5%",
        "level:low": "debug",
    }
    assert (move.state.status, move.state.phase, move.state.step) == ("running", 0, 0)
    assert move.record is not None
    assert (move.record.action, move.record.by, move.record.phase) == ("start", BY, "one")


def test_each_step_lets_in_more_then_comes_the_next_phase() -> None:
    state, seen = begun(), []
    for _ in range(3):
        move = go(moves.advance, state)
        state = move.state
        seen.append((state.phase, state.step, dict(move.flags)))
    assert seen == [
        (0, 1, {"low": "canary 10%"}),
        (0, 2, {"low": "on"}),
        (1, 0, {"level:low": "default", "level:medium": "info", "medium": "shadow"}),
    ]


def test_a_step_knows_when_it_began() -> None:
    after = go(moves.advance, at(0, 1, watched=9.0, phase_watched=30.0)).state
    assert (after.watched, after.phase_watched, after.step_began) == (0.0, 30.0, 30.0)
    assert go(moves.advance, at(0, 2, phase_watched=30.0, step_began=9.0)).state.step_began == 0.0


def test_a_phase_begins_with_evidence_of_its_own() -> None:
    before = at(0, 2, watched=9.0, phase_watched=30.0, reported=("hold",))
    after = go(moves.advance, before).state
    assert (after.watched, after.phase_watched, after.reported) == (0.0, 0.0, ())
    assert after.attempt == before.attempt + 1


def test_a_phase_that_must_be_approved_waits_and_begins_by_approval_alone() -> None:
    waiting = go(moves.advance, at(1, 2))
    assert (waiting.state.status, waiting.state.phase, waiting.flags) == ("waiting", 1, {})
    with pytest.raises(RolloutError, match="waiting: there is nothing to promote"):
        go(moves.promote, waiting.state)
    begun_now = go(moves.approve, waiting.state)
    assert (begun_now.state.status, begun_now.state.phase) == ("running", 2)
    assert begun_now.flags["high"] == "shadow"


def test_the_end_of_the_last_phase_completes_it_and_gives_the_holdout_back() -> None:
    move = go(moves.advance, at(2, 2))
    assert move.state.status == "complete"
    assert move.flags == {"holdout": "default", "level:high": "default"}
    assert not move.state.needs_controller


def test_a_rollback_turns_off_its_phase_alone_and_purges_what_it_stored() -> None:
    move = go(moves.roll_back, at(1, 2))
    assert (move.flags["medium"], "low" in move.flags) == ("off", False)
    assert move.purged == ("medium",)
    assert (move.state.status, move.state.phase, move.state.check_due) == ("rolled back", 1, True)
    assert move.record is not None
    assert (move.record.phase, move.record.step) == ("two", "on")


def test_a_complete_rollback_turns_off_every_phase_and_begins_with_the_first() -> None:
    move = go(moves.roll_back, at(1, 2), everything=True)
    assert {risk: move.flags[risk] for risk in ("low", "medium", "high")} == dict.fromkeys(
        ("low", "medium", "high"), "off"
    )
    assert (move.state.phase, move.state.rolled_back) == (0, ("low", "medium", "high"))


def test_after_a_rollback_resume_begins_the_phase_again() -> None:
    back = go(moves.roll_back, at(1, 2, refused=("orders",))).state
    again = go(moves.resume, back)
    assert (again.state.status, again.state.phase, again.state.step) == ("running", 1, 0)
    assert again.flags["medium"] == "shadow"
    assert again.flags["route:orders"] == "default"  # the application may have been mended
    assert (again.state.refused, again.state.attempt) == ((), back.attempt + 1)


def test_routes_that_would_be_wrong_stay_in_shadow() -> None:
    move = go(moves.advance, at(0, 0), refused=("orders",))
    assert move.flags == {"low": "canary 10%", "route:orders": "shadow"}
    assert move.state.refused == ("orders",)
    new = moves.begin(PLAN, written(), replace(move.state, status="complete"), AT, BY, "")
    assert new.flags["route:orders"] == "default"


def test_who_promotes_past_shadow_does_not_let_in_what_is_known_to_be_wrong() -> None:
    """I2. The guard is `state.wrong` in `promote`."""
    move = go(moves.promote, at(0, 0, wrong=("orders",)))
    assert move.flags == {"low": "canary 10%", "route:orders": "shadow"}
    assert move.state.refused == ("orders",)
    later = go(moves.promote, at(0, 1, wrong=("orders",), refused=("orders",)))
    assert later.flags == {"low": "on"}


def test_a_pause_stays_where_it_is() -> None:
    paused = go(moves.pause, at(1, 1, watched=5.0))
    assert (paused.state.status, paused.flags) == ("paused", {})
    running = go(moves.resume, paused.state)
    assert (running.state.status, running.state.watched) == ("running", 5.0)


@pytest.mark.parametrize(
    ("step", "status", "says"),
    [
        (moves.promote, "complete", "complete: there is nothing to promote"),
        (moves.promote, "rolled back", "rolled back: there is nothing to promote"),
        (moves.approve, "running", "running: no phase waits"),
        (moves.pause, "paused", "paused: there is nothing to pause"),
        (moves.pause, "complete", "complete: there is nothing to pause"),
        (moves.resume, "running", "running: there is nothing to resume"),
        (moves.roll_back, "rolled back", "rolled back already"),
    ],
)
def test_what_cannot_be_done_is_said(step: Step, status: Any, says: str) -> None:
    with pytest.raises(RolloutError, match=says):
        go(step, at(0, 0, status=status))


def test_a_second_rollout_has_to_wait_for_the_first() -> None:
    with pytest.raises(RolloutError, match="a rollout is running already"):
        moves.begin(PLAN, written(), begun(), AT, BY, "")
    done = replace(begun(), status="complete", revision=7)
    assert moves.begin(PLAN, written(), done, AT, BY, "").state.revision == 8


def test_every_move_raises_the_revision_and_survives_json() -> None:
    state = begun()
    for step in (moves.advance, moves.pause, moves.resume, moves.promote, moves.roll_back):
        after = go(step, state).state
        assert after.revision == state.revision + 1
        state = msgspec.json.decode(msgspec.json.encode(after), type=State)
        assert state == after


def test_a_renamed_field_keeps_its_stored_name() -> None:
    """Another release that shares the Redis reads `told`."""
    state = replace(begun(), reported=("hold",))
    assert msgspec.to_builtins(state)["told"] == ("hold",)
