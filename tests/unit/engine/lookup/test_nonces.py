"""Nonces: which count, and that the policies come back with other ones."""

from __future__ import annotations

import pytest

from cachemw.engine.lookup.nonces import nonce_pieces, with_nonces, without_nonces
from cachemw.engine.model.holes import Filling
from cachemw.http.fields import Fields
from cachemw.http.messages import Head

CSP, REPORT = b"content-security-policy", b"content-security-policy-report-only"
A, B = b"a" * 16, b"b" * 22


def head(*pairs: tuple[bytes, bytes]) -> Head:
    return Head(status=200, headers=Fields(list(pairs)))


@pytest.mark.parametrize(
    ("policies", "nonces"),
    [
        ([b"script-src 'nonce-%s'" % A], [A]),
        ([b"script-src 'nonce-%s'" % A[1:]], []),
        ([b"script-src 'nonce-%s' 'nonce-%s'" % (A, A[1:])], []),
        ([b"script-src 'nonce-%s'; style-src 'NONCE-%s'" % (A, B)], [A, B]),
        ([b"script-src 'nonce-%s'" % B, b"style-src 'nonce-%s'" % B], [B]),
        ([b"script-src 'nonce-%s=='" % A], [A + b"=="]),
        ([b"script-src 'nonce-%s==='" % A], []),
        ([b"script-src 'nonce-%s{'" % A], []),
        ([b"script-src 'self'"], []),
        ([], []),
    ],
)
def test_which_nonces_count(policies: list[bytes], nonces: list[bytes]) -> None:
    pieces = nonce_pieces(head(*((CSP, each) for each in policies)))
    assert [piece.text for piece in pieces] == nonces
    assert [piece.arguments for piece in pieces] == [(str(n),) for n in range(len(nonces))]
    assert not any(piece.required for piece in pieces)


def test_policies_come_back_with_other_nonces_and_nothing_else_is_touched() -> None:
    pairs = [
        (CSP, b"script-src 'nonce-%s'7 'nonce-%s'; x" % (A, B)),
        (REPORT, b"style-src 'nonce-%s'" % B),
        (b"x-policy", b"'nonce-%s' {cachemw-nonce-0}" % A),
    ]
    pieces = nonce_pieces(head(*pairs))
    kept = without_nonces(Fields(pairs), pieces)
    assert list(kept.pairs) == [
        (CSP, b"script-src {cachemw-nonce-0}7 {cachemw-nonce-1}; x"),
        (REPORT, b"style-src {cachemw-nonce-1}"),
        pairs[2],
    ]
    again = with_nonces(kept.pairs, Filling(text=lambda index: b"new-%s" % index.encode()))
    assert again == [
        (CSP, b"script-src 'nonce-new-0'7 'nonce-new-1'; x"),
        (REPORT, b"style-src 'nonce-new-1'"),
        pairs[2],
    ]


def test_without_nonces_headers_stay_the_same_object() -> None:
    headers = Fields([(CSP, b"script-src 'nonce-%s'" % A)])
    assert without_nonces(headers, ()) is headers
