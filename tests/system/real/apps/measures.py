"""How many page views of strangers the cache answers, and what refuses the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.real.crawl import Answer, Pass

__all__ = ["Share", "SiteRow", "refusals", "share", "summary"]

NOT_STORED = re.compile(r"event=not_stored route=(\S+) reason=(\S+)")
FORWARDED = re.compile(rb"fwd=([\w-]+)(?:.*?detail=([\w-]+))?")


@dataclass(kw_only=True)
class Share:
    """Page views of strangers, and those that the cache answered."""

    pages: int = 0
    hits: int = 0
    missed: dict[str, str] = field(default_factory=dict)
    """For what the cache did not answer: what the answer says of it."""

    @property
    def percent(self) -> float:
        """The part that the cache answered."""
        return 100 * self.hits / max(1, self.pages)


def is_page(answer: Answer) -> bool:
    """Tell whether an answer is a page that somebody looks at, or what an API says."""
    kind = answer.first(b"content-type").partition(b";")[0].strip()
    return answer.status == 200 and kind in (b"text/html", b"application/json")


def share(passes: Mapping[str, Pass]) -> Share:
    """Count the page views of these visits, of several people."""
    found = Share()
    for name, seen in passes.items():
        for target, answer in seen.items():
            if is_page(answer):
                found.pages += 1
                found.hits += answer.hit
                if not answer.hit:
                    found.missed[f"{name} {target}"] = why(answer)
    return found


def why(answer: Answer) -> str:
    """Say what an answer that is no hit shows of the reason, the plainest first."""
    control = answer.first(b"cache-control")
    said = FORWARDED.search(answer.first(b"cache-status"))
    word = (said[2] or said[1]).decode() if said else "not seen by the cache"
    named = next((each for each in (b"no-store", b"private", b"no-cache") if each in control), b"")
    if named:
        return f"says `{named.decode()}`"
    if word not in ("uri-miss", "vary-miss", "hit-for-miss"):
        return f"`{word}`"
    cookies = [line.partition(b"=")[0].decode("latin-1") for line in answer.values(b"set-cookie")]
    return f"`{word}`, sets {', '.join(cookies)}" if cookies else f"`{word}`"


def refusals(log: Path) -> list[str]:
    """List why answers were not stored, by route, as the server's log has it."""
    found = set(NOT_STORED.findall(log.read_text(errors="replace")))
    return [f"{route}: {reason}" for route, reason in sorted(found)]


def summary(missed: Iterable[str]) -> str:
    """Count equal reasons."""
    return "; ".join(f"{reason} ({count})" for reason, count in Counter(missed).most_common())


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    """What came of one application: a row of `docs/real-sites.md`."""

    title: str
    version: str
    compared: int
    share: Share

    @property
    def cells(self) -> Sequence[str]:
        """What stands in the columns."""
        return (
            self.title,
            self.version,
            f"{self.compared}",
            f"{self.share.pages}",
            f"{self.share.hits}",
            f"{self.share.percent:.0f} %",
            summary(self.share.missed.values()) or "none",
        )
