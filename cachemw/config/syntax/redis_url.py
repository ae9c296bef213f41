"""Redis URLs: which are accepted, what they mean, and how one is shown without its password.

    redis://[[user]:password@]host[:port][/db]                      one server
    unix://[[user]:password@]/path/to/socket[?db=0]                 one server, through a socket
    redis+sentinel://[[user]:password@]host[:port],…/service[/db]   the master that the Sentinels name
    redis+cluster://[[user]:password@]host[:port],…                 a Cluster, by some of its nodes

`rediss` instead of `redis` means TLS. Options after `?` go to redis-py's connection: which of them work is
in `checks/url_options`. Error messages never repeat any part of the URL: in a mistyped one, the password
may be anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from cachemw.config.syntax.hosts import is_host

__all__ = [
    "SCHEMES",
    "SENTINEL_OPTIONS",
    "Address",
    "Deployment",
    "deployment",
    "read_url",
    "redacted",
]

SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)

Address = tuple[str, int]
"""Host and port."""

_EXPECTED = (
    "expected a URL that starts with redis://, rediss:// or unix://, "
    "or with redis+sentinel:// or redis+cluster://"
)
_NO_HOST = "the host of the Redis URL is no host name and no address"
_ESCAPE = "; percent-encode special characters in the user name and password"
_DATABASE = re.compile(r"/?[0-9]{0,9}", re.ASCII)
_MASTER = re.compile(r"/([A-Za-z0-9._-]+)(?:/([0-9]{0,9}))?", re.ASCII)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:,]*)(?::([^:,]*))?")
_QUERY_SECRET = re.compile(r"(?i)((?:^|&)[^&=]*(?:password|username)[^&=]*=)[^&]*")
_PORT = 6379
_SENTINEL_PORT = 26379
SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
"""The options of a URL of Sentinels that go to the Sentinels, with their names there."""


@dataclass(frozen=True, slots=True, repr=False)
class Deployment:
    """The servers that a URL names."""

    mode: Literal["single", "sentinel", "cluster"]
    url: str
    """The URL of one server for redis-py. If there are several, its host is a placeholder."""
    seeds: tuple[Address, ...] = ()
    """The addresses of the Sentinels, or of the known nodes of a Cluster."""
    service: str = ""
    """The name that the Sentinels use for the master."""
    sentinel_options: tuple[tuple[str, str], ...] = ()
    """User name and password for the Sentinels themselves."""


def read_url(value: object) -> str:
    """Check a Redis URL, and return it. Raises ValueError with a message that repeats no part of it."""
    parts = _split(value)
    if parts is None or parts.scheme not in SCHEMES:
        raise ValueError(_EXPECTED)
    mistake = _socket_mistake(parts) if parts.scheme == "unix" else _address_mistake(parts)
    if not mistake and parts.fragment:
        mistake = "a Redis URL has no # part: leave it out" + _ESCAPE
    if mistake:
        raise ValueError(mistake)
    return str(value)


def deployment(url: str) -> Deployment:
    """Return the servers that a checked URL names."""
    parts = urlsplit(url)
    scheme, _, mode = parts.scheme.partition("+")
    if not mode:
        return Deployment("single", url)
    user, at, hosts = parts.netloc.rpartition("@")
    path, query, of_sentinels, service = "", parse_qsl(parts.query), [], ""
    if mode == "sentinel":
        found = _MASTER.fullmatch(parts.path)
        service, path = (found[1], f"/{found[2]}" if found[2] else "") if found else ("", "")
        of_sentinels = [(SENTINEL_OPTIONS[n], v) for n, v in query if n in SENTINEL_OPTIONS]
        query = [(name, value) for name, value in query if name not in SENTINEL_OPTIONS]
    one = f"{scheme}://{user}{at}node{path}" + (f"?{urlencode(query)}" if query else "")
    return Deployment(
        "sentinel" if mode == "sentinel" else "cluster",
        one,
        seeds=tuple(_addresses(hosts, _SENTINEL_PORT if mode == "sentinel" else _PORT)),
        service=service,
        sentinel_options=tuple(of_sentinels),
    )


def redacted(url: str) -> str:
    """Return a checked URL with `***` instead of every password.

    A user name without a password is hidden too: often it is a password in the wrong place.
    """
    parts = urlsplit(url)
    credentials, at, address = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    hidden = f"{user}:***" if colon else "***" if user else ""
    shown = f"{hidden}{at}{address}"
    query = _QUERY_SECRET.sub(r"\g<1>***", parts.query)
    return f"{parts.scheme}://{shown}{parts.path}{'?' if query else ''}{query}"


def _split(value: object) -> SplitResult | None:
    if not isinstance(value, str) or re.search(r"[\x00-\x20\x7f]", value):
        return None
    try:
        return urlsplit(value)
    except ValueError:
        return None


def _addresses(hosts: str, port: int) -> list[Address]:
    """Parse `host:port,host:port`. Raises ValueError for anything else."""
    addresses = []
    for each in hosts.split(","):
        found = _HOST.fullmatch(each)
        if found is None or (found[2] is not None and not found[2].isdecimal()):
            raise ValueError
        number = int(found[2]) if found[2] else port
        if not 0 < number < 65536:
            raise ValueError
        addresses.append((found[1].strip("[]"), number))
    return addresses


def _address_mistake(parts: SplitResult) -> str:
    """Return what is wrong with the hosts or the path of a URL, or an empty text."""
    _, _, mode = parts.scheme.partition("+")
    hosts = parts.netloc.rpartition("@")[2]
    try:
        addresses = _addresses(hosts, _PORT)
    except ValueError:
        return "the port of a Redis URL must be a number from 1 to 65535" + _ESCAPE
    if not all(host for host, _ in addresses):
        return "the Redis URL names no host: write one, such as redis://localhost:6379/0"
    if not all(is_host(f"[{host}]" if ":" in host else host) for host, _ in addresses):
        return _NO_HOST + _ESCAPE
    if not mode and len(addresses) > 1:
        return "several hosts need redis+sentinel://…/service or redis+cluster://"
    if mode == "sentinel" and not _MASTER.fullmatch(parts.path):
        return "a redis+sentinel:// URL ends with the master's name: redis+sentinel://host:26379/mymaster"
    if mode == "cluster" and parts.path not in ("", "/", "/0"):
        return "a Redis Cluster has only database 0: leave the path out"
    if not mode and not _DATABASE.fullmatch(parts.path):
        return "the path of a Redis URL must be a database number, such as /0" + _ESCAPE
    return ""


def _socket_mistake(parts: SplitResult) -> str:
    """Return what is wrong with a unix:// URL, or an empty text."""
    if parts.netloc and not parts.netloc.endswith("@"):
        return "a unix:// URL needs three slashes: unix:///run/redis.sock" + _ESCAPE
    if not parts.path.startswith("/") or parts.path == "/":
        return "the unix:// URL names no socket: write one, such as unix:///run/redis.sock"
    return ""
