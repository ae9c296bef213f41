"""A look goes on, holds, pauses or rolls back: by evidence and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.rollout.decisions import LookResult, decide
from cachemw.rollout.guardrails.measures import Judgement, Verdict
from cachemw.rollout.state import Group, Move, ShadowCounts, State

from .plans import AT, BY, begun, plan, written

PLAN = plan()
STEP = 40 / 3  # seconds, of each step


def judged(group: Group = "phase", **verdicts: Verdict) -> dict[Group, tuple[Judgement, ...]]:
    names = ("errors", "latency", "misses", "hits", "memory")
    wanted = {**dict.fromkeys(names, "pass"), **verdicts}
    found = tuple(
        Judgement(guardrail=name, verdict=verdict, evidence={"evidence": 1.5})  # type: ignore[arg-type]
        for name, verdict in wanted.items()
    )
    healthy = tuple(Judgement(guardrail=name, verdict="pass", evidence={}) for name in names)
    return {"phase": healthy, group: found}


def at(phase: int = 0, step: int = 1, **changed: Any) -> State:
    return replace(begun(), phase=phase, step=step, **changed)


def look(state: State, seen: LookResult | None = None, **plan_changed: Any) -> Move:
    asked = plan(**plan_changed) if plan_changed else PLAN
    return decide(state, asked, seen or LookResult(seconds=1.0, judged=judged()), AT, BY)


def test_before_its_time_is_over_a_step_goes_on_being_watched() -> None:
    move = look(at(watched=3.0))
    assert (move.state.watched, move.state.phase_watched) == (4.0, 1.0)
    assert (move.record, move.flags) == (None, {})


@pytest.mark.parametrize(("step", "seconds"), [(0, 40 / 3), (1, 40 / 3), (2, 40)])
def test_the_last_step_is_watched_for_the_whole_duration(step: int, seconds: float) -> None:
    seen = LookResult(seconds=1.0, judged=judged(), shadow={"pages": ShadowCounts(hits=30)})
    early = look(at(step=step, watched=seconds - 1.5), seen)
    assert (early.state.phase, early.state.step) == (0, step)
    late = look(at(step=step, watched=seconds - 0.5), seen)
    assert (late.state.phase, late.state.step) == ((0, step + 1) if step < 2 else (1, 0))


def test_when_its_time_is_over_and_everything_passes_it_goes_on() -> None:
    move = look(at(watched=STEP - 0.5))
    assert (move.state.step, move.flags) == (2, {"low": "on"})
    assert move.record is not None
    assert move.record.numbers["errors"] == {"evidence": 1.5}


@pytest.mark.parametrize("name", ["errors", "latency", "misses", "hits", "memory"])
def test_a_guardrail_that_fails_rolls_back_at_once(name: str) -> None:
    move = look(at(watched=0.0), LookResult(seconds=1.0, judged=judged(**{name: "fail"})))
    assert move.state.status == "rolled back"
    assert (move.flags["low"], move.purged) == ("off", ("low",))
    assert move.record is not None
    assert move.record.reason == f"guardrail {name} failed"
    assert move.record.numbers == {"guardrail": name, "evidence": 1.5}


@pytest.mark.parametrize("status", ["paused", "waiting"])
def test_also_what_stands_still_is_rolled_back(status: Any) -> None:
    move = look(at(status=status), LookResult(seconds=1.0, judged=judged(errors="fail")))
    assert move.state.status == "rolled back"


def test_harm_on_the_routes_of_earlier_phases_takes_everything_back() -> None:
    move = look(at(phase=1), LookResult(seconds=1.0, judged=judged("before", hits="fail")))
    assert move.purged == ("low", "medium", "high")
    assert move.record is not None
    assert "of the phases before" in move.record.reason


def test_a_guardrail_that_the_phase_does_not_watch_is_no_reason() -> None:
    phases = [{**written()["phases"][0], "watch": ["errors"]}]
    move = look(at(), LookResult(seconds=1.0, judged=judged(hits="fail")), phases=phases)
    assert move.state.status == "running"


def test_one_in_dry_run_is_told_of_once_and_neither_acts_nor_holds() -> None:
    dry = {"guardrails": {"dry_run": ["hits"]}}
    seen = LookResult(seconds=1.0, judged=judged(hits="fail"))
    first = look(at(watched=STEP), seen, **dry)
    assert first.record is not None
    assert (first.record.action, first.state.status) == ("would roll back", "running")
    second = look(first.state, seen, **dry)
    assert second.state.step == 2
    unsure = LookResult(seconds=1.0, judged=judged(hits="inconclusive"))
    assert look(at(watched=STEP), unsure, **dry).state.step == 2


def test_without_evidence_it_holds_says_so_once_and_then_pauses() -> None:
    unsure = LookResult(seconds=4.0, judged=judged(latency="inconclusive"))
    state, said = at(watched=STEP), []
    for _ in range(4):
        move = look(state, unsure)
        state = move.state
        said.append((state.status, move.record.action if move.record else None))
    assert said == [
        ("running", "hold"),
        ("running", None),
        ("paused", "pause"),
        ("paused", None),
    ]
    assert "latency" in state.reason
    assert state.step == 1


@pytest.mark.parametrize("group", ["phase", "before"])
def test_a_broken_holdout_is_said_once_passes_no_step_and_rolls_nothing_back(group: Group) -> None:
    broken = Judgement(
        guardrail="holdout", verdict="fail", evidence={"drawn": 0.01, "planned": 0.05}
    )
    groups = judged()
    seen = LookResult(seconds=4.0, judged={**groups, group: (*groups["phase"], broken)})
    state, said = at(watched=STEP), []
    for _ in range(6):
        move = look(state, seen)
        state = move.state
        said += [move.record] if move.record else []
    assert [record.action for record in said] == ["warn", "hold", "pause"]
    assert said[0].reason.startswith(
        "the holdout is broken: 1.00% of the compared requests went past the cache, and 5.00% were to be"
    )
    assert said[2].reason == "not enough evidence: the holdout is broken in 10 s"
    assert (state.step, state.status) == (1, "paused")


def test_evidence_that_comes_late_still_counts() -> None:
    held = look(at(watched=STEP), LookResult(seconds=4.0, judged=judged(hits="inconclusive"))).state
    assert look(held).state.step == 2


@pytest.mark.parametrize("changed", [{"status": "paused"}, {"status": "waiting"}])
def test_what_stands_still_comes_no_nearer(changed: dict[str, Any]) -> None:
    move = look(at(watched=STEP, **changed))
    assert (move.state.watched, move.state.step, move.record) == (STEP, 1, None)


def test_while_a_component_is_missing_no_time_counts() -> None:
    seen = LookResult(seconds=1.0, judged=judged(), missing=("workers",))
    move = look(at(watched=STEP), seen)
    assert (move.state.watched, move.state.reason) == (STEP, "no live process of 'workers'")


def shadow(**routes: ShadowCounts) -> LookResult:
    return LookResult(seconds=1.0, judged=judged(hits="inconclusive"), shadow=routes)


def test_what_is_wrong_is_known_before_the_step_is_over() -> None:
    right, wrong = ShadowCounts(hits=30, misses=5), ShadowCounts(hits=30, misses=5, mismatches=2)
    assert look(at(step=0), shadow(orders=wrong, products=right)).state.wrong == ("orders",)


def test_after_shadow_the_routes_that_were_right_go_on() -> None:
    right = ShadowCounts(hits=30, misses=5)
    wrong = ShadowCounts(hits=30, misses=5, mismatches=2, places={"$.total": 2, "header vary": 1})
    move = look(at(step=0, watched=STEP), shadow(orders=wrong, products=right))
    assert move.flags == {"low": "canary 10%", "route:orders": "shadow"}
    assert move.record is not None
    assert "'orders' ($.total, header vary): kept in shadow" in move.record.reason
    assert move.record.numbers == {
        "orders": {"mismatches": 2, "places": {"$.total": 2, "header vary": 1}}
    }


def test_of_many_places_the_most_frequent_are_told() -> None:
    counts = {f"$.p{number:02}": number for number in range(30)}
    wrong = ShadowCounts(mismatches=30, places=counts)
    move = look(at(step=0, watched=STEP), shadow(orders=wrong, products=ShadowCounts(hits=9)))
    assert move.record is not None
    assert "'orders' ($.p29, $.p28, $.p27, …): kept" in move.record.reason
    assert list(move.record.numbers["orders"]["places"].values()) == list(range(29, 19, -1))


def test_places_that_another_release_has_not_told_are_not_made_up() -> None:
    move = look(at(step=0, watched=STEP), shadow(orders=ShadowCounts(mismatches=20)))
    assert move.record is not None
    assert move.record.reason.endswith("answered wrongly: 'orders'")


def test_shadow_that_has_compared_next_to_nothing_holds_and_then_pauses() -> None:
    """Fails where a silent night would be taken for a proof."""
    seen = shadow(orders=ShadowCounts(hits=3, misses=5), products=ShadowCounts())
    state, said = at(step=0, watched=STEP), []
    for _ in range(13):
        move = look(state, seen)
        state = move.state
        if move.record:
            said.append(move.record.action)
    assert (said, state.status, state.step) == (["hold", "pause"], "paused", 0)
    assert "3 answers in shadow were compared" in state.reason


def test_a_phase_without_routes_has_nothing_to_prove() -> None:
    assert look(at(step=0, watched=STEP), shadow()).state.step == 1


def test_if_every_route_would_be_wrong_it_goes_back() -> None:
    move = look(at(step=0, watched=STEP), shadow(orders=ShadowCounts(hits=29, mismatches=1)))
    assert move.state.status == "rolled back"
    assert move.record is not None
    assert "'orders'" in move.record.reason


def cookied(*, hits: int = 0, misses: int = 0, cookies: int = 0) -> ShadowCounts:
    return ShadowCounts(hits=hits, misses=misses, refused={"set-cookie": cookies, "private": 1})


@pytest.mark.parametrize(
    ("watched", "route", "told"),
    [
        (0.0, cookied(hits=15, misses=10, cookies=4), "4 of 25 answers"),
        (0.0, cookied(hits=999, misses=1, cookies=1), "1 of 1000 answers"),
        (0.0, cookied(hits=1, misses=4, cookies=4), None),  # too few to say how many
        (STEP, cookied(hits=1, misses=4, cookies=4), "4 of 5 answers"),  # there come no more
        (STEP, cookied(hits=25, misses=10), None),
    ],
)
def test_a_route_that_sets_cookies_is_warned_about(
    watched: float, route: ShadowCounts, told: str | None
) -> None:
    move = look(at(step=0, watched=watched), shadow(account=route))
    if told is None:
        assert move.record is None or move.record.action != "warn"
        return
    assert move.record is not None
    assert move.record.action == "warn"
    assert move.record.reason.startswith(f"route 'account' sets cookies: {told}")
    cookies, _, answers = told.removesuffix(" answers").partition(" of ")
    assert move.record.numbers == {"set-cookie": int(cookies), "answers": int(answers)}


def test_a_route_that_sets_cookies_which_would_be_removed_is_warned_about() -> None:
    counts = ShadowCounts(hits=3, misses=2, refused={"cookie-conflict": 2})
    move = look(at(step=0), shadow(account=counts))
    assert move.record is not None
    assert move.record.action == "warn"
    assert move.record.reason.startswith(
        "route 'account' sets cookies that the cache would have removed from the request: 2 of 5 answers"
    )
    assert move.record.numbers == {"cookie-conflict": 2, "answers": 5}


def test_a_route_that_would_replace_cookies_stays_in_shadow_as_a_wrong_one_does() -> None:
    """Guard: `ShadowCounts.is_wrong`."""
    counts = ShadowCounts(hits=25, refused={"cookie-conflict": 72})
    seen = shadow(account=counts, products=ShadowCounts(hits=30))
    warned = look(at(step=0), seen)
    assert warned.state.wrong == ("account",)
    after = look(replace(warned.state, watched=STEP), seen)
    assert (after.state.step, after.state.refused) == (1, ("account",))
    assert after.record is not None
    assert "'account' (cookies of clients replaced 72 times): kept in shadow" in after.record.reason
    assert after.record.numbers["account"]["replaced cookies"] == 72
    alone = shadow(account=counts)
    state = look(at(step=0), alone).state
    assert look(replace(state, watched=STEP), alone).state.status == "rolled back"


def test_each_thing_about_a_route_is_told_once_and_one_at_a_look() -> None:
    seen = shadow(
        account=cookied(misses=25, cookies=24), basket=cookied(hits=20, misses=9, cookies=2)
    )
    state, said = at(step=0), []
    for _ in range(5):
        move = look(state, seen)
        state = move.state
        said.append(move.record.reason if move.record else "")
    assert [each[:32] for each in said] == [
        "route 'account' sets cookies: 24",
        "route 'account' would have answe",
        "route 'basket' sets cookies: 2 o",
        "",
        "",
    ]
    again = replace(state, reported=())  # as another attempt has it
    assert look(again, seen).record is not None


def test_why_a_route_would_have_answered_nobody_is_told() -> None:
    refused = {"private": 3, "no-store": 22}
    seen = shadow(account=ShadowCounts(misses=25, refused=refused))
    move = look(at(step=0), seen)
    assert move.record is not None
    assert "none of 25 requests: not stored were no-store 22, private 3" in move.record.reason
    assert move.record.numbers == {"misses": 25, "refused": refused}


def test_what_a_useless_route_would_gain_with_other_cookie_lists_is_told() -> None:
    counts = ShadowCounts(misses=25, refused={"cookie": 25}, asked=40, default_hits=30)
    move = look(at(step=0), shadow(account=counts))
    assert move.record is not None
    assert "with the default lists of cookies it would have answered 30 of 40" in move.record.reason
    assert move.record.numbers["default hits"] == 30
    assert (counts + counts).default_hits == 60


def test_a_route_whose_answers_are_of_no_use_is_named_once() -> None:
    seen = shadow(account=ShadowCounts(misses=25), products=ShadowCounts(hits=20, misses=5))
    first = look(at(step=0), seen)
    assert first.record is not None
    assert first.record.action == "warn"
    assert "'account' would have answered none of 25" in first.record.reason
    assert look(first.state, seen).record is None


def test_in_shadow_the_phase_itself_is_not_judged_and_the_earlier_ones_are() -> None:
    own = LookResult(seconds=1.0, judged=judged(hits="fail"))
    assert look(at(phase=1, step=0), own).state.status == "running"
    earlier = LookResult(seconds=1.0, judged=judged("before", hits="fail"))
    assert look(at(phase=1, step=0), earlier).state.status == "rolled back"
