"""A route's three lists of cookies: which ones apply, and what is said where two name one cookie."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.config import Config, config_from
from cachemw.errors import ConfigError

WHO = {"identity": "shop.auth:who"}


def config(route: dict[str, Any], **site: Any) -> Config:
    return config_from({"routes": [{"path": "/p", "ttl": "60s", **route}], **site})


APPLY: list[Any] = [
    pytest.param({}, {}, (), None, id="left out: a framework may say"),
    pytest.param({}, {"ignore_cookies": ["_a*"]}, ("_a*",), None, id="the site's"),
    pytest.param({"ignore_cookies": []}, {"ignore_cookies": ["y"]}, (), None, id="ignores none"),
    pytest.param({"ignore_cookies": ["x"]}, {"ignore_cookies": ["y"]}, ("x",), None, id="its own"),
    pytest.param({}, {"personal_cookies": ["s"]}, (), ("s",), id="personal"),
    pytest.param({}, {"personal_cookies": []}, (), (), id="the site says that none is"),
    pytest.param({"personal_cookies": []}, {"personal_cookies": ["s"]}, (), (), id="not here"),
    pytest.param(WHO, {"personal_cookies": ["s"]}, (), (), id="identity says who asks"),
    pytest.param(WHO, {}, (), (), id="identity says who asks, also where nothing else is said"),
]


@pytest.mark.parametrize(("route", "site", "ignored", "personal"), APPLY)
def test_a_list_of_the_route_replaces_the_sites(
    route: dict[str, Any],
    site: dict[str, Any],
    ignored: tuple[str, ...],
    personal: tuple[str, ...] | None,
) -> None:
    read = config(route, **site).routes[0]
    assert (read.ignore_cookies, read.personal_cookies) == (ignored, personal)


DROPPED: list[Any] = [
    pytest.param({}, {}, (), id="none"),
    pytest.param({}, {"drop_set_cookie": ["lang"]}, ("lang",), id="the site's"),
    pytest.param({"drop_set_cookie": []}, {"drop_set_cookie": ["lang"]}, (), id="not here"),
    pytest.param({"drop_set_cookie": ["a"]}, {"drop_set_cookie": ["b"]}, ("a",), id="its own"),
    pytest.param({"drop_set_cookie": ["a"], "cookies": ["a"]}, {}, ("a",), id="in the key too"),
    pytest.param({"drop_set_cookie": ["a"], "ignore_cookies": ["a"]}, {}, ("a",), id="ignored too"),
]


@pytest.mark.parametrize(("route", "site", "dropped"), DROPPED)
def test_a_route_drops_what_it_says_or_what_the_site_says(
    route: dict[str, Any], site: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    assert config(route, **site).routes[0].drop_set_cookie == dropped


OF_ONE_CLIENT = [
    *("sessionid", "session", "SESSION", "csrftoken", "XSRF-TOKEN", "laravel_session", "PHPSESSID"),
    *("connect.sid", "remember_token", "remember_web_59ba36", "JSESSIONID", "ASPSESSIONIDABCD"),
    *(".AspNetCore.Identity.Application", "__Host-session", "__Secure-next-auth.session-token"),
    *("_shop_session", "_csrf", "_xsrf", "access_token", "sid", "auth", "jwt", "messages"),
    *("wordpress_logged_in_1", "s%65ssion", "__RequestVerificationToken", "sess_id"),
]
HARMLESS = [
    *("django_language", "oscar_history", "lang", "theme", "currency", "assessment", "authors"),
    *("possession", "cookie_notice", "seen_banner", "variant"),
]


@pytest.mark.parametrize("name", OF_ONE_CLIENT)
@pytest.mark.parametrize("where", ["route", "site"])
def test_a_session_or_a_token_is_never_dropped(name: str, where: str) -> None:
    lists = {"drop_set_cookie": ["lang", name]}
    with pytest.raises(ConfigError) as caught:
        config(lists) if where == "route" else config({}, **lists)
    at = "routes[0].drop_set_cookie[1]" if where == "route" else "drop_set_cookie[1]"
    assert [str(problem) for problem in caught.value.problems] == [
        f'{at}: "{name}" is a session, a token or a log-in by its name: an answer that sets it is made for'
        " one client and must not be kept; take it out of the list"
    ]


@pytest.mark.parametrize("name", HARMLESS)
def test_other_names_may_be(name: str) -> None:
    assert config({"drop_set_cookie": [name]}).routes[0].drop_set_cookie == (name,)


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
        {"drop_set_cookie": ["basket"], "personal_cookies": ["bask*"]},
        {},
        'routes[0].drop_set_cookie: "basket" says who is asking (by "bask*" in `personal_cookies`), so an'
        " answer that sets it is for one client: take it out of one of the lists",
        id="dropped and personal",
    ),
    pytest.param(
        {"drop_set_cookie": ["basket"]},
        {"personal_cookies": ["basket"]},
        'routes[0].drop_set_cookie: "basket" says who is asking (by "basket" in `personal_cookies`), so an'
        " answer that sets it is for one client: take it out of one of the lists",
        id="dropped here, personal for the site",
    ),
    pytest.param(
        {"personal_cookies": ["basket"]},
        {"drop_set_cookie": ["basket"]},
        'routes[0].personal_cookies: "basket" says who is asking (by "basket" in `personal_cookies`), so'
        " an answer that sets it is for one client: take it out of one of the lists",
        id="personal here, dropped for the site",
    ),
    pytest.param(
        {},
        {"drop_set_cookie": ["basket"], "personal_cookies": ["basket"]},
        'drop_set_cookie: "basket" says who is asking (by "basket" in `personal_cookies`), so an answer'
        " that sets it is for one client: take it out of one of the lists",
        id="both for the site, once",
    ),
    pytest.param(
        {"drop_set_cookie": ["la*"]},
        {},
        'routes[0].drop_set_cookie[0]: "la*" must be an exact name: only `ignore_cookies` and'
        " `personal_cookies` allow *",
        id="a pattern to drop",
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
