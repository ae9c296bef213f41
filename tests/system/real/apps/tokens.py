"""Django's CSRF tokens: whether those in a page are of the secret that its client holds."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie

from tests.system.real.crawl import Answer, Pass

__all__ = ["COOKIE", "held", "secret_of", "token_faults", "tokens_in"]

COOKIE = "csrftoken"
LETTERS = string.ascii_letters + string.digits
TOKEN = re.compile(
    r"""csrfmiddlewaretoken["']\s+value=["'](\w+)["']"""  # {% csrf_token %}
    # The settings of a script, in JSON, in an attribute too.
    r"""|(?:csrf_?token|csrfmiddlewaretoken)(?:["']|&quot;)?\]?\s*[:=]\s*(?:["']|&quot;)(\w{32,})""",
    re.I,
)


def tokens_in(text: str) -> list[str]:
    """List the tokens of a page."""
    return ["".join(found) for found in TOKEN.findall(text)]


def secret_of(token: str) -> str:
    """Undo the mask of a token: its first half, taken away from its second letter by letter."""
    if len(token) == 32:
        return token
    pairs = zip(token[:32], token[32:], strict=True)
    return "".join(
        LETTERS[(LETTERS.index(letter) - LETTERS.index(mask)) % len(LETTERS)]
        for mask, letter in pairs
    )


def given(answer: Answer) -> str | None:
    """Tell the secret that an answer's cookie sets, if it sets one."""
    for line in answer.values(b"set-cookie"):
        cookie = SimpleCookie(line.decode("latin-1"))
        if COOKIE in cookie:
            return cookie[COOKIE].value
    return None


def held(start: Mapping[str, str], seen: Pass) -> Iterator[tuple[str, Answer, str | None]]:
    """Go through a visit: each target and answer, with the secret held once it has arrived."""
    secret = start.get(COOKIE)
    for target, answer in seen.items():
        secret = given(answer) or secret
        yield target, answer, secret


def token_faults(start: Mapping[str, str], seen: Pass) -> list[str]:
    """Name the pages whose forms would be refused, because a token is not the client's own."""
    return [
        f"{target}: a token of {'another secret' if secret else 'no secret'}"
        for target, answer, secret in held(start, seen)
        if any(secret_of(token) != (secret or "") for token in tokens_in(answer.text))
    ]
