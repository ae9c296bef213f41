"""What is true of every site behind the cache; the test class of a site inherits it.

The same people visit the site four times: twice without the cache, then twice with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.system.real import report
from tests.system.real.compare import (
    VolatileField,
    VolatileText,
    differences,
    without_cookies,
)
from tests.system.real.crawl import Pass, revisit, visit_together
from tests.system.real.servers import Server

from .catalogue import APPLICATIONS
from .measures import Share, SiteRow, refusals, share, summary
from .people import Person, visitors
from .tokens import COOKIE, held, token_faults

__all__ = ["Crowd", "SiteChecks", "Visits", "report_of", "visit"]


@dataclass(kw_only=True)
class Crowd:
    """A served site, who visits it, and what differs there from answer to answer."""

    name: str
    off: Server
    on: Server
    people: Sequence[Person]
    admit: Callable[[str], bool]
    fields: Sequence[VolatileField]
    texts: Sequence[VolatileText] = ()
    dropped: frozenset[str] = frozenset({COOKIE})
    """Cookies that an answer of the cache need not set again."""
    least: float = 0.0
    """Percent of strangers' page views that must be hits."""


@dataclass(kw_only=True)
class Visits:
    """What each person, by name, saw: twice without the cache, then twice with it."""

    crowd: Crowd
    off: dict[str, Pass] = field(default_factory=dict)
    again: dict[str, Pass] = field(default_factory=dict)
    cold: dict[str, Pass] = field(default_factory=dict)
    warm: dict[str, Pass] = field(default_factory=dict)

    @property
    def with_cache(self) -> list[tuple[Person, Pass]]:
        """Both visits of each person to the site with the cache."""
        return [
            (person, passes[person.name])
            for passes in (self.cold, self.warm)
            for person in self.crowd.people
        ]

    @property
    def strangers(self) -> Share:
        """What the cache did for strangers on their second visit."""
        names = [person.name for person in self.crowd.people if person.is_stranger]
        return share({name: self.warm[name] for name in names})


def visit(crowd: Crowd) -> Visits:
    """Let everybody visit the site at once, four times."""
    everybody = visitors(crowd.people, crowd.admit)
    off, again, cold, warm = (
        asyncio.run(visit_together(server, everybody))
        for server in (crowd.off, crowd.off, crowd.on, crowd.on)
    )
    return Visits(crowd=crowd, off=off, again=again, cold=cold, warm=warm)


def ask_at_once(crowd: Crowd, target: str, order: int) -> dict[str, Pass]:
    """Let everybody ask for one page, so that those who may share one answer wait for it."""

    async def ask() -> list[Pass]:
        everybody = visitors(crowd.people, crowd.admit)[::order]
        return await asyncio.gather(*(revisit(crowd.on, each, [target]) for each in everybody))

    names = [person.name for person in crowd.people][::order]
    return dict(zip(names, asyncio.run(ask()), strict=True))


def leaks(people: Sequence[Person], seen: Mapping[str, Pass]) -> list[str]:
    """Name every answer to one person in which something of another stands."""
    return [
        f"{reader.name} got {secret!r} of {owner.name} at {target}"
        for reader in people
        for target, answer in seen[reader.name].items()
        for owner in people
        if owner is not reader
        for secret in (*owner.secrets, *owner.hidden)
        if secret in answer.text + repr(answer.headers)
    ]


def report_of(faults: Sequence[str]) -> str:
    """Show the first faults of many."""
    return "\n".join([f"{len(faults)} faults", *(fault[:500] for fault in faults[:8])])


class SiteChecks:
    """Tests of one site; `visits` is a fixture of the class that inherits them."""

    def test_two_visits_without_the_cache_differ_in_nothing_undeclared(
        self, visits: Visits
    ) -> None:
        found = self.compared(visits, visits.again)
        assert not found, report_of(found)

    @pytest.mark.parametrize("round_", ["cold", "warm"])
    def test_every_answer_is_the_one_without_the_cache(self, visits: Visits, round_: str) -> None:
        found = self.compared(visits, getattr(visits, round_))
        assert not found, report_of(found)

    def test_everybody_sees_what_is_theirs(self, visits: Visits) -> None:
        """Else the next test would find nothing because there was nothing."""
        for person in visits.crowd.people:
            seen = "".join(
                answer.text + repr(answer.headers) for answer in visits.warm[person.name].values()
            )
            missing = [secret for secret in person.secrets if secret not in seen]
            assert not missing, (person.name, missing)

    @pytest.mark.parametrize("round_", ["cold", "warm"])
    def test_nothing_of_one_person_reaches_another(self, visits: Visits, round_: str) -> None:
        found = leaks(visits.crowd.people, getattr(visits, round_))
        assert not found, report_of(found)

    def test_each_token_is_of_its_clients_own_secret(self, visits: Visits) -> None:
        faults = [
            f"{person.name} {fault}"
            for person, seen in visits.with_cache
            for fault in token_faults(person.cookies, seen)
        ]
        assert not faults, report_of(faults)

    def test_no_secret_is_held_by_two_people(self, visits: Visits) -> None:
        for passes in (visits.cold, visits.warm):
            owners: dict[str, str] = {}
            for person in visits.crowd.people:
                for target, _, secret in held(person.cookies, passes[person.name]):
                    if secret is not None:
                        assert owners.setdefault(secret, person.name) == person.name, target

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_page_that_all_ask_for_at_once_is_for_each_of_them(
        self, visits: Visits, order: int
    ) -> None:
        crowd = visits.crowd
        target = crowd.people[0].start[0]
        for number in range(3):
            new = f"{target}{'&' if '?' in target else '?'}nobody-asked={order * (number + 1)}"
            seen = ask_at_once(crowd, new, order)
            found = leaks(crowd.people, seen)
            for person in crowd.people:
                found += token_faults(person.cookies, seen[person.name])
            assert not found, report_of(found)

    def test_enough_of_what_strangers_see_is_answered_by_the_cache(self, visits: Visits) -> None:
        found = visits.strangers
        print(f"\n{visits.crowd.name}: {found.hits} of {found.pages} ({found.percent:.0f} %)")
        print(f"not answered: {summary(found.missed.values())}")
        for page, reason in found.missed.items():
            print(f"  {page}: {reason}")
        print(f"not stored: {'; '.join(refusals(visits.crowd.on.log))}")
        assert found.percent >= visits.crowd.least
        application = APPLICATIONS[visits.crowd.name]
        compared = sum(len(seen) for _, seen in visits.with_cache)
        row = SiteRow(
            title=application.title,
            version=application.version,
            compared=compared,
            share=found,
        )
        report.record(report.SITES, row)

    @staticmethod
    def compared(visits: Visits, passes: Mapping[str, Pass]) -> list[str]:
        """Compare everybody's visits with those that they made first."""
        crowd = visits.crowd
        return [
            f"{person.name} {fault}"
            for person in crowd.people
            for fault in differences(
                without_cookies(visits.off[person.name], crowd.dropped),
                without_cookies(passes[person.name], crowd.dropped),
                crowd.fields,
                crowd.texts,
            )
        ]
