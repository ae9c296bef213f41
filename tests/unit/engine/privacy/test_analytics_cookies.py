"""The table of cookies that are removed everywhere: documented, and none that a server reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cachemw.config.checks.cookies import must_be_set
from cachemw.config.syntax.cookie_names import COOKIE_PATTERNS, compile_patterns
from cachemw.engine.privacy.analytics_cookies import ANALYTICS, BY_VENDOR

PRIVACY = Path(__file__).parents[4] / "docs" / "privacy.md"
ANALYTICAL = compile_patterns(ANALYTICS)


def test_the_page_has_the_table() -> None:
    text = PRIVACY.read_text("utf-8").partition("### Cookies of analytics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|`]+) \| (`.*`) \|$", text, re.MULTILINE)
    found = {vendor: tuple(re.findall("`([^`]+)`", names)) for vendor, names in rows}
    assert found == BY_VENDOR


def test_its_names_are_patterns_each_once() -> None:
    assert COOKIE_PATTERNS(ANALYTICS) == ANALYTICS
    assert len(set(ANALYTICS)) == len(ANALYTICS)


BROWSERS = [
    "_ga",
    "_ga_4L8YFV6NKZ",
    "_gid",
    "_gat_gtag_UA_12_1",
    "_gcl_au",
    "_fbp",
    "_uetvid",
    "_clck",
    "_hjSessionUser_1234",
    "_pk_id.1.1fff",
    "mtm_consent_removed",
    "__hstc",
    "AMP_a2dbce0e18",
    "AMP_MKTG_a2dbce0e18",
    "li_fat_id",
    "__cf_bm",
    "AWSALBCORS",
]


@pytest.mark.parametrize("name", BROWSERS)
def test_what_browsers_have_is_in_it(name: str) -> None:
    assert ANALYTICAL.fullmatch(name)


SERVERS = [
    *(
        "sessionid",
        "session",
        "csrftoken",
        "messages",
        "django_language",
        "connect.sid",
        "PHPSESSID",
    ),
    *("oscar_open_basket", "oscar_history", "theme", "cookie_consent", "CookieConsent"),
    *("OptanonConsent", "cookieyes-consent", "optimizelyEndUserId", "ph_key_posthog", "wagtail"),
]


@pytest.mark.parametrize("name", SERVERS)
def test_what_servers_read_is_not(name: str) -> None:
    assert not ANALYTICAL.fullmatch(name)


@pytest.mark.parametrize("name", ANALYTICS)
def test_none_looks_like_a_session(name: str) -> None:
    assert not must_be_set(name)
