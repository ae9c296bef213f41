"""What is pinned, the reasons and `docs/conformance.md` agree. Needs no node."""

from __future__ import annotations

import pytest

from . import page, pins, reasons
from .judge import Verdict
from .pins import Pin
from .reasons import Reason
from .servers import DOORS


@pytest.mark.parametrize("door", DOORS)
def test_every_required_test_that_is_failed_has_a_reason(door: str) -> None:
    pinned = pins.read()
    verdicts = {name: pin.verdicts[door] for name, pin in pinned.items()}
    assert reasons.unexplained(pinned, reasons.read(), door, verdicts) == []


def test_no_reason_is_listed_for_nothing() -> None:
    assert reasons.idle(pins.read(), reasons.read()) == []


def test_the_page_shows_what_is_pinned() -> None:
    text = page.DOCUMENT.read_text(encoding="utf-8")
    assert page.rewritten(text, pins.read(), reasons.read()) == text


def pin(kind: str = "required", *needs: str, **verdicts: Verdict) -> Pin:
    return Pin(kind=kind, name="[A](https://a.test) cache", needs=needs, verdicts=verdicts)


PASS, FAIL = Verdict.PASS, Verdict.FAIL
PINNED = {
    "good": pin(asgi=PASS, wsgi=PASS),
    "bad": pin(asgi=FAIL, wsgi=PASS),
    "after": pin("required", "bad", asgi=Verdict.DEPENDENCY, wsgi=PASS),
    "odd": pin(asgi=PASS, wsgi=FAIL),
}


def test_what_does_not_apply_is_listed_and_not_counted() -> None:
    reason = Reason(what="inapplicable", on="wsgi", why="No.", tests=("o*",))
    lines = page.rewritten(f"{page.BEGIN}\n{page.END}", PINNED, [reason]).splitlines()
    assert "| cachemw.asgi, uvicorn | 2 of 4 | 0 of 0 | 0 of 0 |" in lines
    assert "| cachemw.wsgi, gunicorn | 3 of 3 | 0 of 0 | 0 of 0 |" in lines
    assert "| `odd` | A cache | pass | - | Does not apply. No. |" in lines
    assert "| `after` | A cache | depends on a failure | pass | Depends on `bad`. |" in lines


def test_a_required_failure_without_a_reason_is_found() -> None:
    verdicts = {name: pinned.verdicts["asgi"] for name, pinned in PINNED.items()}
    assert reasons.unexplained(PINNED, [], "asgi", verdicts) == ["bad"]
    reason = Reason(what="chosen", why="So.", tests=("bad",))
    assert reasons.unexplained(PINNED, [reason], "asgi", verdicts) == []


def test_a_reason_for_a_test_that_passes_or_is_none_is_found() -> None:
    reason = Reason(what="unfinished", why="So.", tests=("good", "bad", "no-such-*"))
    assert reasons.idle(PINNED, [reason]) == ["good", "no-such-*"]
