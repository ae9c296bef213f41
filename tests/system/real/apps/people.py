"""People who use a site: they keep their cookies, fill in its forms, and have something to hide."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx

from tests.system.real.crawl import Visitor, cookie_jar
from tests.system.real.pages import Form, forms
from tests.system.real.servers import Server

from .tokens import tokens_in

__all__ = ["CONSENT", "Browser", "Person", "browse", "has", "log_in", "stranger", "visitors"]

PAGES = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""What a browser says that it accepts."""

CONSENT = {"cookieconsent_status": "allow"}
"""The cookie of a banner, which no server reads."""


def analytics() -> dict[str, str]:
    """Give the cookies of analytics scripts, as they are for one browser."""
    number = uuid.uuid4().int
    return {"_ga": f"GA1.1.{number % 10**9}.{number // 10**30}", "_gid": f"GA1.1.{number % 10**8}"}


@dataclass(kw_only=True)
class Person:
    """Somebody who visits a site, with the cookies that they begin each visit with."""

    name: str
    start: Sequence[str]
    limit: int
    cookies: dict[str, str] = field(default_factory=dict)
    language: str = "en"
    secrets: list[str] = field(default_factory=list)
    """What this person is shown and nobody else: a name, an email, a price of their basket."""
    hidden: list[str] = field(default_factory=list)
    """What nobody else may be shown, and this person need not be: the key of a session."""

    is_stranger: bool = False
    """Whether this is one of those whose page views are counted: no session, no basket."""

    def keep(self, client: httpx.Client) -> None:
        """Begin each visit with the cookies that a client has got by now."""
        self.cookies |= {cookie.name: cookie.value or "" for cookie in client.cookies.jar}


def stranger(name: str, start: Sequence[str], limit: int, **options: str) -> Person:
    """Make a visitor without a session, with the cookies that every browser collects."""
    return Person(
        name=name,
        start=start,
        limit=limit,
        cookies=CONSENT | analytics(),
        is_stranger=True,
        **options,
    )


class Browser:
    """A browser of one person at one server; what it gets, it gets as that person."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def get(self, target: str) -> httpx.Response:
        """Show a page."""
        return self.client.get(target)

    def hit(self, target: str) -> httpx.Response:
        """Show a page until it comes from the cache, a few times at most."""
        for _ in range(5):
            page = self.get(target)
            if "; hit" in page.headers.get("cache-status", ""):
                break
        return page

    def submit(
        self,
        target: str,
        page: httpx.Response,
        chosen: Callable[[Form], bool],
        changes: Mapping[str, str],
        press: str | None = None,
    ) -> httpx.Response:
        """Send the first form of a page that is chosen, with these fields changed."""
        found = [form for form in forms(page.text) if chosen(form)]
        assert found, (target, page.status_code, [form.action for form in forms(page.text)])
        form = found[0]
        data = {**form.fields, **changes}
        if press is not None:
            data[press] = form.buttons[press]
        # The site's own name for itself leads to no server here: the path alone does.
        address = urlsplit(urljoin(target, form.action) if form.action else target)
        where = address.path + (f"?{address.query}" if address.query else "")
        return self.client.post(where, data=data, headers={"Referer": f"{page.url}"})

    def send(
        self, target: str, page: httpx.Response, fields: Mapping[str, str], **headers: str
    ) -> httpx.Response:
        """Send fields to an address, with the token of a page, as the page's scripts do."""
        tokens = tokens_in(page.text)
        assert tokens, (page.url, page.text[:300])
        sent = {"csrfmiddlewaretoken": tokens[0], **fields}
        referer = {"Referer": f"{page.url}"}
        return self.client.post(target, data=sent, headers={**referer, **headers})


@contextmanager
def browse(server: Server, person: Person | None = None, **headers: str) -> Iterator[Browser]:
    """Open a browser that has a person's cookies; it does not follow redirects."""
    language = {"Accept-Language": person.language if person else "en"}
    with server.client(Accept=PAGES, **language, **headers) as client:
        if person:
            client.cookies = cookie_jar(person.cookies)
        yield Browser(client)


def log_in(
    server: Server,
    person: Person,
    address: str,
    fields: Mapping[str, str],
    *,
    session: str = "sessionid",
    press: str | None = None,
) -> None:
    """Log somebody in through the site's own form, and let them keep the cookies that prove it."""
    with browse(server, person) as browser:
        page = browser.get(address)
        answer = browser.submit(address, page, has(*fields), fields, press)
        assert answer.status_code in (302, 303), answer.text
        person.keep(browser.client)
    assert session in person.cookies
    person.hidden.append(person.cookies[session])


def has(*names: str) -> Callable[[Form], bool]:
    """Choose a form by the names of its fields."""
    return lambda form: form.method == "post" and set(names) <= form.fields.keys()


def visitors(people: Sequence[Person], admit: Callable[[str], bool]) -> list[Visitor]:
    """Let people crawl, each with the cookies they have, and those they are given on the way."""
    return [
        Visitor(
            name=person.name,
            start=person.start,
            limit=person.limit,
            cookies=person.cookies,
            keeps_cookies=True,
            admit=admit,
            headers={"Accept": PAGES, "Accept-Language": person.language},
        )
        for person in people
    ]
