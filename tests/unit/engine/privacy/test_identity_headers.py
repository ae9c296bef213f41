"""The tables of what says who is asking."""

from __future__ import annotations

import pytest

from cachemw.engine.privacy.bypass import CONDITIONAL, KEYED, RANGE, REMOVED
from cachemw.engine.privacy.identity_headers import (
    IDENTITY,
    OUTER_ENVIRON,
    OUTER_IDENTITY,
    VARIABLES,
    identity_names,
    is_nobody,
    keyed_names,
)

KNOWN = """
authorization proxy-authorization x-api-key api-key x-auth-token x-access-token x-session-token x-token
x-forwarded-user x-forwarded-email x-forwarded-preferred-username x-forwarded-groups x-forwarded-access-token
x-auth-request-user x-auth-request-email x-auth-request-groups x-auth-request-access-token
remote-user remote-groups remote-name remote-email x-remote-user x-webauth-user x-user x-user-id x-userinfo
x-authentik-username x-authentik-jwt x-vouch-user x-jwt-assertion
x-goog-iap-jwt-assertion x-goog-authenticated-user-email x-goog-authenticated-user-id
x-amzn-oidc-data x-amzn-oidc-identity x-amzn-oidc-accesstoken
x-ms-client-principal x-ms-client-principal-id x-ms-client-principal-name x-ms-client-principal-idp
cf-access-jwt-assertion cf-access-authenticated-user-email cf-access-client-id cf-access-client-secret
tailscale-user-login tailscale-user-name x-pomerium-jwt-assertion x-pomerium-claim-email
x-consumer-id x-consumer-username x-consumer-custom-id x-credential-identifier x-authenticated-userid
x-ssl-client-s-dn x-ssl-client-cert ssl-client-cert x-client-cert x-forwarded-client-cert client-cert
client-cert-chain x-arr-clientcert
"""
"""Spelled out again: a header that is lost from the table shares what was made for one person."""


def test_the_table_has_the_headers_of_the_known_proxies() -> None:
    assert {name.encode() for name in KNOWN.split()} <= IDENTITY.keys()


def test_no_header_is_in_two_tables() -> None:
    others = KEYED | REMOVED | CONDITIONAL | RANGE | {b"cookie", b"host", b"content-length"}
    assert others.isdisjoint(IDENTITY)
    assert all(name == name.lower() and b"_" not in name for name in IDENTITY)


def test_no_client_can_send_what_the_server_says() -> None:
    outer = {*VARIABLES.values(), *OUTER_ENVIRON.values(), *OUTER_IDENTITY}
    assert all(name.startswith(b":") for name in outer)


@pytest.mark.parametrize(
    ("name", "value", "nobody"),
    [
        (b"x-ssl-client-verify", b"NONE", True),
        (b"x-ssl-client-verify", b" none ", True),
        (b"x-remote-user", b"(null)", True),
        (b"x-user", b"", True),
        (b"x-user", b"NONE, ann", False),
        (b"x-user", b"nobody", False),
        (b"authorization", b"", False),
    ],
)
def test_some_values_say_that_nobody_is_known(name: bytes, value: bytes, nobody: bool) -> None:
    assert is_nobody(name, value) is nobody


@pytest.mark.parametrize(
    ("vary", "names"),
    [
        ("accept-language", {b"accept-language"}),
        ("x-api-key", {b"x-api-key"}),
        ("remote-user", {b"remote-user", b":remote-user"}),
        ("REMOTE_USER", {b"remote-user", b":remote-user"}),
        ("ssl_client_s_dn", {b"ssl-client-s-dn", b":ssl-client-s-dn"}),
        ("client-cert", {b"client-cert", b":client-cert"}),
        ("x_other", {b"x_other"}),
    ],
)
def test_a_name_in_vary_stands_for_the_header_and_the_variable(
    vary: str, names: set[bytes]
) -> None:
    assert keyed_names([vary]) == names


def test_the_configuration_adds_names() -> None:
    assert identity_names(["X-Staff"]) == identity_names() | {b"x-staff"}
    assert {*IDENTITY, *VARIABLES.values()} < identity_names()
