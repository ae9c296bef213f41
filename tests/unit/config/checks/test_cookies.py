"""A route's three lists of cookies: which ones apply, and what is said where two name one cookie."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.config import Config, config_from
from cachemw.config.syntax.cookie_names import ANALYTICS
from cachemw.errors import ConfigError

WHO = {"identity": "shop.auth:who"}


def config(route: dict[str, Any], **site: Any) -> Config:
    return config_from({"routes": [{"path": "/p", "ttl": "60s", **route}], **site})


APPLY: list[Any] = [
    pytest.param({}, {}, ANALYTICS, (), id="left out: analytics cookies are ignored"),
    pytest.param({}, {"ignore_cookies": ["_a*"]}, ("_a*",), (), id="the site's"),
    pytest.param({}, {"ignore_cookies": []}, (), (), id="the site ignores none"),
    pytest.param({"ignore_cookies": []}, {}, (), (), id="the route ignores none"),
    pytest.param({"ignore_cookies": ["x"]}, {"ignore_cookies": ["y"]}, ("x",), (), id="its own"),
    pytest.param({}, {"personal_cookies": ["s"]}, ANALYTICS, ("s",), id="personal"),
    pytest.param(
        {"personal_cookies": []}, {"personal_cookies": ["s"]}, ANALYTICS, (), id="not here"
    ),
    pytest.param(WHO, {"personal_cookies": ["s"]}, ANALYTICS, (), id="identity says who asks"),
]


@pytest.mark.parametrize(("route", "site", "ignored", "personal"), APPLY)
def test_a_list_of_the_route_replaces_the_sites(
    route: dict[str, Any], site: dict[str, Any], ignored: tuple[str, ...], personal: tuple[str, ...]
) -> None:
    read = config(route, **site).routes[0]
    assert (read.ignore_cookies, read.personal_cookies) == (ignored, personal)


OTHERS_WIN = [{"cookies": ["_gat_choice"]}, {"personal_cookies": ["_pk_uid", "mp_*"]}]


@pytest.mark.parametrize("route", OTHERS_WIN)
def test_a_list_of_the_users_wins_over_the_default(route: dict[str, Any]) -> None:
    assert config(route).routes[0].ignore_cookies == ANALYTICS


MISTAKES: list[Any] = [
    pytest.param(
        {"cookies": ["lang", "sid"], "personal_cookies": ["s*d"]},
        {},
        'routes[0].cookies[1]: "sid" cannot be in the key: by "s*d" in `personal_cookies` a request'
        " with it bypasses the cache; take it out of one of the lists",
        id="keyed and personal",
    ),
    pytest.param(
        {"cookies": ["sid"]},
        {"personal_cookies": ["sid"]},
        'routes[0].cookies[0]: "sid" cannot be in the key: by "sid" in `personal_cookies` a request'
        " with it bypasses the cache; take it out of one of the lists",
        id="keyed, and personal for the site",
    ),
    pytest.param(
        {"cookies": ["theme"], "ignore_cookies": ["th*"]},
        {},
        'routes[0].cookies[0]: "theme" cannot be in the key: by "th*" in `ignore_cookies` it is'
        " removed; take it out of one of the lists",
        id="keyed and ignored",
    ),
    pytest.param(
        {"cookies": ["%74heme"]},
        {"ignore_cookies": ["theme"]},
        'routes[0].cookies[0]: "%74heme" cannot be in the key: by "theme" in `ignore_cookies` it is'
        " removed; take it out of one of the lists",
        id="keyed, and ignored for the site, in another spelling",
    ),
    pytest.param(
        {"ignore_cookies": ["se*"], "personal_cookies": ["sessionid"]},
        {},
        'routes[0].personal_cookies[0]: "sessionid" says who is asking, and "se*" in `ignore_cookies`'
        " covers it: make that pattern narrower",
        id="ignored and personal",
    ),
    pytest.param(
        {},
        {"ignore_cookies": ["se*"], "personal_cookies": ["session*"]},
        'personal_cookies[0]: "session*" says who is asking, and "se*" in `ignore_cookies` covers it:'
        " make that pattern narrower",
        id="both for the site: said once",
    ),
    pytest.param(
        {"ignore_cookies": ["se*"]},
        {"personal_cookies": ["sessionid"]},
        'routes[0].ignore_cookies: "sessionid" says who is asking, and "se*" in `ignore_cookies`'
        " covers it: make that pattern narrower",
        id="ignored here, personal for the site",
    ),
    pytest.param(
        {**WHO, "personal_cookies": ["sid"]},
        {},
        "routes[0].personal_cookies: cannot be used with `identity`, which says who is asking: leave"
        " one of them out",
        id="two ways to know",
    ),
    pytest.param(
        {"personal_cookies": ["*"]},
        {},
        'routes[0].personal_cookies[0]: "*" is every cookie: write `cookies = []` on a route that reads'
        " none",
        id="every cookie",
    ),
    pytest.param(
        {"cookies": ["th*"]},
        {},
        'routes[0].cookies[0]: "th*" must be an exact name: only `ignore_cookies` and'
        " `personal_cookies` allow *",
        id="a pattern in the key",
    ),
    pytest.param(
        {},
        {"ignore_cookies": ["a b"]},
        'ignore_cookies[0]: expected the name of a cookie, or a pattern such as "_ga*", got "a b"',
        id="no name",
    ),
]


@pytest.mark.parametrize(("route", "site", "said"), MISTAKES)
def test_unsafe_lists_are_mistakes_each_said_once(
    route: dict[str, Any], site: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(route, **site)
    assert [str(problem) for problem in caught.value.problems] == [said]
