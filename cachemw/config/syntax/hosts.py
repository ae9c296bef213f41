"""Hosts and ports of URLs in a configuration, and the URLs of webhooks.

A URL may hold a secret anywhere: in a mistyped one, the password may stand where the host belongs. So
no message repeats any part of it.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

__all__ = ["is_host", "read_webhook"]

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
"""One label of a host name (RFC 1123 §2.1). Names of services in containers have underscores too."""
_LONGEST_NAME = 253
"""Characters of a host name (RFC 1035 §2.3.4)."""
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_WEBHOOK = re.compile(r"https?://[!-~]+")
_EXPECTED = "expected an http:// or https:// URL with a host, such as https://hooks.example.com/T/B"


def is_host(text: str) -> bool:
    """Tell whether a text is a host name, an IPv4 address, or an IPv6 address in brackets."""
    if text.startswith("["):
        return text.endswith("]") and _is_address(IPv6Address, text[1:-1])
    labels = text.removesuffix(".").split(".")
    if len(text) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    # No name ends in a number, so this is meant as an address (WHATWG URL, "ends in a number").
    return not labels[-1].isdigit() or _is_address(IPv4Address, text)


def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def read_webhook(value: object) -> str:
    """Check the URL of a webhook, and return it. Raises ValueError."""
    parts = _split(value)
    if parts is None:
        raise ValueError(f"{_EXPECTED}, got something else")
    if "@" in parts.netloc:  # urllib would take it for a part of the host
        raise ValueError(f"{_EXPECTED}, got one with a user name: it cannot be sent")
    host, port = _host_and_port(parts.netloc)
    if not is_host(host):
        raise ValueError(f"{_EXPECTED}, got one without a valid host")
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        raise ValueError("the port of a webhook's URL must be a number from 1 to 65535")
    return str(value)


def _split(value: object) -> SplitResult | None:
    if not isinstance(value, str) or not _WEBHOOK.fullmatch(value):
        return None
    try:
        return urlsplit(value)
    except ValueError:  # brackets that are no address
        return None


def _host_and_port(netloc: str) -> tuple[str, str | None]:
    """Split `host:port`; the port is None where there is no colon behind the host."""
    end = netloc.find("]") + 1 if netloc.startswith("[") else netloc.rfind(":")
    if end <= 0 and ":" not in netloc:
        return netloc, None
    host, rest = netloc[:end], netloc[end:]
    if not rest:
        return host, None
    return (host, rest[1:]) if rest.startswith(":") else (netloc, None)
