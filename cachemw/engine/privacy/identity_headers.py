"""Tables of what says who is asking: request headers, variables of the server, outer middleware.

- **Headers** (`IDENTITY`) and **variables** (`VARIABLES`) count as Authorization does (RFC 9111 §3.5). The
  request is personal: it gets and leaves only responses that say that they are for everybody, and it
  never shares a flight. A route lifts this by its `identity`, or by naming the header in `vary`; then the
  value is part of the key, as a keyed digest.
- A value that means "nobody" (`is_nobody`) makes no request personal. It is part of the key instead: a
  proxy that verifies certificates says `NONE` of most visitors.
- **Outer middleware** that has put a session or a user into the request (`OUTER_IDENTITY`) has been told
  who is asking by something that the cache does not see. Such a request bypasses the cache, unless the
  route has an `identity` or says `same_for_all_users`.

What is not a header stands in `Request.outer`, and on the fast path beside the watched headers, under a
name with a colon. No client can send such a header. So whoever reads `:remote-user` reads what the server
said, and never what a client sent as `Remote-User`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = [
    "CLIENT_CERTIFICATE",
    "IDENTITY",
    "OUTER_ENVIRON",
    "OUTER_IDENTITY",
    "VARIABLES",
    "identity_names",
    "is_nobody",
    "keyed_names",
    "pseudo_name",
]

# The names are those of each product's own documentation. Some products add headers whose names the
# operator chooses (`X-Pomerium-Claim-*`, `X-MS-Token-*`): the usual ones are here, and each of these
# products sends a header with a fixed name beside them.
_HEADERS = {
    "HTTP (RFC 9110 §11, RFC 9449)": "Authorization Proxy-Authorization DPoP",
    "client certificates (RFC 9440)": "Client-Cert Client-Cert-Chain",
    "API keys": (
        "Api-Key Apikey X-Api-Key X-ApiKey X-Api-Token X-Api-Secret X-App-Key X-Functions-Key X-Goog-Api-Key"
        " Ocp-Apim-Subscription-Key X-Amz-Security-Token X-Serverless-Authorization X-Vault-Token"
    ),
    "tokens and sessions": (
        "Access-Token Auth-Token Private-Token Session-Token Token X-Access-Token X-Auth X-Auth-Key"
        " X-Auth-Token X-Client-Token X-Id-Token X-Jwt X-Jwt-Assertion X-Jwt-Payload X-Refresh-Token"
        " X-Service-Token X-Session X-Session-Id X-Session-Token X-Subject-Token X-Token X-User-Token"
        " X-WSSE X-Zumo-Auth"
    ),
    "proxies in general": (
        "Auth-User Remote-Email Remote-Groups Remote-Name Remote-User X-Account-Id X-Auth-Email"
        " X-Auth-Groups X-Auth-Name X-Auth-Roles X-Auth-Subject X-Auth-User X-Auth-Userid X-Auth-Username"
        " X-Authenticated-Email X-Authenticated-User X-Customer-Id X-Email X-Forwarded-Access-Token"
        " X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Id-Token X-Forwarded-Preferred-Username"
        " X-Forwarded-User X-Groups X-Remote-Email X-Remote-Group X-Remote-Groups X-Remote-Name"
        " X-Remote-User X-Remote-User-Id X-Remote-User-Name X-Tenant-Id X-User X-User-Email X-User-Groups"
        " X-User-Id X-User-Name X-User-Roles X-Userinfo X-Username X-Webauth-Email X-Webauth-Groups"
        " X-Webauth-Name X-Webauth-Role X-Webauth-User"
    ),
    "oauth2-proxy": (
        "X-Auth-Request-Access-Token X-Auth-Request-Email X-Auth-Request-Groups"
        " X-Auth-Request-Preferred-Username X-Auth-Request-User"
    ),
    "authentik": (
        "X-Authentik-Email X-Authentik-Entitlements X-Authentik-Groups X-Authentik-Jwt X-Authentik-Name"
        " X-Authentik-Uid X-Authentik-Username"
    ),
    "Vouch": "X-Vouch-Idp-AccessToken X-Vouch-Idp-Claims-Email X-Vouch-Idp-IdToken X-Vouch-User",
    "Pomerium": (
        "X-Pomerium-Claim-Email X-Pomerium-Claim-Groups X-Pomerium-Claim-Name X-Pomerium-Claim-Sub"
        " X-Pomerium-Claim-User X-Pomerium-Jwt-Assertion"
    ),
    "Tailscale": "Tailscale-User-Login Tailscale-User-Name Tailscale-User-Profile-Pic",
    "Teleport": "Teleport-Jwt-Assertion",
    "Kong, APISIX": (
        "X-Anonymous-Consumer X-Authenticated-Groups X-Authenticated-Scope X-Authenticated-Userid"
        " X-Consumer-Custom-Id X-Consumer-Groups X-Consumer-Id X-Consumer-Username"
        " X-Credential-Identifier X-Credential-Username"
    ),
    "Cloudflare Access": (
        "Cf-Access-Authenticated-User-Email Cf-Access-Client-Id Cf-Access-Client-Secret"
        " Cf-Access-Jwt-Assertion Cf-Access-Token Cf-Client-Cert-Der-Base64 Cf-Client-Cert-Sha256"
    ),
    "Google Cloud": (
        "X-Apigateway-Api-Userinfo X-AppEngine-User-Email X-AppEngine-User-Id"
        " X-AppEngine-User-Is-Admin X-AppEngine-User-Nickname X-Endpoint-Api-Userinfo"
        " X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-Id X-Goog-Iap-Jwt-Assertion"
    ),
    "AWS load balancers": (
        "X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Issuer X-Amzn-Mtls-Clientcert-Leaf"
        " X-Amzn-Mtls-Clientcert-Serial-Number X-Amzn-Mtls-Clientcert-Subject"
        " X-Amzn-Oidc-Accesstoken X-Amzn-Oidc-Data X-Amzn-Oidc-Identity"
    ),
    "Azure": (
        "X-Arr-ClientCert X-Ms-Client-Principal X-Ms-Client-Principal-Id X-Ms-Client-Principal-Idp"
        " X-Ms-Client-Principal-Name X-Ms-Token-Aad-Access-Token X-Ms-Token-Aad-Id-Token"
        " X-Ms-Token-Apple-Id-Token X-Ms-Token-Facebook-Access-Token X-Ms-Token-Google-Access-Token"
        " X-Ms-Token-Google-Id-Token X-Ms-Token-Twitter-Access-Token"
    ),
    "certificates, from nginx, ingress-nginx, HAProxy, Traefik, Envoy": (
        "Ssl-Client-Cert Ssl-Client-Issuer-Dn Ssl-Client-S-Dn Ssl-Client-Subject-Dn Ssl-Client-Verify"
        " X-Client-Cert X-Client-Certificate X-Client-Dn X-Client-Verify X-Forwarded-Client-Cert"
        " X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info X-Ssl-Cert X-Ssl-Client-Cert"
        " X-Ssl-Client-Cn X-Ssl-Client-Dn X-Ssl-Client-Fingerprint X-Ssl-Client-I-Dn X-Ssl-Client-S-Dn"
        " X-Ssl-Client-Serial X-Ssl-Client-Sha1 X-Ssl-Client-Subject X-Ssl-Client-Verify X-Ssl-Issuer"
        " X-Ssl-Subject"
    ),
    "mod_auth_openidc, Shibboleth": (
        "Oidc-Access-Token Oidc-Claim-Email Oidc-Claim-Name Oidc-Claim-Preferred-Username Oidc-Claim-Sub"
        " Oidc-Id-Token Shib-Session-Id"
    ),
    "SiteMinder, Oracle Access Manager, WebSEAL": (
        "Sm-Universalid Sm-User Oam-Remote-User Iv-Creds Iv-Groups Iv-User"
    ),
    "hosting platforms": (
        "X-Replit-User-Id X-Replit-User-Name X-Sandstorm-User-Id X-Sandstorm-Username"
        " Sf-Context-Current-User Ynh-User"
    ),
}

IDENTITY: Mapping[bytes, str] = {
    name.lower().encode("ascii"): owner
    for owner, names in _HEADERS.items()
    for name in names.split()
}
"""Request headers that say who is asking, each with whose it is."""

_VARIABLES = {
    "the server (RFC 3875)": "AUTH_TYPE REMOTE_IDENT REMOTE_USER REDIRECT_REMOTE_USER",
    "IIS": (
        "AUTH_USER LOGON_USER UNMAPPED_REMOTE_USER"
        " CERT_COOKIE CERT_FLAGS CERT_ISSUER CERT_SERIALNUMBER CERT_SUBJECT"
    ),
    "mod_ssl, nginx": (
        "SSL_CLIENT_CERT SSL_CLIENT_CERT_CHAIN_0 SSL_CLIENT_I_DN SSL_CLIENT_M_SERIAL SSL_CLIENT_M_VERSION"
        " SSL_CLIENT_S_DN SSL_CLIENT_S_DN_CN SSL_CLIENT_S_DN_Email SSL_CLIENT_S_DN_UID SSL_CLIENT_VERIFY"
    ),
    "uWSGI": "HTTPS_CC HTTPS_DN",
    "mod_auth_openidc": (
        "OIDC_CLAIM_email OIDC_CLAIM_name OIDC_CLAIM_preferred_username OIDC_CLAIM_sub OIDC_access_token"
        " OIDC_id_token"
    ),
    "Shibboleth, mod_auth_mellon": "Shib-Session-ID Shib_Session_ID eppn persistent-id MELLON_NAME_ID",
}


def pseudo_name(name: str) -> bytes:
    """Return the name of a variable in `Request.outer`: `:remote-user` for `REMOTE_USER`."""
    return b":" + name.lower().replace("_", "-").encode("ascii")


VARIABLES: Mapping[str, bytes] = {
    name: pseudo_name(name) for names in _VARIABLES.values() for name in names.split()
}
"""Variables of a WSGI environ that say who is asking, each with its name in `Request.outer`."""

CLIENT_CERTIFICATE = b":client-cert"
"""The client's certificate in the TLS extension of ASGI, in `Request.outer`."""

