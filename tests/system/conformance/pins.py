"""The verdicts that the suite gave when it was last pinned, and what has changed since.

`expected.json` holds one line for each test, in the suite's order, for each cache that was run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .judge import Case, Result, Verdict, message

__all__ = ["EXPECTED", "Pin", "changes", "differing", "read", "updated", "write"]

EXPECTED = Path(__file__).with_name("expected.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One test, and what is known of each cache."""

    kind: str
    name: str
    needs: tuple[str, ...] = ()
    verdicts: Mapping[str, Verdict]


def read(path: Path = EXPECTED) -> dict[str, Pin]:
    """Give the pins by test, in the suite's order; none where nothing was pinned yet."""
    if not path.exists():
        return {}
    pins = {}
    for name, line in json.loads(path.read_text(encoding="utf-8")).items():
        verdicts = {cache: Verdict(text) for cache, text in line.pop("verdicts").items()}
        pins[name] = Pin(**{**line, "needs": tuple(line["needs"])}, verdicts=verdicts)
    return pins


def write(pins: Mapping[str, Pin], path: Path = EXPECTED) -> None:
    """Write the pins, one line each."""
    lines = [
        f"{json.dumps(name)}: "
        + json.dumps(
            {"kind": pin.kind, "name": pin.name, "needs": pin.needs, "verdicts": pin.verdicts},
            ensure_ascii=False,
        )
        for name, pin in pins.items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def updated(
    pins: Mapping[str, Pin], cases: Mapping[str, Case], cache: str, verdicts: Mapping[str, Verdict]
) -> dict[str, Pin]:
    """Pin what a run gave for one cache, and leave the other caches as they are."""
    new = {}
    for name, case in cases.items():
        plain = Pin(kind=case.kind, name=case.name, needs=case.depends_on, verdicts={})
        known = pins[name].verdicts if name in pins else {}
        new[name] = replace(plain, verdicts={**known, cache: verdicts[name]})
    return new


def differing(
    pins: Mapping[str, Pin], cache: str, verdicts: Mapping[str, Verdict]
) -> dict[str, Verdict | None]:
    """Give what was pinned of the tests that passed and do not, or did not and do.

    Why a test does not pass may change without notice: it hangs on what it depends on.
    """
    found = {}
    for name, verdict in verdicts.items():
        pinned = pins[name].verdicts.get(cache) if name in pins else None
        if pinned is None or pinned.passes != verdict.passes:
            found[name] = pinned
    return found


def changes(
    pins: Mapping[str, Pin],
    cache: str,
    verdicts: Mapping[str, Verdict],
    results: Mapping[str, Result],
) -> list[str]:
    """Say what has changed since the pinning, a line for each test."""
    return [
        f"{name}: pinned as {str(pinned)!r}, now {str(verdicts[name])!r}"
        + (f" ({said})" if (said := message(results.get(name))) else "")
        for name, pinned in differing(pins, cache, verdicts).items()
    ]
