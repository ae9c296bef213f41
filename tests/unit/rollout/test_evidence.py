"""What is known of a route in shadow is what the fleet has counted of it since its phase began."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cachemw.rollout.evidence import Evidence
from cachemw.rollout.state import Look, ShadowCounts, State
from cachemw.telemetry.events import BOUNDS
from cachemw.telemetry.fleet import ProcessStats
from cachemw.telemetry.stats import Histogram, Stats

from .plans import begun, plan

RISKS = {"orders": "low", "products": "low", "elsewhere": "high"}


def evidence() -> Evidence:
    return Evidence(plan(), begun(), RISKS, BOUNDS)


def fleet(**counted: Any) -> list[ProcessStats]:
    """Give a process that has counted this."""
    return [
        ProcessStats(id="a", age=0.0, live=True, component="api", stats=Stats(**counted)),
    ]


def looks(state: State, *counted: dict[str, Any]) -> dict[str, ShadowCounts]:
    """Look at each; give what is known of the routes then."""
    found = evidence()
    for each in counted:
        seen = found.look(state, fleet(**each), 1.0)
    return {name: each for name, each in seen.shadow.items() if each != ShadowCounts()}


COLD = {"watched": 0.0, "phase_watched": 0.0}
WARM = {"watched": 3.5, "phase_watched": 3.5}


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        (COLD, False),
        (WARM, True),
        ({**WARM, "step_began": 3.0}, False),  # a later step is cold again
        ({**COLD, "phase_watched": 3.5, "status": "paused"}, True),
    ],
    ids=["cold", "warm", "cold again", "paused before it was warm"],
)
def test_in_the_warm_up_only_failures_and_memory_count(
    changed: dict[str, Any], counts: bool
) -> None:
    """Fails without `_without_cold`, and where the warm-up stands still while the rollout does."""
    taken = Histogram(buckets=(7, *(0,) * len(BOUNDS)), total_ns=7)
    served = {"hit_memory": 6, "control_miss": 4}
    counted = {
        "requests": {"orders": served},
        "failures": {"orders": {"hit_memory": 2, "control_miss": 1}},
        "durations": {"orders": dict.fromkeys(served, taken)},
    }
    found, state = evidence(), replace(begun(), step=1, **changed)
    found.look(state, fleet(), 1.0)
    seen = found.look(state, fleet(**counted), 1.0).look
    assert seen is not None
    tally = seen.tallies["phase"]
    assert (tally.treated_failed, tally.control_failed, tally.treated) == (2, 1, 6)
    assert tally.saved == (6 if counts else 0)
    judged = (tally.hits, tally.eligible, sum(tally.treated_times), sum(tally.control_times))
    assert judged == ((6, 6, 7, 7) if counts else (0, 0, 0, 0))


def test_reasons_and_places_are_of_the_phases_routes_and_since_it_began() -> None:
    def counted(times: int) -> dict[str, Any]:
        return {
            "requests": {"orders": {"shadow_miss": 3 * times, "shadow_mismatch": times}},
            "refused": {"orders": {"set-cookie": 2 * times}, "elsewhere": {"private": times}},
            "differences": {"orders": {"$.total": times, "$.old": 7}},
            "forecasts": {"orders": {"default_requests": 5 * times, "default_hits": 2 * times}},
        }

    assert looks(begun(), counted(5), counted(6), counted(9)) == {
        "orders": ShadowCounts(
            misses=12,
            mismatches=4,
            refused={"set-cookie": 8},
            places={"$.total": 4},
            asked=20,
            default_hits=8,
        )
    }


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"step": 0}, {"orders": {"private": 2}, "products": {"private": 2}}),
        ({"step": 1}, {}),
        ({"step": 1, "refused": ("orders",)}, {"orders": {"private": 2}}),
    ],
    ids=["in shadow", "let in", "one kept in shadow"],
)
def test_reasons_count_while_a_route_is_in_shadow(
    changed: dict[str, Any], refused: dict[str, dict[str, int]]
) -> None:
    state = replace(begun(), **changed)
    counted = {"refused": {"orders": {"private": 2}, "products": {"private": 2}}}
    found = looks(state, {}, counted)
    assert {name: each.refused for name, each in found.items()} == refused


def test_a_look_keeps_a_bounded_number_of_places_and_those_that_count_most() -> None:
    places = {f"$.p{number}": 1 + number for number in range(500)}
    kept = looks(begun(), {}, {"differences": {"orders": places}})["orders"].places
    assert sorted(kept.values(), reverse=True) == list(range(500, 450, -1))


def test_who_takes_over_knows_what_the_looks_have_kept() -> None:
    first, second, counted = evidence(), evidence(), {"orders": {"$.total": 2}}
    first.look(begun(), fleet(), 1.0)
    seen = first.look(begun(), fleet(differences=counted, refused={"orders": {"status": 1}}), 1.0)
    kept = msgspec.json.decode(msgspec.json.encode(seen.look), type=Look)
    second.replay([kept])
    assert second.look(begun(), fleet(), 1.0).shadow == seen.shadow
    assert seen.shadow["orders"] == ShadowCounts(places={"$.total": 2}, refused={"status": 1})


def test_a_look_of_another_release_is_read_without_reasons_and_places() -> None:
    kept = b'{"attempt":2,"seconds":1.0,"tallies":{},"shadow":{"orders":{"hits":3,"misses":1}}}'
    found = evidence()
    found.replay([msgspec.json.decode(kept, type=Look)])
    assert found.look(begun(), fleet(), 1.0).shadow["orders"] == ShadowCounts(hits=3, misses=1)
