"""The judge decides as the suite's own `determineTestResult` does. Needs no node."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import pins
from .judge import Case, Result, Verdict, cases_from, judged, message

WRONG: Result = ["Assertion", "Response 2 comes from cache"]
UNREADY: Result = ["Setup", "Response 1 status is 500, not 200"]


def case(name: str, kind: str = "required", *depends_on: str) -> Case:
    return Case(id=name, name=name, suite="s", kind=kind, depends_on=depends_on)


@pytest.mark.parametrize(
    ("kind", "result", "verdict"),
    [
        ("required", True, Verdict.PASS),
        ("optimal", True, Verdict.PASS),
        ("check", True, Verdict.YES),
        ("required", WRONG, Verdict.FAIL),
        ("optimal", WRONG, Verdict.SHORT),
        ("check", WRONG, Verdict.NO),
        ("required", UNREADY, Verdict.SETUP),
        ("check", UNREADY, Verdict.SETUP),
        ("required", ["Setup", "retry"], Verdict.RETRY),
        ("required", ["FetchError", "socket hang up"], Verdict.FAIL),
    ],
)
def test_a_result_is_judged_by_its_kind(kind: str, result: Result, verdict: Verdict) -> None:
    assert judged({"a": case("a", kind)}, {"a": result}) == {"a": verdict}


def test_a_test_without_a_result_is_untested() -> None:
    assert judged({"a": case("a")}, {}) == {"a": Verdict.UNTESTED}


def test_a_pass_counts_only_if_all_that_it_depends_on_passes() -> None:
    cases = {
        "asked": case("asked", "check"),
        "base": case("base", "optimal", "asked"),
        "top": case("top", "required", "base"),
    }
    passed: dict[str, Result] = dict.fromkeys(cases, True)
    assert judged(cases, passed)["top"] is Verdict.PASS
    verdicts = judged(cases, {**passed, "asked": WRONG})
    assert list(verdicts.values()) == [Verdict.NO, Verdict.DEPENDENCY, Verdict.DEPENDENCY]


def test_what_a_test_depends_on_is_told_before_its_own_failure() -> None:
    cases = {"base": case("base"), "top": case("top", "required", "base")}
    assert judged(cases, {"base": WRONG, "top": UNREADY})["top"] is Verdict.DEPENDENCY


def test_cases_are_read_as_the_suite_describes_them() -> None:
    described = {
        "id": "a",
        "name": "A cache",
        "suite": "s",
        "kind": "check",
        "depends_on": ["b"],
        "browser_only": True,
    }
    assert cases_from([described])["a"] == Case(
        id="a", name="A cache", suite="s", kind="check", depends_on=("b",), browser_only=True
    )


def test_a_message_says_what_the_suite_said() -> None:
    assert message(WRONG) == "Assertion: Response 2 comes from cache"
    assert message(True) == ""
    assert message(None) == "no result"


def test_pins_tell_a_pass_that_is_gone_and_a_failure_that_is_mended(tmp_path: Path) -> None:
    cases = {name: case(name) for name in ("kept", "gone", "mended", "failing")}
    before: dict[str, Result] = {"kept": True, "gone": True, "mended": WRONG, "failing": WRONG}
    after: dict[str, Result] = {"kept": True, "gone": WRONG, "mended": True, "failing": UNREADY}
    file = tmp_path / "expected.json"
    pins.write(pins.updated({}, cases, "asgi", judged(cases, before)), file)
    changed = pins.changes(pins.read(file), "asgi", judged(cases, after), after)
    assert changed == [
        "gone: pinned as 'pass', now 'fail' (Assertion: Response 2 comes from cache)",
        "mended: pinned as 'fail', now 'pass'",
    ]


def test_pinning_one_cache_leaves_the_others(tmp_path: Path) -> None:
    cases = {"a": case("a")}
    first = pins.updated({}, cases, "asgi", {"a": Verdict.PASS})
    both = pins.updated(first, cases, "wsgi", {"a": Verdict.FAIL})
    assert both["a"].verdicts == {"asgi": Verdict.PASS, "wsgi": Verdict.FAIL}
    pins.write(both, tmp_path / "e")
    assert pins.read(tmp_path / "e") == both
