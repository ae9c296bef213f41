"""A polite crawler: same origin, GET alone, few connections, a bounded number of pages.

A crawl is breadth first in the order in which links appear, so two crawls of the same site by the
same visitor ask for the same URLs in the same order, and their answers can be laid side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from .pages import links
from .servers import Server, plain_headers

__all__ = [
    "Answer",
    "Pass",
    "Visitor",
    "ask_together",
    "cookie_jar",
    "crawl",
    "revisit",
    "visit_together",
]

Admit = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as it came over the socket."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    seconds: float

    def values(self, name: bytes) -> list[bytes]:
        """List the values of a field, in order, one per line received."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: bytes) -> bytes:
        """Give a field's first value, or nothing."""
        return next(iter(self.values(name)), b"")

    def links(self, target: str) -> list[str]:
        """List the same-origin targets that this answer to `target` points to."""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        return links(target, fields, self.text)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def hit(self) -> bool:
        """Whether the cache says that it answered."""
        return b"; hit" in self.first(b"cache-status")


Pass = Mapping[str, Answer]
"""The answers of one crawl by target (path and query), in the order asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who crawls: where from, how far, with which cookies.

    A visitor who keeps cookies goes alone, link after link, because what the site sets on one page
    changes what it answers to the next.
    """

    name: str
    start: Sequence[str]
    limit: int
    cookies: Mapping[str, str] = field(default_factory=dict)
    keeps_cookies: bool = False
    connections: int = 3
    admit: Admit = lambda target: True
    headers: Mapping[str, str] = field(default_factory=dict)


async def crawl(server: Server, visitor: Visitor) -> Pass:
    """Follow links from the visitor's start pages until the limit is reached."""
    answers: dict[str, Answer] = {}
    queue = [target for target in dict.fromkeys(visitor.start) if visitor.admit(target)]
    seen = set(queue)
    async with open_client(server, visitor) as client:
        while queue and len(answers) < visitor.limit:
            wave, queue = queue[: visitor.limit - len(answers)], []
            fetched = await fetch_all(client, visitor, wave)
            answers.update(fetched)
            for target, answer in fetched.items():
                for link in answer.links(target):
                    if link not in seen and visitor.admit(link):
                        seen.add(link)
                        queue.append(link)
    return answers


async def revisit(server: Server, visitor: Visitor, targets: Iterable[str]) -> Pass:
    """Ask for the given targets, in order."""
    async with open_client(server, visitor) as client:
        return await fetch_all(client, visitor, list(targets))


async def visit_together(server: Server, visitors: Sequence[Visitor]) -> dict[str, Pass]:
    """Let all visitors crawl at the same time; give their passes by name."""
    passes = await asyncio.gather(*(crawl(server, visitor) for visitor in visitors))
    return {visitor.name: found for visitor, found in zip(visitors, passes, strict=True)}


async def ask_together(
    server: Server, target: str, cookies: Sequence[Mapping[str, str]]
) -> list[Answer]:
    """Ask for one target at once, over a connection for each set of cookies; keep the order."""
    visitors = [Visitor(name="one of many", start=(), limit=0, cookies=each) for each in cookies]
    passes = await asyncio.gather(*(revisit(server, visitor, [target]) for visitor in visitors))
    return [found[target] for found in passes]


def open_client(server: Server, visitor: Visitor) -> httpx.AsyncClient:
    """Open the connections of one visitor."""
    return httpx.AsyncClient(
        base_url=server.url,
        headers=plain_headers(visitor.headers),
        cookies=cookie_jar(visitor.cookies),
        timeout=60.0,
        verify=False,  # Nothing is encrypted here, and reading certificates takes long.
    )


def cookie_jar(cookies: Mapping[str, str]) -> httpx.Cookies:
    """Hold cookies as if the server had set them, so that it can replace them."""
    jar = httpx.Cookies()
    for name, value in cookies.items():
        jar.set(name, value, domain="127.0.0.1")
    return jar


async def fetch_all(
    client: httpx.AsyncClient, visitor: Visitor, targets: Sequence[str]
) -> dict[str, Answer]:
    """Fetch targets, a few at a time; the result keeps their order."""
    if visitor.keeps_cookies:
        return {target: await fetch(client, target) for target in targets}
    free = asyncio.Semaphore(visitor.connections)

    async def as_on_first_visit(target: str) -> Answer:
        async with free:
            client.cookies = httpx.Cookies(dict(visitor.cookies))
            return await fetch(client, target)

    answers = await asyncio.gather(*map(as_on_first_visit, targets))
    return dict(zip(targets, answers, strict=True))


async def fetch(client: httpx.AsyncClient, target: str) -> Answer:
    """Fetch one target and keep everything of its answer."""
    began = time.perf_counter()
    response = await client.get(target)
    return Answer(
        status=response.status_code,
        headers=tuple((name.lower(), value) for name, value in response.headers.raw),
        body=response.content,
        seconds=time.perf_counter() - began,
    )
