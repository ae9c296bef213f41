from __future__ import annotations

import sys
from pathlib import Path

import pytest
from redis import BlockingConnectionPool
from redis import asyncio as aredis

from cachemw.config import Config
from cachemw.config.checks.url_options import _ALLOWED, _OF_TLS, _REFUSED, option_mistakes
from cachemw.config.sources import config_from
from cachemw.config.syntax.redis_url import deployment
from cachemw.errors import ConfigError

SECRET = "hunter2"


def problems(url: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config(redis=url)
    assert SECRET not in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        # What would undo the limits of [redis]
        ("redis://h/0?socket_timeout=10", "socket_timeout cannot be used: write deadline in [redis]"),
        ("redis://h?socket_connect_timeout=5", "socket_connect_timeout cannot be used: write deadline"),
        ("redis://h?timeout=20", "timeout cannot be used: write pool_wait in [redis]"),
        ("redis://h?max_connections=2", "max_connections cannot be used: write pool_size in [redis]"),
        ("redis://h?retry_on_timeout=true", "retry_on_timeout cannot be used: the cache goes on"),
        ("redis://h?retry_on_error=x", "retry_on_error cannot be used: the cache goes on"),
        ("redis://h?health_check_interval=5", "health_check_interval cannot be used: the cache checks"),
        ("redis://h?single_connection_client=1", "write pool_size = 1 in [redis]"),
        # What would change the answers
        ("redis://h?decode_responses=true", "decode_responses cannot be used: the cache reads and writes"),
        ("redis://h?encoding=utf-16", "encoding cannot be used"),
        ("redis://h?encoding_errors=ignore", "encoding_errors cannot be used"),
        ("redis://h?protocol=3", "protocol cannot be used: the cache speaks RESP2"),
        ("redis://h?legacy_responses=true", "legacy_responses cannot be used"),
        # What is unknown
        ("redis://h?nonsense=1", "the option nonsense is not known"),
        ("redis://h?sockt_keepalive=1", 'sockt_keepalive is not known, did you mean "socket_keepalive"?'),
        ("redis://h?sockt_timeout=1", 'sockt_timeout is not known, did you mean "socket_timeout"?'),
        ("redis://h?SSL_CERTFILE=1", "an option is not known"),
        # Values of a wrong kind
        ("redis://h?socket_keepalive=maybe", "socket_keepalive: expected true or false"),
        ("redis://h?socket_read_size=abc", "socket_read_size: expected a number of bytes"),
        ("redis://h?db=zero", "db: expected the number of a database"),
        ("redis://h?client_name=a%20b", "client_name: expected a name without spaces"),
        ("redis://h?client_name=", "client_name has no value"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname: expected true or false"),
        ("rediss://h?ssl_cert_reqs=never", "ssl_cert_reqs: expected none or optional or required"),
        ("rediss://h?ssl_min_version=TLSv1_2", "ssl_min_version: expected 771 or 772"),
        ("rediss://h?ssl_include_verify_flags=x", "ssl_include_verify_flags: expected names of"),
        # Files that are not there
        ("rediss://h?ssl_ca_certs=/nonexistent.pem", "ssl_ca_certs: expected a file that can be read"),
        ("rediss://h?ssl_certfile=/", "ssl_certfile: expected a file that can be read"),
        ("rediss://h?ssl_ca_path=/nonexistent", "ssl_ca_path: expected a folder that exists"),
        ("rediss+cluster://h?ssl_ca_certs=/nonexistent.pem", "ssl_ca_certs: expected a file"),
        # What does not fit the rest of the URL
        ("redis://h?ssl_ca_certs=/etc/hosts", "ssl_ca_certs needs a URL that starts with rediss://"),
        ("unix:///s?ssl_ca_data=x", "ssl_ca_data needs a URL that starts with rediss://"),
        ("redis+sentinel://h/m?ssl_ca_data=x", "ssl_ca_data needs a URL that starts with rediss+sentinel"),
        ("redis://h?sentinel_password=x", "sentinel_password needs a URL that starts with redis+sentinel"),
        ("redis://h/0?db=1", "db: the path of the URL has a database already"),
        ("redis+sentinel://h/m/0?db=1", "db: the path of the URL has a database already"),
        ("redis+cluster://h?db=1", "db: a Redis Cluster has only database 0"),
        ("redis://h?db=1&db=2", "the option db is there twice"),
        (f"redis://:{SECRET}@h?password={SECRET}", "username and password: the URL has them before"),
        ("rediss://h?ssl_keyfile=/etc/hosts", "ssl_keyfile: write ssl_certfile too"),
        # What may be a part of a password: it is not repeated
        (f"redis://user:12?{SECRET}=x@h/0", "an option is not known; percent-encode a ? in the password"),
        (f"redis://user:12?a={SECRET}@h/0", "an option is not known; percent-encode a ? in the password"),
        (f"redis://h?protocol={SECRET}", "protocol cannot be used: the cache speaks RESP2"),
        (f"rediss://h?ssl_ca_certs={SECRET}&ssl_cert_reqs={SECRET}", "ssl_ca_certs: expected a file"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_work_is_one_mistake(url: str, said: str) -> None:
    (problem,) = problems(url)
    assert problem.startswith("redis: ")
    assert said in problem


def test_all_options_of_a_url_are_told_at_once() -> None:
    (problem,) = problems("redis://h?timeout=1&encoding=x&db=x&timeout=2")
    for name in ("timeout is there twice", "timeout cannot", "encoding cannot", "db: expected"):
        assert name in problem


def test_the_mistake_is_at_the_url_of_the_table() -> None:
    with pytest.raises(ConfigError) as caught:
        config_from({"redis": {"url": "redis://h?timeout=1"}})
    assert [problem.path for problem in caught.value.problems] == ["redis.url"]


ACCEPTED = [
    "redis://h?db=3&client_name=shop&protocol=2&socket_keepalive=yes&socket_read_size=65536",
    "redis://h/0?username=app&password=a%3Fb",
    "unix:///run/redis.sock?db=3",
    "redis+sentinel://h/main?db=3&sentinel_username=a&sentinel_password=b@c",
    "redis+cluster://h?db=0",
    "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_min_version=772",
    f"rediss://h?ssl_ca_certs={sys.executable}&ssl_ca_path={Path.cwd().anchor}",
    "rediss://h?ssl_include_verify_flags=VERIFY_X509_STRICT,VERIFY_X509_TRUSTED_FIRST",
]


@pytest.mark.parametrize("url", ACCEPTED)
def test_what_works_is_accepted_and_redis_py_takes_it(url: str) -> None:
    # Guard: a name in the table that redis-py does not know would be found only when it connects.
    assert option_mistakes(url) == []
    one = deployment(url).url
    for pool in (BlockingConnectionPool.from_url(one), aredis.ConnectionPool.from_url(one)):
        if "verify_flags" not in one:  # the event loop takes the context that threads have made
            pool.connection_class(**pool.connection_kwargs)


def test_each_option_is_in_one_table() -> None:
    names = [*_ALLOWED, *_OF_TLS, *_REFUSED]
    assert len(names) == len(set(names))
