"""The tables of `docs/conformance.md`, made of the pinned verdicts and the reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import reasons as why
from .judge import Verdict
from .pins import Pin
from .reasons import Reason
from .servers import DOORS

__all__ = ["DOCUMENT", "rewritten"]

DOCUMENT = Path(__file__).parents[3] / "docs" / "conformance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CACHES = {
    "asgi": "cachemw.asgi, uvicorn",
    "wsgi": "cachemw.wsgi, gunicorn",
    "nginx": "nginx",
    "varnish": "Varnish",
}
WORDS = {"inapplicable": "Does not apply. ", "chosen": "On purpose. ", "unfinished": "Not yet. "}


def rewritten(document: str, pins: Mapping[str, Pin], reasons: Sequence[Reason]) -> str:
    """Put the tables between their markers in place of those that are there."""
    required, optimal = (_missed(pins, reasons, kind) for kind in ("required", "optimal"))
    tables = "\n".join([BEGIN, *_totals(pins, reasons), "", *required, "", *optimal, END])
    return re.sub(f"{BEGIN}.*?{END}", lambda _: tables, document, flags=re.S)


def _totals(pins: Mapping[str, Pin], reasons: Sequence[Reason]) -> Iterator[str]:
    yield "| cache | required | optimal | questions answered with yes |"
    yield "|---|---|---|---|"
    for cache, title in CACHES.items():
        if not any(cache in pin.verdicts for pin in pins.values()):
            continue
        cells = []
        for kind in ("required", "optimal", "check"):
            counted = [
                pin.verdicts[cache]
                for name, pin in pins.items()
                if pin.kind == kind
                and pin.verdicts[cache] is not Verdict.UNTESTED
                and not why.inapplicable(reasons, name, cache)
            ]
            cells.append(f"{sum(verdict.passes for verdict in counted)} of {len(counted)}")
        yield f"| {title} | {' | '.join(cells)} |"


def _missed(pins: Mapping[str, Pin], reasons: Sequence[Reason], kind: str) -> Iterator[str]:
    yield f"| {kind} test | what it asks | ASGI | WSGI | why |"
    yield "|---|---|---|---|---|"
    for name, pin in pins.items():
        verdicts = [pin.verdicts[door] for door in DOORS]
        passed = all(verdict.passes for verdict in verdicts)
        left_out = any(why.inapplicable(reasons, name, door) for door in DOORS)
        if pin.kind == kind and (left_out or not passed):
            cells = [_verdict(reasons, name, door, pin.verdicts[door]) for door in DOORS]
            yield f"| `{name}` | {_plain(pin.name)} | {' | '.join(cells)} | {_why(pins, reasons, name)} |"


def _verdict(reasons: Sequence[Reason], name: str, door: str, verdict: Verdict) -> str:
    return "-" if why.inapplicable(reasons, name, door) else str(verdict)


def _why(pins: Mapping[str, Pin], reasons: Sequence[Reason], name: str) -> str:
    """Give all reasons there are for a test; that of what it depends on where it has none itself."""
    said = dict.fromkeys(
        WORDS[reason.what] + reason.why
        for door in DOORS
        if (reason := why.why(reasons, name, door)) is not None
    )
    if said:
        return " ".join(said)
    pin = pins[name]
    missed = [
        f"`{other}`"
        for other in pin.needs
        if not all(pins[other].verdicts[door].passes for door in DOORS)
    ]
    return f"Depends on {', '.join(missed)}." if missed else ""


def _plain(name: str) -> str:
    """Leave out the links and the uprights, which would end a cell."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", name).replace("|", "\\|")
