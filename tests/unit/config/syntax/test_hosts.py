"""Hosts and ports in URLs, and which URLs a webhook may have."""

from __future__ import annotations

import pytest

from cachemw.config import config_from
from cachemw.config.syntax.hosts import is_host, read_webhook
from cachemw.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "https://hooks.example.com/services/T/B/x?y#z",
        "http://h:1/",
        "http://h:65535/",
        "http://127.0.0.1:8080/x",
        "http://[::1]/x",
        "http://[::1]:8080/x",
        "http://chat_bot.internal./x",
        "http://h?x",
    ],
)
def test_a_url_with_a_host_is_accepted(url: str) -> None:
    assert read_webhook(url) == url


WITHOUT_HOST = [
    "http://",
    "http:///x",
    "https://?x",
    "http://#x",
    "http://:80/x",
    "http://user@/x",
    "http://user:secret@:80/x",
    "http://[::1/x",
    "http://::1/x",
    "http://[]/x",
    "http://[::1]x/x",
    "http://[v1.a]/x",
    "http://./x",
    "http://a..b/x",
    "http://-a/x",
    "http://a%20b/x",
    "http://a\\b/x",
    "http://1.2.3/x",
    "http://300.1.1.1/x",
    f"http://{'a' * 64}.b/x",
    f"http://{'a.' * 130}b/x",
]
UNSENDABLE = [
    "http://user:secret@h/x",
    "http://h h/x",
    " http://h/x",
    "http://h/x\n",
    "http://h/\x1b]0;x\x07",
    "http://h\x85/x",
    "http://h/\u202ex",
    "http://h:/x",
    "http://h:0/x",
    "http://h:65536/x",
    "http://h:+80/x",
    "http://h:8 0/x",
    "http://h:80:90/x",
    "http://h:\u0663/x",
    "ftp://h/x",
    "//h/x",
    "h",
    "",
    5,
]


@pytest.mark.parametrize("url", WITHOUT_HOST + UNSENDABLE, ids=repr)
def test_any_other_is_refused_and_not_shown(url: object) -> None:
    with pytest.raises(ConfigError) as refused:
        config_from({"rollout": {"webhook": url}})
    (problem,) = refused.value.problems
    assert problem.path == "rollout.webhook"
    assert "secret" not in problem.message
    for part in ("http:// or https:// URL with a host", "the port of a webhook's URL"):
        if problem.message.startswith(("expected an " + part, part)):
            return
    raise AssertionError(problem.message)


@pytest.mark.parametrize("text", ["", "[", "]", "[::1", "a b", "a:1", "a/b", "a@b"])
def test_no_delimiter_is_in_a_host(text: str) -> None:
    assert not is_host(text)
