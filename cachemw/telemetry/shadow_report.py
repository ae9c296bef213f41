"""The report on routes in shadow: what they would gain and break, switched on, in sentences.

`cachemw stats` and the page in Django's admin show it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from cachemw.config import Config
from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.stats import Stats

__all__ = ["shadow_lines"]

_ANSWERED = (Outcome.SHADOW_MISMATCH, Outcome.SHADOW_HIT)
_COOKIE = "cookie "
"""What a place begins with that is a cookie which would be replaced (`differences.of_cookies`)."""
_SHOWN = 3
"""Places, and cookies, that a sentence names."""


def shadow_lines(total: Stats, config: Config) -> list[str]:
    """Return the sentences about each route in shadow, by the name of the route."""
    routes = {route.name: config.proposed_personal(route) for route in config.routes}
    return [
        line
        for name in sorted({*total.requests, *total.forecasts})
        for line in _lines(total.route(name), name, routes.get(name, ()))
    ]


def _lines(counted: Stats, name: str, proposed: tuple[str, ...]) -> Iterator[str]:
    counts, forecast = counted.requests.get(name, {}), counted.forecasts.get(name, {})
    wrong, right = (counts.get(outcome.label, 0) for outcome in _ANSWERED)
    answered = wrong + right
    requests = answered + counts.get(Outcome.SHADOW_MISS.label, 0)
    if requests:
        times = counted.durations.get(name, {})
        saved = sum(times[o.label].seconds for o in _ANSWERED if o.label in times)
        yield (
            f"In shadow, route {name} would have answered {_share(answered, requests)}"
            f" and saved the application {saved:.3g} s."
        )
    yield from _proposal(name, forecast, proposed)
    differences = counted.differences.get(name, {})
    cookies = {
        place.removeprefix(_COOKIE): count
        for place, count in differences.items()
        if place.startswith(_COOKIE)
    }
    if wrong:
        others = {place: n for place, n in differences.items() if not place.startswith(_COOKIE)}
        places = _most(others, "places")
        yield f"In shadow, route {name} would have given {wrong} wrong answers in {answered}{places}."
    if replaced := forecast.get("replaced", 0):
        yield (
            f"Switched on, route {name} would replace its clients' cookies in"
            f" {replaced} of {forecast.get('requests', 0)} answers{_most(cookies, 'cookies')}."
            " Each time, the application would be called twice: list these cookies in personal_cookies."
        )


def _proposal(name: str, forecast: Mapping[str, int], proposed: tuple[str, ...]) -> Iterator[str]:
    """Yield what the route would gain with other cookie rules, beside what it gains with its own."""
    requests, hits = forecast.get("default_requests", 0), forecast.get("hits", 0)
    if not requests or not proposed:
        return
    others, wrong = forecast.get("default_hits", 0), forecast.get("default_wrong", 0)
    wrongly = f", {wrong} of them wrongly" if wrong else ""
    yield (
        f"With personal_cookies = {json.dumps(proposed)} and no other cookie outside the key, route {name}"
        f" would have answered {_share(others, requests)}{wrongly};"
        f" as it is configured, {hits} ({hits / requests:.0%})."
    )


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} requests ({part / whole:.0%})"


def _most(counts: Mapping[str, int], noun: str) -> str:
    """Return the most frequent names with their counts, or an empty text."""
    names = Counter(counts).most_common()
    if not names:
        return ""
    listed = ", ".join(f"{name} ({count})" for name, count in names[:_SHOWN])
    more = f", and {len(names) - _SHOWN} more {noun}" if len(names) > _SHOWN else ""
    return f": {listed}{more}"
