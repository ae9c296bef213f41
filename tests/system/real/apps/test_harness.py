"""The checks themselves: what they must notice, and what they must not."""

from __future__ import annotations

import pytest

from tests.system.real.crawl import Answer
from tests.system.real.pages import forms

from .checks import leaks
from .environments import NotInstallable, run
from .measures import share, why
from .people import Person
from .tokens import LETTERS, secret_of, token_faults, tokens_in

SECRET, OTHER = "a" * 16 + "B" * 16, "z" * 32


def masked(secret: str, mask: str = "0aZ9" * 8) -> str:
    """Mask a secret as Django does, which adds the mask letter by letter."""
    pairs = zip(secret, mask, strict=True)
    letters = (LETTERS[(LETTERS.index(a) + LETTERS.index(b)) % len(LETTERS)] for a, b in pairs)
    return mask + "".join(letters)


def answer(body: str = "", *headers: tuple[bytes, bytes], status: int = 200) -> Answer:
    return Answer(status=status, headers=headers, body=body.encode(), seconds=0.0)


def cookie(secret: str) -> tuple[bytes, bytes]:
    return b"set-cookie", f"csrftoken={secret}; Path=/".encode()


@pytest.mark.parametrize(
    "page",
    [
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">',
        """<input type='hidden' name='csrfmiddlewaretoken' value='{}'>""",
        '<script type="application/json">{{"csrfToken": "{}"}}</script>',
        'request.headers["X-CSRFTOKEN"] = "{}";',
        'data-post="{{&quot;csrfmiddlewaretoken&quot;: &quot;{}&quot;}}"',
    ],
    ids=["form", "form with single quotes", "JSON", "script", "attribute"],
)
def test_a_token_is_found_wherever_a_page_has_it(page: str) -> None:
    assert [secret_of(token) for token in tokens_in(page.format(masked(SECRET)))] == [SECRET]


FORM = '<input name="csrfmiddlewaretoken" value="{}">'


def test_a_token_fits_the_cookie_of_its_answer_or_of_one_before() -> None:
    page = FORM.format(masked(SECRET))
    assert token_faults({}, {"/": answer(page, cookie(SECRET)), "/b": answer(page)}) == []
    assert token_faults({"csrftoken": SECRET}, {"/": answer(page)}) == []


@pytest.mark.parametrize(
    ("start", "headers"),
    [({}, []), ({"csrftoken": OTHER}, []), ({"csrftoken": SECRET}, [cookie(OTHER)])],
    ids=["no cookie", "another cookie", "replaced"],
)
def test_a_token_that_does_not_fit_is_a_fault(
    start: dict[str, str], headers: list[tuple[bytes, bytes]]
) -> None:
    page = FORM.format(masked(SECRET))
    assert len(token_faults(start, {"/": answer(page, *headers)})) == 1


@pytest.mark.parametrize(
    "got",
    [answer("hello alice@a.test"), answer("", (b"set-cookie", b"sessionid=1234567"))],
    ids=["in the body", "in a header"],
)
def test_what_is_anothers_is_a_leak_and_what_is_ones_own_is_none(got: Answer) -> None:
    alice = Person(name="alice", start=[], limit=0, secrets=["alice@a.test"], hidden=["1234567"])
    bob = Person(name="bob", start=[], limit=0)
    assert leaks([alice, bob], {"alice": {"/": got}, "bob": {"/": answer()}}) == []
    assert len(leaks([alice, bob], {"alice": {"/": answer()}, "bob": {"/": got}})) == 1


HTML = (b"content-type", b"text/html; charset=utf-8")


def test_only_pages_count_and_those_that_are_no_hits_have_a_reason() -> None:
    seen = {
        "/hit": answer("", HTML, (b"cache-status", b"cachemw; hit; ttl=5; detail=memory")),
        "/miss": answer("", HTML, (b"cache-status", b"cachemw; fwd=uri-miss"), cookie(SECRET)),
        "/elsewhere": answer("", HTML, status=302),
        "/picture": answer("", (b"content-type", b"image/png")),
    }
    found = share({"one": seen})
    assert (found.pages, found.hits) == (2, 1)
    assert found.missed == {"one /miss": "`uri-miss`, sets csrftoken"}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(b"cache-status", b"cachemw; fwd=bypass; detail=cookie")], "`cookie`"),
        ([(b"cache-status", b"cachemw; fwd=uri-miss; stored")], "`uri-miss`"),
        ([(b"cache-control", b"max-age=0, no-store")], "says `no-store`"),
        ([], "`not seen by the cache`"),
    ],
)
def test_the_plainest_reason_is_given(headers: list[tuple[bytes, bytes]], reason: str) -> None:
    assert why(answer("", *headers)) == reason


def test_a_form_has_the_buttons_that_can_be_pressed() -> None:
    page = """<form action="/a" method="POST"><input name="t" value="1">
    <button name="save" value="yes">x</button><input type="submit" name="drop" value="now"></form>"""
    [form] = forms(page)
    assert (form.action, form.method, form.fields) == ("/a", "post", {"t": "1"})
    assert form.buttons == {"save": "yes", "drop": "now"}


def test_an_installer_that_fails_says_why() -> None:
    with pytest.raises(NotInstallable, match="no such package"):
        run(["sh", "-c", "echo no such package >&2; exit 1"])
