"""The options of a Redis URL, behind its `?`: which work, which cannot, and what to write in their place.

An option goes to redis-py's connection. Some of them would undo what the cache needs (its deadlines, answers
in bytes, RESP2), and redis-py finds a misspelt one only when it connects. So each is checked where the
configuration is read. Messages name an option, and never repeat its value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from cachemw.config.syntax.messages import did_you_mean
from cachemw.config.syntax.redis_url import SENTINEL_OPTIONS

__all__ = ["option_mistakes"]

_Check = Callable[[str], str]
"""Return what a value must be, or an empty text if it is that."""

_DATABASE = re.compile(r"[0-9]{1,9}", re.ASCII)
_SIZE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_WORD = re.compile(r"[!-~]+", re.ASCII)
_NAME = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)
_FLAGS = re.compile(r"VERIFY_[A-Z0-9_]+(,VERIFY_[A-Z0-9_]+)*", re.ASCII)
_BOOLEANS = ("1", "t", "true", "y", "yes", "0", "f", "false", "n", "no")


def _pattern(pattern: re.Pattern[str], expected: str) -> _Check:
    return lambda value: "" if pattern.fullmatch(value) else expected


def _one_of(*allowed: str) -> _Check:
    return lambda value: "" if value in allowed else " or ".join(allowed)


def _boolean(value: str) -> str:
    return "" if value.lower() in _BOOLEANS else "true or false"


def _file(value: str) -> str:
    return "" if os.path.isfile(value) and os.access(value, os.R_OK) else "a file that can be read"


def _folder(value: str) -> str:
    return "" if os.path.isdir(value) else "a folder that exists"


def _text(value: str) -> str:
    return ""  # any text will do; one that is empty is found before


_verify_flags = _pattern(_FLAGS, "names of ssl.VerifyFlags, such as VERIFY_X509_STRICT")

_ALLOWED: dict[str, _Check] = {
    "client_name": _pattern(_WORD, "a name without spaces"),
    "db": _pattern(_DATABASE, "the number of a database"),
    "password": _text,
    "protocol": _one_of("2"),
    "socket_keepalive": _boolean,
    "socket_read_size": _pattern(_SIZE, "a number of bytes"),
    "username": _text,
}
_OF_TLS: dict[str, _Check] = {
    "ssl_ca_certs": _file,
    "ssl_ca_data": _text,
    "ssl_ca_path": _folder,
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_certfile": _file,
    "ssl_check_hostname": _boolean,
    "ssl_ciphers": _text,
    "ssl_exclude_verify_flags": _verify_flags,
    "ssl_include_verify_flags": _verify_flags,
    "ssl_keyfile": _file,
    "ssl_min_version": _one_of("771", "772"),  # the numbers of TLS 1.2 and 1.3
    "ssl_password": _text,
}
_BYTES = "the cache reads and writes bytes: leave it out"
_RETRIES = "the cache goes on without Redis in place of trying again: leave it out"
_REFUSED = {
    "credential_provider": "write credentials in [redis] in place of it",
    "decode_responses": _BYTES,
    "encoding": _BYTES,
    "encoding_errors": _BYTES,
    "health_check_interval": "the cache checks its connections itself, where no request waits: leave it out",
    "legacy_responses": "the cache reads the answers of RESP2: leave it out",
    "lib_name": "the cache sends no name of a library: leave it out",
    "lib_version": "the cache sends no name of a library: leave it out",
    "max_connections": "write pool_size in [redis] in place of it",
    "retry": _RETRIES,
    "retry_on_error": _RETRIES,
    "retry_on_timeout": _RETRIES,
    "single_connection_client": "write pool_size = 1 in [redis] in place of it",
    "socket_connect_timeout": "write deadline in [redis] in place of it",
    "socket_timeout": "write deadline in [redis] in place of it",
    "ssl_validate_ocsp": "it works only in threads: leave it out",
    "ssl_validate_ocsp_stapled": "it works only in threads: leave it out",
    "timeout": "write pool_wait in [redis] in place of it",
}
"""What cannot work, and why or what to write."""


def option_mistakes(url: str) -> list[str]:
    """Return what is wrong with the options of a URL that is right without them, one text for each."""
    parts = urlsplit(url)
    scheme, _, mode = parts.scheme.partition("+")
    options = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in options]
    mistakes = [
        f"the option {name} is there twice"
        for name in names
        if names.count(name) > 1 and _is_known(name)
    ]
    # A name that nobody knows may be a part of a password with a "?" in it.
    hides = "@" in parts.query
    mistakes += [_mistake(scheme, mode, name, value, hides) for name, value in options]
    if "db" in names and _has_database(scheme, mode, parts.path):
        mistakes.append("the option db: the path of the URL has a database already; write only one")
    if "@" in parts.netloc and not {"username", "password"}.isdisjoint(names):
        mistakes.append("the options username and password: the URL has them before its host")
    if "ssl_keyfile" in names and "ssl_certfile" not in names:
        mistakes.append("the option ssl_keyfile: write ssl_certfile too")
    return list(dict.fromkeys(filter(None, mistakes)))


def _mistake(scheme: str, mode: str, name: str, value: str, hides: bool) -> str:
    """Return what is wrong with one option, or an empty text. `hides`: do not show an unknown name."""
    if not _is_known(name):
        return _unknown(mode, name, hides)
    if name in _REFUSED:
        return f"the option {name} cannot be used: {_REFUSED[name]}"
    if wanted := _wanted_scheme(scheme, mode, name):
        return f"the option {name} needs a URL that starts with {wanted}://"
    if not value:
        return f"the option {name} has no value"
    if name == "protocol" and value != "2":
        return "the option protocol cannot be used: the cache speaks RESP2: leave it out"
    if name == "db" and mode == "cluster" and value != "0":
        return "the option db: a Redis Cluster has only database 0"
    expected = (_ALLOWED | _OF_TLS).get(name, _text)(value)
    return f"the option {name}: expected {expected}" if expected else ""


def _has_database(scheme: str, mode: str, path: str) -> bool:
    if mode == "sentinel":  # /service/database
        return "/" in path.strip("/")
    return scheme != "unix" and bool(path.strip("/"))


def _unknown(mode: str, name: str, hides: bool) -> str:
    of_sentinels = SENTINEL_OPTIONS if mode == "sentinel" else ()
    hint = did_you_mean(name, (*_ALLOWED, *_OF_TLS, *_REFUSED, *of_sentinels))
    if hides or not _NAME.fullmatch(name):
        return f"an option is not known{hint or '; percent-encode a ? in the password'}"
    return f"the option {name} is not known{hint or ': leave it out'}"


def _wanted_scheme(scheme: str, mode: str, name: str) -> str:
    """Return the scheme that an option needs, if the URL has another one."""
    if name in SENTINEL_OPTIONS and mode != "sentinel":
        return f"{scheme.replace('unix', 'redis')}+sentinel"
    if name in _OF_TLS and scheme != "rediss":
        return f"rediss+{mode}" if mode else "rediss"
    return ""


def _is_known(name: str) -> bool:
    return any(name in names for names in (_ALLOWED, _OF_TLS, _REFUSED, SENTINEL_OPTIONS))
