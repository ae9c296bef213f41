"""The comparison and the crawler themselves: what they must notice, and what they must not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from .compare import COMMON_FIELDS, VolatileText, differences
from .crawl import Answer
from .pages import form_fields, links

TEXTS = (VolatileText(re.compile(rb"(took )[\d.]+ms"), "a timing"),)
ANSWER = Answer(
    status=200,
    headers=((b"date", b"Mon"), (b"vary", b"Cookie"), (b"vary", b"Accept"), (b"x-a", b"1")),
    body=b"<p>took 1.5ms</p>",
    seconds=0.0,
)


def found(other: Answer) -> list[str]:
    return differences({"/": ANSWER}, {"/": other}, COMMON_FIELDS, TEXTS)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(ANSWER, headers=((b"date", b"Tue"), *ANSWER.headers[1:])), id="date"),
        pytest.param(replace(ANSWER, body=b"<p>took 22.75ms</p>"), id="a declared timing"),
        pytest.param(
            replace(ANSWER, headers=((b"age", b"3"), *ANSWER.headers, (b"etag", b'"ours"'))),
            id="fields of the cache",
        ),
    ],
)
def test_declared_differences_are_not_reported(other: Answer) -> None:
    assert found(other) == []


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        pytest.param(replace(ANSWER, status=304), "status 200 became 304", id="status"),
        pytest.param(replace(ANSWER, body=ANSWER.body + b" "), "body differs", id="one byte more"),
        pytest.param(replace(ANSWER, body=b"<p>took</p>"), "body differs", id="other text"),
        pytest.param(replace(ANSWER, headers=ANSWER.headers[1:]), "lost", id="date lost"),
        pytest.param(
            replace(ANSWER, headers=(*ANSWER.headers[:1], *ANSWER.headers[2:])),
            "lost",
            id="one of two lines of a field lost",
        ),
        pytest.param(
            replace(ANSWER, headers=ANSWER.headers[::-1]), "another order", id="order of fields"
        ),
        pytest.param(
            replace(ANSWER, headers=(*ANSWER.headers, (b"content-length", b"3"))),
            "Content-Length",
            id="wrong length",
        ),
    ],
)
def test_other_differences_are_reported(other: Answer, fault: str) -> None:
    assert any(fault in line for line in found(other)), found(other)


def test_an_etag_of_the_application_must_stay() -> None:
    with_etag = replace(ANSWER, headers=(*ANSWER.headers, (b"etag", b'"theirs"')))
    assert differences({"/": with_etag}, {"/": ANSWER}, COMMON_FIELDS, TEXTS)


def test_a_kept_answer_may_have_a_length_instead_of_chunks() -> None:
    chunked = replace(ANSWER, headers=((b"transfer-encoding", b"chunked"),))
    length = str(len(ANSWER.body)).encode()
    kept = replace(ANSWER, headers=((b"content-length", length),))
    assert differences({"/": chunked}, {"/": kept}, COMMON_FIELDS, TEXTS) == []
    assert differences({"/": kept}, {"/": chunked}, COMMON_FIELDS, ()) != []


def test_missing_and_added_pages_are_reported() -> None:
    assert differences({"/": ANSWER}, {"/b": ANSWER}, COMMON_FIELDS, TEXTS)


def test_links_are_kept_to_the_origin() -> None:
    page = '<a href="b?c=1#d">x</a><img src="/i.png"><a href="http://elsewhere.test/">y</a>'
    assert links("/a/", {"content-type": "text/html"}, page) == ["/a/b?c=1", "/i.png"]
    assert links("/a", {"content-type": "text/plain", "location": "/login"}, page) == ["/login"]


def test_a_form_is_read_as_a_browser_sends_it() -> None:
    page = """
    <form id="other"><input name="no" value="1"></form>
    <form id="f"><input name="t" value="a&amp;b"><input type="checkbox" name="off">
    <input type="radio" name="r" value="2" checked><textarea name="x">
first
second</textarea><select name="s"><option value="1">1<option value="2" selected>2</select>
    <input type="submit" name="go"></form>"""
    fields = {"t": "a&b", "r": "2", "x": "first\nsecond", "s": "2"}
    assert form_fields(page, "f") == fields
