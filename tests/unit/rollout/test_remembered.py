"""What a process gives back to a Redis that has lost its rollout: never more than the flags say."""

from __future__ import annotations

import msgspec
import pytest

from cachemw.rollout.flags.live import LiveFlags
from cachemw.rollout.remembered import RememberedRollout, reconciled
from cachemw.rollout.state import Record, State

PLAN = {
    "warm_up": 0,
    "phases": [
        {
            "name": "low",
            "risks": ["low"],
            "duration": "1h",
            "steps": ["shadow", "on"],
            "watch": ["errors"],
        }
    ],
}


def state(revision: int = 3, **changed: object) -> State:
    return State(plan=PLAN, revision=revision, step=1, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "status"),
    [({"low": "on"}, "running"), ({"low": "off"}, "rolled back"), ({}, "paused")],
)
def test_a_state_that_the_flags_contradict_goes_on_only_by_hand(
    flags: dict[str, str], status: str
) -> None:
    assert reconciled(state(), LiveFlags(classes=flags)).status == status


@pytest.mark.parametrize(("revision", "status"), [(8, "running"), (9, "paused")])
def test_a_state_that_is_older_than_the_flags_goes_on_only_by_hand(
    revision: int, status: str
) -> None:
    """The flags of its step are those of now; a later phase may have begun and been rolled back."""
    live = LiveFlags(revision=revision, classes={"low": "on", "medium": "off"})
    assert reconciled(state(flags_revision=8), live).status == status


def test_an_older_state_replaces_no_newer_one() -> None:
    remembered = RememberedRollout()
    remembered.learn(msgspec.json.encode(state(5)), [])
    remembered.learn(msgspec.json.encode(state(4)), [])
    missing = remembered.missing(None, LiveFlags(classes={"low": "on"}))
    assert missing is not None
    assert missing[0].revision == 5
    assert remembered.missing(msgspec.json.encode(state(5)), LiveFlags()) is None


def test_a_long_history_is_cut_and_a_mirror_is_bounded() -> None:
    remembered = RememberedRollout()
    long = [
        msgspec.json.encode(Record(at=0.0, by="x", action="step", reason="y" * 9000))
        for _ in range(60)
    ]
    remembered.learn(msgspec.json.encode(state()), long)
    assert len(remembered.newest(b"null")) <= 128 * 1024
