"""The report on routes in shadow: its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cachemw.config import config_from
from cachemw.telemetry import Stats
from cachemw.telemetry.shadow_report import shadow_lines

NO_SITE: Mapping[str, Any] = MappingProxyType({})
COUNTS = {"shadow_hit": 30, "shadow_mismatch": 10, "shadow_miss": 60}
FORECAST = {
    "requests": 200,
    "default_requests": 200,
    "hits": 40,
    "default_hits": 150,
    "default_wrong": 3,
}


def lines(stats: Stats, site: Mapping[str, Any] = NO_SITE, **route: Any) -> list[str]:
    others = route.pop("others", [])
    routes = [{"name": "p", "path": "/p", "ttl": "1m", **route}, *others]
    return shadow_lines(stats, config_from({"routes": routes, **site}))


def test_what_it_gains_with_the_default_cookies_is_said_beside_what_it_gains() -> None:
    told = lines(Stats(requests={"p": COUNTS}, forecasts={"p": FORECAST}))
    assert told == [
        "In shadow, route p would have answered 40 of 100 requests (40%) and saved the application 0 s.",
        'With personal_cookies = ["sessionid", "session"] and no other cookie outside the key, route p'
        " would have answered 150 of 200 requests (75%), 3 of them wrongly; as it is configured, 40 (20%).",
        "In shadow, route p would have given 10 wrong answers in 40.",
    ]


def proposed(site: Mapping[str, Any] = NO_SITE, **route: Any) -> str:
    """Return the list that is proposed for a route, or an empty text."""
    told = lines(Stats(forecasts={"p": FORECAST}), site, **route)
    return told[0].partition(" and ")[0].removeprefix("With personal_cookies = ") if told else ""


def test_what_is_proposed_are_the_sites_cookies_or_those_of_frameworks() -> None:
    site = {"personal_cookies": ["sid"]}
    assert proposed(cookies=[]) == '["sessionid", "session"]'
    assert proposed(cookies=["session"]) == '["sessionid"]'
    assert proposed(site, personal_cookies=[]) == '["sid"]'
    assert proposed(site, personal_cookies=["sid", "csrftoken"]) == '["sid"]'
    assert proposed(site) == "", "it has them already"
    other = {"name": "q", "path": "/q", "ttl": "1m", "personal_cookies": ["own"]}
    assert proposed(cookies=[], others=[other]) == '["own"]'
    assert proposed(personal_cookies=["auth"]) == "", "somebody has said who is personal"
    assert proposed(identity="who") == ""
    assert lines(Stats(forecasts={"p": {"requests": 2}}), cookies=[]) == [], "nothing was tried"


def test_the_cookies_that_it_would_replace_are_named() -> None:
    forecast = {"requests": 100, "replaced": 72}
    places = {"cookie sid": 72, "$.a": 9, "cookie lang": 3, "cookie a": 2, "cookie *": 1}
    stats = Stats(forecasts={"p": forecast}, differences={"p": places})
    assert lines(stats, personal_cookies=["auth"]) == [
        "Switched on, route p would replace its clients' cookies in 72 of 100 answers: sid (72), lang (3),"
        " a (2), and 1 more cookies. Each time, the application would be called twice: list these cookies"
        " in personal_cookies."
    ]