OUTER_IDENTITY = frozenset({b":auth", b":session", b":user"})
"""What outer middleware may have put into a request, in `Request.outer`."""

OUTER_ENVIRON: Mapping[str, bytes] = {
    "auth": b":auth",
    "beaker.session": b":session",
    "current_user": b":user",
    "repoze.who.identity": b":user",
    "secure_cookie.session": b":session",
    "session": b":session",
    "user": b":user",
    "werkzeug.session": b":session",
}
"""Where WSGI middleware puts a session or a user into the environ."""

_OUTER = frozenset({*VARIABLES.values(), CLIENT_CERTIFICATE})
_NOBODY = frozenset({b"", b"none", b"(null)"})
"""What proxies send for nobody: nginx and Apache of a certificate that was not shown, or of an empty
variable. Compared in lower case."""


def is_nobody(name: bytes, value: bytes) -> bool:
    """Tell whether a value says that nobody is known.

    It never does for Authorization, whose values have a grammar of their own.
    """
    return value.strip().lower() in _NOBODY and name != b"authorization"


def identity_names(further: Iterable[str] = ()) -> frozenset[bytes]:
    """Return all names that count as Authorization, with those that the configuration adds."""
    return frozenset({*IDENTITY, *_OUTER, *(name.lower().encode("ascii") for name in further)})


def keyed_names(vary: Iterable[str]) -> frozenset[bytes]:
    """Return the names that a route's `vary` puts into the key.

    A name stands for the header, and for the variable of the same name: `REMOTE_USER`, `Remote-User`.
    """
    names = set()
    for name in vary:
        header, variable = name.lower().encode("ascii"), pseudo_name(name)
        names |= {variable[1:], variable} if variable in _OUTER else {header}
    return frozenset(names)
