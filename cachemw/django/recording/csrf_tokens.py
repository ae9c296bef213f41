"""Tokens of forms: pages with `{% csrf_token %}` are stored with the tokens cut out.

Django protects a form by a secret that is in a cookie of each client, and a token in the page: the secret,
masked anew for each page. Every token comes from one function of Django, whoever asks for it (the template
tag, `get_token()`, Jinja's context). It is followed here: while a response is recorded, each token that it
returns is noted as a piece for one client, and filled at each hit with a token of that client's own secret.
A client without the cookie gets a new secret, and the cookie.

I1: the application makes the page without the client's cookie, so with a secret that it has just made up. A
token that is not cut out, because the application has changed it, is of use to nobody.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.http import HttpResponse, parse_cookie
from django.middleware import csrf

from cachemw.django.recording.early_reads import early_recording
from cachemw.engine.model.holes import Filling, Piece
from cachemw.http.messages import Request
from cachemw.recording.context import Recording, open_recording

__all__ = ["HOLE", "can_follow", "fill", "follow_tokens"]

HOLE = ":csrf"
_TOKEN, _SECRET, _COOKIE = "token", "secret", "cookie"

_django: Any = csrf
_NEEDED = (
    *("_mask_cipher_secret", "_unmask_cipher_token", "_check_token_format", "_get_new_csrf_string"),
    *("CSRF_ALLOWED_CHARS", "CSRF_SECRET_LENGTH", "InvalidTokenFormat"),
)
_ensuring: ContextVar[bool] = ContextVar("cachemw_ensures_csrf_cookie", default=False)
"""Whether a token is asked for that nobody looks at: `ensure_csrf_cookie` wants its cookie only."""


def can_follow() -> bool:
    """Tell whether this Django makes tokens as those do that are known (4.2 to 6.0)."""
    known = all(hasattr(_django, name) for name in _NEEDED)
    return known and len(_django.CSRF_ALLOWED_CHARS) == _CHARACTERS


@functools.cache
def follow_tokens() -> None:
    """Follow every token that Django makes, once per process."""
    _django._mask_cipher_secret = _followed(_django._mask_cipher_secret)
    ensure = getattr(_django, "_EnsureCsrfCookie", None)
    from django.views.decorators import csrf as decorators

    ensure = getattr(decorators, "_EnsureCsrfCookie", ensure)
    if ensure is not None:
        ensure.process_view = _ensures(ensure.process_view)


def _followed(mask: Callable[[str], str]) -> Callable[[str], str]:
    @functools.wraps(mask)
    def masked(secret: str) -> str:
        token = mask(secret)
        if (early := early_recording()) is not None:  # it may reach the page by way of the request
            early.lose_piece(token.encode())
        recording = open_recording()
        return token if recording is None else _note(recording, secret, token, mask)

    return masked


def _ensures(process_view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(process_view)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _set(_ensuring):
            return process_view(*args, **kwargs)

    return wrapped


@contextmanager
def _set(flag: ContextVar[bool]) -> Iterator[None]:
    token = flag.set(True)
    try:
        yield
    finally:
        flag.reset(token)


def _note(recording: Recording, secret: str, token: str, mask: Callable[[str], str]) -> str:
    """Note a token as a piece of the response; return what is to go into the page."""
    own = None if recording.client is None else _secret_of(recording.client[1])
    if (own == secret and not recording.in_shadow) or settings.CSRF_USE_SESSIONS:
        recording.lose_piece(token.encode())
        return token
    cookie = settings.CSRF_COOKIE_NAME.encode()
    if _ensuring.get():
        noted = recording.add_piece(Piece(text=b"", name=HOLE, arguments=(_COOKIE,), cookie=cookie))
    else:
        arguments = (_TOKEN, str(recording.count_pieces()))
        piece = Piece(text=token.encode(), name=HOLE, arguments=arguments, cookie=cookie)
        noted = recording.add_piece(piece) and recording.add_piece(
            Piece(text=secret.encode(), name=HOLE, arguments=(_SECRET,), required=False)
        )
    # Too late to be cut out, as in a stream whose head is out: the page is this client's alone.
    return token if noted or own is None else mask(own)


def _secret_of(request: Request) -> str | None:
    """Return the secret in the client's cookie, as `CsrfViewMiddleware` reads it; None: there is none."""
    lines = request.headers.values(b"cookie")
    if not lines:
        return None
    value = parse_cookie(b"; ".join(lines).decode("utf-8", "replace")).get(
        settings.CSRF_COOKIE_NAME
    )
    if value is None:
        return None
    try:
        _django._check_token_format(value)
    except _django.InvalidTokenFormat:
        return None
    plain = len(value) == _django.CSRF_SECRET_LENGTH
    secret: str = value if plain else _django._unmask_cipher_token(value)
    return secret


def fill(request: Request) -> Filling:
    """Return the tokens of one client; with a new secret, and its cookie, if it has none."""
    known = _secret_of(request)
    secret: str = _django._get_new_csrf_string() if known is None else known

    def text(kind: str, *_: str) -> bytes:
        if kind == _TOKEN:
            return _masked(secret)
        return secret.encode("ascii") if kind == _SECRET else b""

    headers = ((b"set-cookie", _cookie(secret)),) if known is None else ()
    return Filling(text=text, headers=headers, state=secret.encode("ascii"))


def _masked(secret: str) -> bytes:
    """Return a token of a secret, as Django's `_mask_cipher_secret` does, in a tenth of its time.

    A hit asks for one in each page. Random bytes are reduced to Django's 62 characters without a bias.
    """
    chars, sums = _tables()
    mask = b""
    while len(mask) < len(secret):
        mask += os.urandom(2 * len(secret)).translate(chars, _BIASED)
    mask = mask[: len(secret)]
    return mask + bytes(map(sums.__getitem__, zip(secret.encode("ascii"), mask, strict=True)))


_CHARACTERS = 62
_BIASED = bytes(range(256 // _CHARACTERS * _CHARACTERS, 256))


@functools.cache
def _tables() -> tuple[bytes, dict[tuple[int, int], int]]:
    """Return the character for each byte, and the sum of each two characters."""
    chars = _django.CSRF_ALLOWED_CHARS.encode("ascii")
    size = len(chars)
    sums = {(x, y): chars[(i + j) % size] for i, x in enumerate(chars) for j, y in enumerate(chars)}
    return bytes(chars[each % size] for each in range(256)), sums


def _cookie(secret: str) -> bytes:
    """Return the Set-Cookie of `CsrfViewMiddleware` for a secret."""
    response = HttpResponse()
    response.set_cookie(
        settings.CSRF_COOKIE_NAME,
        secret,
        max_age=settings.CSRF_COOKIE_AGE,
        domain=settings.CSRF_COOKIE_DOMAIN,
        path=settings.CSRF_COOKIE_PATH,
        secure=settings.CSRF_COOKIE_SECURE,
        httponly=settings.CSRF_COOKIE_HTTPONLY,
        samesite=settings.CSRF_COOKIE_SAMESITE,
    )
    return response.cookies[settings.CSRF_COOKIE_NAME].OutputString().encode("latin-1")
