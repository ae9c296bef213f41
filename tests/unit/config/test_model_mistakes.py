"""Wrong configurations, and exactly what is said about each."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

import pytest

from cachemw.config import config_from, load_config
from cachemw.errors import ConfigError

DURATION = (
    'expected a duration such as "250ms", "30s", "5m", "1h", "2d" or a number of seconds, got '
)
TTL = 'expected a duration such as "30s" or "5m", or "response", got '
SIZE = 'expected a size such as "512KiB", "2MiB", "1GiB" or a number of bytes, got '
URL = (
    "expected a URL that starts with redis://, rediss:// or unix://, "
    "or with redis+sentinel:// or redis+cluster://"
)
FUNCTION = (
    'expected the name of a database function, or a pattern such as "st_*" or "shop.total_*", got '
)
ESCAPE = "; percent-encode special characters in the user name and password"


def route(rest: str = "", path: str = "/p/{id}", ttl: str = 'ttl = "60s"') -> str:
    return f"[[routes]]\npath = '{path}'\n{ttl}\n{rest}\n"


MISTAKES: dict[str, tuple[str, list[str]]] = {
    # Keys and types.
    "unknown key": (
        'namspace = "shop"',
        ['namspace: unknown key, did you mean "namespace"?'],
    ),
    "unknown key with nothing near": (
        "[memory]\nzzz = 1",
        [
            "memory.zzz: unknown key; the keys here are"
            " learned_keys, max_size, planned_size, process_limit, shadow_size"
        ],
    ),
    "unknown key in a route": (
        route('tag = ["a"]'),
        ['routes[0].tag: unknown key, did you mean "tags"?'],
    ),
    "a key of the whole file in a route": (
        route('redis = "redis://localhost/0"'),
        [
            "routes[0].redis: unknown key here: write redis at the top of the file, above the first [table]"
        ],
    ),
    "a key of a table at the top": (
        'partition_limit = "1m"',
        ["partition_limit: unknown key here: write partition_limit below [log]"],
    ),
    "a key of two tables at the top": (
        'max_size = "1MiB"',
        ["max_size: unknown key here: write max_size below [memory] or [kinds.NAME] or [[routes]]"],
    ),
    "a key of another table": (
        '[memory]\npoll = "1s"',
        ["memory.poll: unknown key here: write poll below [log]"],
    ),
    "a size in the units of disks": (
        '[memory]\nmax_size = "256MB"',
        [
            'memory.max_size: expected a size such as "512KiB", "2MiB", "1GiB" or a number of bytes,'
            ' got "256MB": write "256MiB"'
        ],
    ),
    "a duration with a long unit": (
        '[log]\npartition_limit = "30 Seconds"',
        [
            'log.partition_limit: expected a duration such as "250ms", "30s", "5m", "1h", "2d" or a number of'
            ' seconds, got "30 Seconds": write "30s"'
        ],
    ),
    "a lifetime with a long unit": (
        route(ttl='ttl = "5min"'),
        [
            'routes[0].ttl: expected a duration such as "30s" or "5m", or "response", got "5min": write "5m"'
        ],
    ),
    "unknown key in a kind": (
        '[kinds.product]\ntl = "1m"',
        ['kinds.product.tl: unknown key, did you mean "ttl"?'],
    ),
    "a key that has to be quoted": (
        '[kinds."a b"]\nttl = "1m"',
        [
            'kinds."a b": expected 1 to 64 letters, digits, dots, dashes or underscores, got "a b"',
        ],
    ),
    "functions that are no names": (
        '[recording]\npure_functions = ["total()", "st_*"]\nreading_functions = [5, "a b"]',
        [
            f'recording.pure_functions[0]: {FUNCTION}"total()": write its name alone, without brackets',
            f"recording.reading_functions[0]: {FUNCTION}5",
            f'recording.reading_functions[1]: {FUNCTION}"a b"',
        ],
    ),
    "all functions that touch no table": (
        '[recording]\npure_functions = ["*", "total"]\nreading_functions = ["*"]',
        [
            'recording.pure_functions[0]: "*" is every function: name those that surely read and'
            " write no table"
        ],
    ),
    "a function that reads and does not": (
        '[recording]\npure_functions = ["a", "b"]\nreading_functions = ["b"]',
        [
            'recording.pure_functions[1]: "b" is in `reading_functions` too: leave it out of one of'
            " them"
        ],
    ),
    "keys in Django's cache": (
        '[recording]\nignore_cached = ["throttle_*", "**", ""]\nunknown_cached = "shorter"\nunknown_ttl = 0',
        [
            'recording.ignore_cached[1]: "**" is every key: write `unknown_cached = "keep"` to ask for none',
            "recording.ignore_cached[2]: expected a key in Django's cache, or a pattern such as"
            ' "throttle_*", got an empty string',
            'recording.unknown_cached: expected "refuse", "shorten" or "keep", got "shorter", did you mean'
            ' "shorten"?',
            "recording.unknown_ttl: expected a duration above zero, got 0",
        ],
    ),
    "a function twice": (
        '[recording]\npure_functions = ["a", "a"]',
        ['recording.pure_functions[1]: "a" is listed twice'],
    ),
    "namespace of a wrong type": (
        "namespace = 5",
        ["namespace: expected 1 to 64 letters, digits, dashes or underscores, got 5"],
    ),
    "namespace with a colon": (
        'namespace = "a:b"',
        ['namespace: expected 1 to 64 letters, digits, dashes or underscores, got "a:b"'],
    ),
    "a long value is shortened": (
        f'namespace = "{"x" * 200}"',
        [f'namespace: expected 1 to 64 letters, digits, dashes or underscores, got "{"x" * 59}…"'],
    ),
    "a table that is none": ("memory = 5", ["memory: expected a table, got 5"]),
    "a list that is none": (
        "[routes]\npath = 1",
        ["routes: expected a list, got a table: write [[routes]], in double brackets, for each"],
    ),
    "a route that is no table": ("routes = [3]", ["routes[0]: expected a table, got 3"]),
    "a switch that is a word": ('x_cache = "yes"', ['x_cache: expected true or false, got "yes"']),
    "kill that is a number": ("kill = 1", ["kill: expected true or false, got 1"]),
    # Numbers, durations, sizes.
    "a fraction": ("log_rate = 1.5", ["log_rate: expected a whole number of at least 0, got 1.5"]),
    "true is no number": (
        "refresh_workers = true",
        ["refresh_workers: expected a whole number from 1 to 1000, got true"],
    ),
    "too high a level": (
        "[compression]\nlevel = 20",
        ["compression.level: expected a whole number from 1 to 19, got 20"],
    ),
    "a duration with a space": (
        '[coalesce]\nwait = "5 s"',
        [f'coalesce.wait: {DURATION}"5 s": write "5s"'],
    ),
    "a negative duration": ("[log]\npoll = -1", [f"log.poll: {DURATION}-1"]),
    "a poll that Redis would round to for ever": (
        "[log]\npoll = 0.0004",
        ["log.poll: expected a duration of at least 10ms, got 0.0004"],
    ),
    "nan": ("[log]\nconfirm_wait = nan", [f"log.confirm_wait: {DURATION}nan"]),
    "a duration that may not be zero": (
        '[redis]\nurl = "redis://h"\ndeadline = 0',
        ["redis.deadline: expected a duration above zero, got 0"],
    ),
    "decimal megabytes": (
        '[memory]\nmax_size = "2MB"',
        [f'memory.max_size: {SIZE}"2MB": write "2MiB"'],
    ),
    "no memory": ("[memory]\nmax_size = 0", ["memory.max_size: expected a size above zero, got 0"]),
    "more planned than allowed": (
        '[memory]\nmax_size = "1MiB"\nplanned_size = "2MiB"',
        ["memory.planned_size: 2097152 bytes are more than max_size (1048576): raise max_size"],
    ),
    # Redis and the secret.
    "another scheme": ('redis = "http://h"', [f"redis: {URL}"]),
    "a URL of a wrong type": ("redis = 6379", [f"redis: {URL}"]),
    "no host": (
        'redis = "redis:///0"',
        ["redis: the Redis URL names no host: write one, such as redis://localhost:6379/0"],
    ),
    "a port that is none": (
        'redis = "redis://h:x"',
        [f"redis: the port of a Redis URL must be a number from 1 to 65535{ESCAPE}"],
    ),
    "a host that is none": (
        'redis = "redis://a%20b/0"',
        [f"redis: the host of the Redis URL is no host name and no address{ESCAPE}"],
    ),
    "a host of a Cluster that is none": (
        'redis = "redis+cluster://a,[::x]:7000"',
        [f"redis: {URL}"],
    ),
    "a database that is none": (
        'redis = "redis://h/cache"',
        [f"redis: the path of a Redis URL must be a database number, such as /0{ESCAPE}"],
    ),
    "a fragment": (
        'redis = "redis://h/0#x"',
        [f"redis: a Redis URL has no # part: leave it out{ESCAPE}"],
    ),
    "a socket of two slashes": (
        'redis = "unix://run/redis.sock"',
        [f"redis: a unix:// URL needs three slashes: unix:///run/redis.sock{ESCAPE}"],
    ),
    "no socket": (
        'redis = "unix://"',
        ["redis: the unix:// URL names no socket: write one, such as unix:///run/redis.sock"],
    ),
    "several hosts for one server": (
        'redis = "redis://a,b"',
        ["redis: several hosts need redis+sentinel://…/service or redis+cluster://"],
    ),
    "Sentinels without the master's name": (
        'redis = "redis+sentinel://a,b:26380"',
        [
            "redis: a redis+sentinel:// URL ends with the master's name: "
            "redis+sentinel://host:26379/mymaster"
        ],
    ),
    "a Cluster with a database": (
        'redis = "redis+cluster://a/1"',
        ["redis: a Redis Cluster has only database 0: leave the path out"],
    ),
    "a host of a Cluster without a name": (
        'redis = "redis+cluster://a,:7000"',
        ["redis: the Redis URL names no host: write one, such as redis://localhost:6379/0"],
    ),
    "a port of a Sentinel that is none": (
        'redis = "redis+sentinel://a:1,b:x/m"',
        [f"redis: the port of a Redis URL must be a number from 1 to 65535{ESCAPE}"],
    ),
    "a table without a URL": (
        "[redis]\npool_size = 5",
        [
            "redis.url: is required: The address of Redis. Its password is never shown in messages or logs."
        ],
    ),
    "a token of the endpoint that could not be sent": (
        '[endpoint]\ntoken = ["short", "0123456789 abcdef"]',
        [
            "endpoint.token[0]: expected at least 16 characters, got 5",
            "endpoint.token[1]: expected only letters, digits and -._~+/ with = at the end,"
            " got other characters",
        ],
    ),
    "a path of the endpoint that is no plain one": (
        '[endpoint]\npath = "/purge?x"',
        ['endpoint.path: expected a plain path such as "/.cachemw/purge", got "/purge?x"'],
    ),
    "a short secret": ('secret = "abc"', ["secret: expected at least 16 characters, got 3"]),
    "a secret that is no string": (
        "secret = 12345",
        ["secret: expected at least 16 characters, got a value that is not a string"],
    ),
    "no secret in the list": ("secret = []", ["secret: expected at least one, got an empty list"]),
    "secrets that are none": (
        'secret = ["0123456789abcdef", "abc", 5]',
        [
            "secret[1]: expected at least 16 characters, got 3",
            "secret[2]: expected at least 16 characters, got a value that is not a string",
        ],
    ),
    "a secret twice": (
        'secret = ["0123456789abcdef", "fedcba9876543210", "0123456789abcdef"]',
        ["secret[2]: is listed twice"],
    ),
    "several secrets for digests": (
        'digest_secret = ["0123456789abcdef"]',
        ["digest_secret: expected at least 16 characters, got a value that is not a string"],
    ),
    # Flags.
    "a flag for no class": (
        '[flags]\nhgh = "on"',
        [
            'flags.hgh: "hgh" is not a risk class: expected "low", "medium" or "high", '
            'did you mean "high"?'
        ],
    ),
    "a flag that is a switch": (
        "[flags]\nlow = true",
        [
            'flags.low: expected "on", "off", "shadow" or a share of keys such as "canary 10%", got true'
        ],
    ),
    "a flag for no route": (
        route() + '[route_flags]\np-di = "off"',
        ['route_flags.p-di: no route is named "p-di", did you mean "p-id"?'],
    ),
    "no such level": (
        '[log_levels]\nlow = "warn"',
        [
            'log_levels.low: expected "debug", "info", "warning" or "error", got "warn", '
            'did you mean "warning"?'
        ],
    ),
    "files of flags that are none": (
        'flags_file = ""\nflags_mirror = "a\\u0000b"',
        [
            "flags_file: expected the path of a file, got an empty string",
            'flags_mirror: expected the path of a file, got "a\\u0000b"',
        ],
    ),
    # Paths.
    "no path": (
        '[[routes]]\nttl = "60s"',
        [
            "routes[0].path: is required: The paths of the route, below the mount, such as "
            "`/products/{id:int}`."
        ],
    ),
    "no slash": (
        route(path="p/{id}"),
        ['routes[0].path: expected a path that starts with "/", got "p/{id}"'],
    ),
    "an empty path": (
        route(path=""),
        ['routes[0].path: expected a path that starts with "/", got ""'],
    ),
    "a query": (
        route(path="/p?x=1"),
        [
            "routes[0].path: a path has no query: list the parameters the route reads in `query`",
        ],
    ),
    "a fragment in a path": (
        route(path="/p#x"),
        ["routes[0].path: a path has no fragment, which browsers never send: leave the # part out"],
    ),
    "a wildcard": (
        route(path="/p/*"),
        ["routes[0].path: * is not a wildcard here: write {rest:path}, or {name} for one segment"],
    ),
    "another framework's parameters": (
        route(path="/p/<int:id>"),
        ["routes[0].path: write parameters in braces, such as {id:int}"],
    ),
    "a regular expression": (
        route(path=r"/p/\d+"),
        [
            "routes[0].path: a path is not a regular expression: write parameters in braces, "
            "such as {id:int}"
        ],
    ),
    "an escape": (
        route(path="/a%20b"),
        ["routes[0].path: paths are matched percent-decoded: write the character itself"],
    ),
    # A tab is the one control character that TOML lets into a literal string.
    "a control character": (
        route(path="/a\tb"),
        ["routes[0].path: a path cannot contain control characters: remove them"],
    ),
    "an open brace": (
        route(path="/p/{id"),
        ['routes[0].path: unbalanced braces in "{id": write a parameter as {id}'],
    ),
    "a closing brace": (
        route(path="/p/id}"),
        ['routes[0].path: unbalanced braces in "id}": write a parameter as {id}'],
    ),
    "an unknown converter": (
        route(path="/p/{id:float}"),
        ['routes[0].path: unknown converter "float": expected "int", "path", "str" or "uuid"'],
    ),
    "an empty converter": (
        route(path="/p/{id:}"),
        ['routes[0].path: unknown converter "": expected "int", "path", "str" or "uuid"'],
    ),
    "a parameter that is no name": (
        route(path="/p/{2x}"),
        ['routes[0].path: expected a parameter such as {id} or {id:int}, got "{2x}"'],
    ),
    "a parameter twice": (
        route(path="/{id}/{id}"),
        ["routes[0].path: parameter {id} appears twice: give each its own name"],
    ),
    "parameters that touch": (
        route(path="/{a}{b}"),
        ["routes[0].path: {a} and {b} need text between them, such as a dash"],
    ),
    "a rest that is not last": (
        route(path="/{rest:path}/edit"),
        [
            "routes[0].path: {rest:path} takes the rest of the path, "
            "so it must be the last thing in it"
        ],
    ),
    "a suffix on a rest": (
        route(path="/{rest:path}.json"),
        [
            "routes[0].path: {rest:path} takes the rest of the path, "
            "so it must be the last thing in it"
        ],
    ),
    "two mistakes in one path": (
        route(path="/{a:x}/{b"),
        [
            'routes[0].path: unknown converter "x": expected "int", "path", "str" or "uuid"',
            'routes[0].path: unbalanced braces in "{b": write a parameter as {id}',
        ],
    ),
    "a mount that ends in a slash": (
        route('mount = "/api/"'),
        ['routes[0].mount: expected a mount such as "/api", or "" for none, got "/api/"'],
    ),
    # The other options of a route.
    "a ttl that is none": (route(ttl='ttl = "fast"'), [f'routes[0].ttl: {TTL}"fast"']),
    "a ttl with one bound": (
        route(ttl='ttl = { min = "1s" }'),
        [
            "routes[0].ttl.max: is required: The longest lifetime, however rarely the content changes."
        ],
    ),
    "bounds that contradict": (
        route(ttl='ttl = { min = "1m", max = "1s" }'),
        ["routes[0].ttl.max: 1 s are less than min (60 s): raise max"],
    ),
    "an initial lifetime outside of its bounds": (
        route(ttl='ttl = { min = "1s", max = "1m", initial = "2m", stale_target = 2 }'),
        [
            "routes[0].ttl.stale_target: expected a number above 0 and up to 1, such as 0.1, got 2",
            "routes[0].ttl.initial: 120 s are outside of min (1 s) and max (60 s)",
        ],
    ),
    "a bound of zero, and a target of another name": (
        route(ttl='ttl = { min = "0s", max = "1m", target = 1 }'),
        [
            'routes[0].ttl.target: unknown key, did you mean "stale_target"?',
            'routes[0].ttl.min: expected a duration above zero, got "0s"',
        ],
    ),
    "a learned ttl of a kind without routes": (
        '[kinds.product]\nttl = { min = "1s", max = "1m" }\n' + route(),
        [
            "kinds.product: no route is of this kind, so nothing is learned:"
            ' write kind = "product" in a route'
        ],
    ),
    "no ttl": (
        route(ttl=""),
        [
            'routes[0].ttl: is required: give ttl = "60s", ttl = "response", '
            "or a kind that has a ttl"
        ],
    ),
    "no such kind": (
        '[kinds.product]\nttl = "1m"\n' + route('kind = "produkt"', ttl=""),
        [
            'routes[0].kind: there is no kind "produkt": add [kinds.produkt], '
            'did you mean "product"?'
        ],
    ),
    "a kind without a ttl": (
        "[kinds.product]\nmax_size = 5\n" + route('kind = "product"', ttl=""),
        ['routes[0].ttl: is required: kind "product" has no ttl, so write one here or in the kind'],
    ),
    "no such risk": (
        route('risk = "hi"'),
        [
            'routes[0].risk: expected "low", "medium" or "high", got "hi", did you mean "high"?',
        ],
    ),
    "a method that is not safe": (
        route('methods = ["GET", "PUT"]'),
        ['routes[0].methods[1]: only GET, HEAD, POST and QUERY can be cached, got "PUT"'],
    ),
    "a body that nobody keys": (
        route('methods = ["GET", "POST"]'),
        ['routes[0].body: is required to cache POST: add body = "raw", or body = "graphql"'],
    ),
    "the body of a query that nobody keys": (
        route('methods = ["QUERY"]'),
        ['routes[0].body: is required to cache QUERY: add body = "raw", or body = "graphql"'],
    ),
    "a body without a method": (
        route('body = "graphql"'),
        ['routes[0].body: works only with a method that has a body: add "POST" to `methods`'],
    ),
    "a body of another kind": (
        route('methods = ["POST"]\nbody = "json"'),
        ['routes[0].body: expected "raw" or "graphql", got "json"'],
    ),
    "persisted queries without GraphQL": (
        route('methods = ["POST"]\nbody = "raw"\npersisted_queries = "query"'),
        [
            'routes[0].persisted_queries: works only with body = "graphql":'
            " write that, or leave it out"
        ],
    ),
    "persisted queries of another kind": (
        route('methods = ["POST"]\nbody = "graphql"\npersisted_queries = "all"'),
        ['routes[0].persisted_queries: expected "mutation" or "query", got "all"'],
    ),
    "a body of no size": (
        route('methods = ["POST"]\nbody = "raw"\nbody_limit = 0'),
        ["routes[0].body_limit: expected a size above zero, got 0"],
    ),
    "no methods": (
        route("methods = []"),
        [
            "routes[0].methods: expected at least one method, or `invalidates` for a route that only purges"
        ],
    ),
    "what a route of writes changes that its path does not say": (
        route('methods = []\ninvalidates = ["order:{customer}"]'),
        ["routes[0].invalidates[0]: the path has no parameter {customer}"],
    ),
    "a dependency on itself": (
        "[dependencies]\na = ['b']\nb = ['c:{x}']\n'c:{y}' = ['a', 'd:{y}']",
        ['dependencies.a: depends on itself, so remove one of these: "a" <- "b" <- "c:{y}" <- "a"'],
    ),
    "a dependency with a parameter from nowhere": (
        "[dependencies]\n'reviews:{id}' = ['product:{idd}', 'shop']",
        [
            'dependencies."reviews:{id}": no tag on the right has the parameter {id},'
            ' did you mean "idd"?; to purge all of them, write a star instead'
        ],
    ),
    "dependencies that are no tags": (
        "[dependencies]\n'x*' = ['a']\nb = ['a:*:c', '@x', 5, 'a:{x}y', '{x}', '']\nc = []\nd = 'b'",
        [
            'dependencies."x*": "x*": write plain text before the first colon, such as product:{id}',
            'dependencies.b[0]: "a:*:c": a star may only be the last part: leave out what follows it',
            "dependencies.b[1]: \"@x\": tags that begin with '@' are reserved for cachemw:"
            " write another name",
            "dependencies.b[2]: expected a tag of at most 200 visible ASCII characters without"
            " spaces and commas, got 5",
            'dependencies.b[3]: "a:{x}y": expected plain text, one parameter such as {id}'
            ' or a star at the end, got "{x}y"',
            'dependencies.b[4]: "{x}": write plain text before the first colon, such as product:{id}',
            "dependencies.b[5]: expected a tag of at most 200 visible ASCII characters without"
            ' spaces and commas, got ""',
            "dependencies.c: expected at least one, got an empty list",
            'dependencies.d: expected a list, got "b"',
        ],
    ),
    "canaries and holdouts that are none": (
        'holdout = "60%"\n[flags]\nlow = "canary 0%"\nmedium = "canary 100%"\nhigh = "10%"',
        [
            'flags.low: expected a canary above 0% and below 100%, got "canary 0%":'
            ' write "on" or "off" instead',
            'flags.medium: expected a canary above 0% and below 100%, got "canary 100%":'
            ' write "on" or "off" instead',
            'flags.high: expected "on", "off", "shadow" or a share of keys such as "canary 10%", got "10%"',
            'holdout: expected a share of requests from "0%" to "50%", got "60%"',
        ],
    ),
    "what is volatile and is no place": (
        route('volatile = ["X Y", "$", "$.a[x]", "$.a[*].b", "ok"]'),
        [
            'routes[0].volatile[0]: expected a response header, or a JSON path such as "$.items[*].age",'
            ' got "X Y"',
            'routes[0].volatile[1]: expected a response header, or a JSON path such as "$.items[*].age",'
            ' got "$"',
            'routes[0].volatile[2]: expected a response header, or a JSON path such as "$.items[*].age",'
            ' got "$.a[x]"',
        ],
    ),
    "a method twice": (
        route('methods = ["GET", "GET"]'),
        ['routes[0].methods[1]: "GET" is listed twice'],
    ),
    "tags that are a string": (
        route('tags = "a"'),
        ['routes[0].tags: expected a list, got "a"'],
    ),
    "a tag with a space": (
        route('tags = ["ok", "a b"]'),
        ['routes[0].tags[1]: expected a tag of visible ASCII without spaces and commas, got "a b"'],
    ),
    "a tag with a comma": (
        route('tags = ["a,b"]'),
        ['routes[0].tags[0]: expected a tag of visible ASCII without spaces and commas, got "a,b"'],
    ),
    "a tag that is too long": (
        route(f'tags = ["{"x" * 257}"]'),
        ["routes[0].tags[0]: expected a tag of at most 256 characters, got 257"],
    ),
    "a tag of an unknown parameter": (
        route('tags = ["p:{ids}"]'),
        ['routes[0].tags[0]: the path has no parameter {ids}, did you mean "id"?'],
    ),
    "a tag with a converter": (
        route('tags = ["p:{id:int}"]'),
        [
            "routes[0].tags[0]: expected parameters such as {id}, {query.page} or"
            ' {header.accept-language} in a tag, got "p:{id:int}"'
        ],
    ),
    "tags of what is no part of a request": (
        route('tags = ["p:{cookie.sid}", "p:{query.}", "p:{query.a", "p:{id?}"]'),
        [
            f"routes[0].tags[{index}]: expected parameters such as {{id}}, {{query.page}} or"
            f' {{header.accept-language}} in a tag, got "p:{tag}"'
            for index, tag in enumerate(("{cookie.sid}", "{query.}", "{query.a", "{id?}"))
        ],
    ),
    "tags of parameters that are not in the key": (
        route(
            'query = ["uri"]\ntags = ["c:{query.uri}", "c:{query.url}"]\ninvalidates = ["{query.b?}"]'
        ),
        [
            'routes[0].tags[1]: {query.url} is not in the key: add "url" to `query`, did you mean "uri"?',
            'routes[0].invalidates[0]: {query.b?} is not in the key: add "b" to `query`',
        ],
    ),
    "tags of parameters that are ignored": (
        route('ignore_query = ["a", "utm_*"]\ntags = ["{query.a}", "{query.utm_x}", "{query.b}"]'),
        [
            'routes[0].tags[0]: {query.a} is not in the key: "a" in `ignore_query` removes it',
            'routes[0].tags[1]: {query.utm_x} is not in the key: "utm_*" in `ignore_query` removes it',
        ],
    ),
    "a tag of a header that is not in the key": (
        route('vary = ["Accept"]\ntags = ["{header.Accept}", "l:{header.Accept-Language?}"]'),
        [
            "routes[0].tags[1]: {header.Accept-Language?} is not in the key:"
            ' add "accept-language" to `vary`'
        ],
    ),
    "query and ignore_query": (
        route('query = ["a"]\nignore_query = ["b"]'),
        [
            "routes[0].ignore_query: cannot be used with `query`, "
            "which removes all others: leave it out"
        ],
    ),
    "identity and same_for_all_users": (
        route('identity = "who"\nsame_for_all_users = true'),
        [
            "routes[0].same_for_all_users: cannot be used with `identity`, "
            "which keeps users apart: leave one of them out"
        ],
    ),
    "an identity header that is none": (
        'identity_headers = ["X User"]',
        [
            "identity_headers[0]: expected the name of a request header such as "
            '"Accept-Language", got "X User"'
        ],
    ),
    "a wildcard in query": (
        route('query = ["utm_*"]'),
        ['routes[0].query[0]: "utm_*" must be an exact name: only `ignore_query` allows *'],
    ),
    "a wildcard in the middle": (
        route('ignore_query = ["a*b"]'),
        ['routes[0].ignore_query[0]: "a*b" may have * only at its end'],
    ),
    "an empty parameter": (
        route('query = [""]'),
        ["routes[0].query[0]: expected the name of a query parameter, got an empty string"],
    ),
    "vary on everything": (
        route('vary = ["*"]'),
        [
            'routes[0].vary[0]: "*" cannot be listed: an answer that varies on * can never be '
            "reused: remove the route"
        ],
    ),
    "vary on cookies": (
        route('vary = ["Accept", "Cookie"]'),
        [
            'routes[0].vary[1]: "Cookie" cannot be listed: '
            "list the cookies the route reads in `cookies` instead"
        ],
    ),
    "vary on authorization": (
        route('vary = ["AUTHORIZATION"]'),
        [
            'routes[0].vary[0]: "AUTHORIZATION" cannot be listed: '
            "write a function that returns who is asking as `identity` instead"
        ],
    ),
    "vary on the host": (
        route('vary = ["Host"]'),
        [
            'routes[0].vary[0]: "Host" cannot be listed: '
            "the host is always part of the key: leave it out"
        ],
    ),
    "vary on ranges": (
        route('vary = ["Range"]'),
        [
            'routes[0].vary[0]: "Range" cannot be listed: '
            "parts are made from the whole stored answer: leave it out"
        ],
    ),
    "vary on no field name": (
        route('vary = ["Accept Language"]'),
        [
            "routes[0].vary[0]: expected the name of a request header such as "
            '"Accept-Language", got "Accept Language"'
        ],
    ),
    "the same header in two cases": (
        route('vary = ["Accept", "accept"]'),
        ['routes[0].vary[1]: "accept" is listed twice'],
    ),
    "no cookie name": (
        route('cookies = ["a=b"]'),
        ['routes[0].cookies[0]: expected the name of a cookie, got "a=b"'],
    ),
    "no function": (
        route('identity = "a b"'),
        [
            'routes[0].identity: expected a function such as "module:function", '
            'or a registered name, got "a b"'
        ],
    ),
    "a name with a comma": (
        route('name = "a,b"'),
        [
            "routes[0].name: expected 1 to 100 letters, digits, dots, dashes or underscores, "
            'got "a,b"'
        ],
    ),
    # Routes together.
    "one name twice": (
        route('name = "a"') + route('name = "a"', path="/q"),
        ['routes[1].name: "a" is already the name of routes[0]: write another'],
    ),
    "one template twice": (
        route() + route('name = "b"', path="/p/{slug}"),
        [
            "routes[1].path: can never match: routes[0] (/p/{id}) "
            "comes first and matches all its requests"
        ],
    ),
    "a literal behind a parameter": (
        route() + route(path="/p/new"),
        [
            "routes[1].path: can never match: routes[0] (/p/{id}) "
            "comes first and matches all its requests"
        ],
    ),
    "anything behind a rest": (
        route(path="/{rest:path}") + route(path="/a/{b}/c"),
        [
            "routes[1].path: can never match: routes[0] (/{rest:path}) "
            "comes first and matches all its requests"
        ],
    ),
    "a mount behind any mount": (
        route() + route('mount = "/api"'),
        [
            "routes[1].path: can never match: routes[0] (/p/{id}) "
            "comes first and matches all its requests"
        ],
    ),
}


def problems_of(document: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_from(tomllib.loads(document), environ={})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("document", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_named_with_its_path(document: str, lines: list[str]) -> None:
    assert problems_of(document) == lines


def test_all_mistakes_of_a_document_are_in_one_report() -> None:
    document = """
        namspace = "shop"
        redis = "http://localhost"
        [memory]
        max_size = "1MiB"
        planned_size = "2MiB"
        [kinds.product]
        ttl = "soon"
        [[routes]]
        path = "/products/{id"
        kind = "prod"
        methods = ["PUT"]
        [[routes]]
        path = "/a"
        name = "a"
        ttl = "1s"
        [[routes]]
        path = "/a"
        name = "a"
        ttl = -1
    """
    with pytest.raises(ConfigError) as caught:
        config_from(tomllib.loads(document), source="shop.toml", environ={})
    assert str(caught.value) == textwrap.dedent(
        """\
        10 problems in shop.toml:
          namspace: unknown key, did you mean "namespace"?
          redis: expected a URL that starts with redis://, rediss:// or unix://, or with redis+sentinel:// or redis+cluster://
          memory.planned_size: 2097152 bytes are more than max_size (1048576): raise max_size
          kinds.product.ttl: expected a duration such as "30s" or "5m", or "response", got "soon"
          routes[0].path: unbalanced braces in "{id": write a parameter as {id}
          routes[0].methods[0]: only GET, HEAD, POST and QUERY can be cached, got "PUT"
          routes[2].ttl: expected a duration such as "30s" or "5m", or "response", got -1
          routes[2].name: "a" is already the name of routes[1]: write another
          routes[2].path: can never match: routes[1] (/a) comes first and matches all its requests
          routes[0].kind: there is no kind "prod": add [kinds.prod], did you mean "product"?"""
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b'namespace = "a"\nredis "x"\n',
            "line 2, column 7: not valid TOML: Expected '=' after a key in a key/value pair",
        ),
        (b"\xff", "byte 0: not UTF-8: save the file in UTF-8"),
        (b"a = [", "not valid TOML: Invalid value (at end of document)"),
    ],
    ids=["syntax", "encoding", "end"],
)
def test_a_file_that_is_no_toml_is_named_with_the_line(
    tmp_path: Path, content: bytes, line: str
) -> None:
    file = tmp_path / "cachemw.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={})
    assert str(caught.value) == f"1 problem in {file}:\n  {line}"


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_config(tmp_path / "none.toml", environ={})


def test_a_document_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a table, got 5"):
        config_from(5, environ={})  # type: ignore[arg-type]


def test_keys_that_are_no_strings_are_refused() -> None:
    with pytest.raises(ConfigError, match="kinds: expected only strings as keys, got 1"):
        config_from({"kinds": {1: {}}}, environ={})
