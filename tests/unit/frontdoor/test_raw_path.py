"""The raw path below a mount: the prefix that decodes to the mount is the mount."""

from __future__ import annotations

import pytest

from cachemw.frontdoor.raw_path import split_mount


@pytest.mark.parametrize(
    ("raw", "mount", "below", "expected"),
    [
        (b"/p/1", "", "/p/1", (b"", b"/p/1")),
        (b"/shop/p/1", "/shop", "/p/1", (b"", b"/p/1")),
        (b"/%73hop/p/1", "/shop", "/p/1", (b"/%73hop", b"/p/1")),
        (b"/shop/%70", "/shop", "/p", (b"", b"/%70")),
        (b"/@acme/p", "/@acme", "/p", (b"", b"/p")),
        (b"/%40acme/p", "/@acme", "/p", (b"/%40acme", b"/p")),
        (b"/a+b/p", "/a+b", "/p", (b"", b"/p")),
        (b"/a%2bb/p", "/a+b", "/p", (b"/a%2bb", b"/p")),
        (b"/caf%C3%A9/p", "/caf\xe9", "/p", (b"", b"/p")),
        (b"/caf%c3%a9/p", "/caf\xe9", "/p", (b"/caf%c3%a9", b"/p")),
        (b"/100%25/p", "/100%", "/p", (b"", b"/p")),
        (b"/100%/p", "/100%", "/p", (b"/100%", b"/p")),
        (b"/p/1", "/shop", "/p/1", (b"", b"/p/1")),
        (b"/shop/p", "/shop", "/shop/p", (b"", b"/shop/p")),
        (b"/shop/shop/p", "/shop", "/shop/p", (b"", b"/shop/p")),
        (b"/shopping/p", "/shop", "/shopping/p", (b"", b"/shopping/p")),
        (b"/shop", "/shop", "/", (b"/shop", b"/")),
        (b"/shop/", "/shop", "/", (b"", b"/")),
        (b"/shop/%ff", "/shop", "/\ufffd", (b"", b"/%ff")),
        (b"/shop%2Fp", "/shop", "/p", (b"", b"%2Fp")),
        (b"/sh", "/shop", "/sh", (b"", b"/sh")),
    ],
)
def test_the_mount_is_what_decodes_to_it(
    raw: bytes, mount: str, below: str, expected: tuple[bytes, bytes]
) -> None:
    assert split_mount(raw, mount, below) == expected
