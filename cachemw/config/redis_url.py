"""Redis URLs: what is accepted, and how one is shown without its password.

Messages never repeat the URL, nor any part of it: a mistyped one may hold the password anywhere.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

__all__ = ["SCHEMES", "read_url", "redacted"]

SCHEMES = ("redis", "rediss", "unix")

_EXPECTED = "expected a URL that starts with redis://, rediss:// or unix://"
_ESCAPE = "; percent-encode special characters in the user name and password"
_DATABASE = re.compile(r"/?[0-9]{0,9}", re.ASCII)
_QUERY_SECRET = re.compile(r"(?i)((?:^|&)[^&=]*(?:password|username)[^&=]*=)[^&]*")


def read_url(value: object) -> str:
    """Check a Redis URL. Raises ValueError with a message that holds nothing of it."""
    parts = _split(value)
    if parts is None or parts.scheme not in SCHEMES:
        raise ValueError(_EXPECTED)
    mistake = _socket_mistake(parts) if parts.scheme == "unix" else _address_mistake(parts)
    if not mistake and parts.fragment:
        mistake = "a Redis URL has no # part" + _ESCAPE
    if mistake:
        raise ValueError(mistake)
    return str(value)


def redacted(url: str) -> str:
    """Give a checked URL with every password in it blanked."""
    parts = urlsplit(url)
    credentials, at, address = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{user}{':***' if colon else ''}{at}{address}"
    query = _QUERY_SECRET.sub(r"\g<1>***", parts.query)
    return f"{parts.scheme}://{shown}{parts.path}{'?' if query else ''}{query}"


def _split(value: object) -> SplitResult | None:
    if not isinstance(value, str) or re.search(r"[\x00-\x20\x7f]", value):
        return None
    try:
        return urlsplit(value)
    except ValueError:
        return None


def _address_mistake(parts: SplitResult) -> str:
    try:
        port_is_wrong = parts.port == 0
    except ValueError:
        port_is_wrong = True
    if port_is_wrong:
        return "the port of a Redis URL must be a number from 1 to 65535" + _ESCAPE
    if not parts.hostname:
        return "the Redis URL names no host, such as redis://localhost:6379/0"
    if not _DATABASE.fullmatch(parts.path):
        return "the path of a Redis URL must be a database number, such as /0" + _ESCAPE
    return ""


def _socket_mistake(parts: SplitResult) -> str:
    if parts.netloc and not parts.netloc.endswith("@"):
        return "a unix:// URL has three slashes before the socket's path" + _ESCAPE
    if not parts.path.startswith("/") or parts.path == "/":
        return "the unix:// URL names no socket, such as unix:///run/redis.sock"
    return ""
