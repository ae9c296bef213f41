"""What a result of the suite means: the rules of its own `determineTestResult`, in Python.

A test counts only if all tests that it depends on pass, and a test whose preparation failed says
nothing about the cache. `required` tests pass or fail, `optimal` ones pass or fall short, and
`check` ones answer a question with yes or no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Case", "Result", "Verdict", "cases_from", "judged", "message"]

Result = bool | list[str]
"""True, or the kind of error ("Setup", "Assertion" or a fault of the client's) and its message."""


class Verdict(StrEnum):
    """What is said of one test and one cache."""

    PASS = "pass"
    FAIL = "fail"
    SHORT = "not optimal"
    YES = "yes"
    NO = "no"
    SETUP = "setup failed"
    RETRY = "retried"
    DEPENDENCY = "depends on a failure"
    UNTESTED = "untested"

    @property
    def passes(self) -> bool:
        """Whether tests that depend on this one count."""
        return self in (Verdict.PASS, Verdict.YES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test of the suite."""

    id: str
    name: str
    suite: str
    kind: str
    depends_on: tuple[str, ...] = ()
    browser_only: bool = False


def cases_from(described: Iterable[Mapping[str, object]]) -> dict[str, Case]:
    """Read what `suite.mjs describe` gives, in the suite's order."""
    cases = {}
    for item in described:
        case = Case(**{**item, "depends_on": tuple(item["depends_on"])})  # type: ignore[arg-type]
        cases[case.id] = case
    return cases


def judged(cases: Mapping[str, Case], results: Mapping[str, Result]) -> dict[str, Verdict]:
    """Judge every test of one run."""
    return {name: _verdict(cases, results, name) for name in cases}


def _verdict(cases: Mapping[str, Case], results: Mapping[str, Result], name: str) -> Verdict:
    case, result = cases[name], results.get(name)
    if result is None:
        return Verdict.UNTESTED
    if not all(_verdict(cases, results, other).passes for other in case.depends_on):
        return Verdict.DEPENDENCY
    if result is True:
        return Verdict.YES if case.kind == "check" else Verdict.PASS
    if isinstance(result, list) and result[0] == "Setup":
        return Verdict.RETRY if result[1] == "retry" else Verdict.SETUP
    return {"required": Verdict.FAIL, "optimal": Verdict.SHORT, "check": Verdict.NO}[case.kind]


def message(result: Result | None) -> str:
    """Give what the suite said of a failure."""
    return ": ".join(result) if isinstance(result, list) else "" if result else "no result"
