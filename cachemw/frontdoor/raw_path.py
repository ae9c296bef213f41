"""The raw path below a mount, however the client spelt the mount."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

__all__ = ["split_mount"]

_IN_PATH = "/:@!$&'()*+,;=~"
"""What clients leave as it is in a path (RFC 3986 §3.3), besides letters, digits and `-._`."""


def split_mount(raw: bytes, mount: str, below: str) -> tuple[bytes, bytes]:
    """Return the mount as the client spelt it, and the raw path below it.

    `below` is the decoded path below the mount. The prefix of the raw path that decodes to the mount is
    the mount, in any spelling: `/%73hop` is `/shop`. The first part is empty for the usual spelling, and
    where the server has taken the mount off already.
    """
    if not mount:
        return b"", raw
    usual = quote(mount, safe=_IN_PATH, errors="surrogateescape").encode("ascii")
    end = (
        len(usual) if raw.startswith(usual) else _end(raw, mount.encode("utf-8", "surrogateescape"))
    )
    rest = raw[end:]
    if not end or (rest and not rest.startswith((b"/", b"%"))):
        return b"", raw
    path = below.encode("utf-8", "surrogateescape")
    if unquote_to_bytes(raw) == path != unquote_to_bytes(rest):
        return b"", raw
    # `/shop` and `/shop/` may have different answers: a redirect from one to the other.
    return (b"" if rest and raw[:end] == usual else raw[:end]), rest or b"/"


def _end(raw: bytes, mount: bytes) -> int:
    """Return the length of the prefix that decodes to the mount; 0 if there is none."""
    at = 0
    for byte in mount:
        piece = raw[at : at + 3]
        if len(piece) == 3 and piece[0] == 0x25 and unquote_to_bytes(piece) == bytes((byte,)):
            at += 3
        elif piece and piece[0] == byte:
            at += 1
        else:
            return 0
    return at
