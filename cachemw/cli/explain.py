"""The command `cachemw explain`: show what the cache would do with a request, and why."""

from __future__ import annotations

from dataclasses import asdict

import click
import msgspec

from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo, echo_json
from cachemw.cli.common.redis_access import watching_cache
from cachemw.introspection.explain import Explanation
from cachemw.introspection.stored_entries import StoredEntry

__all__ = ["explain"]

_WITHOUT_REDIS = (
    "the entries are in the memory of each process, where this command cannot look."
    " Call cache.explain() in the application"
)
_UNKNOWN = "what the cache would do with the request is not known"


def _parse_headers(
    ctx: click.Context, parameter: click.Parameter, lines: tuple[str, ...]
) -> object:
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isascii():
            raise click.BadParameter(f"expected 'Name: value', got {line!r}")
        headers.append((name.strip(), value.strip()))
    return headers


@click.command(short_help="Show what the cache would do with a request, and why.")
@config_option
@click.argument("url")
@click.option("-X", "--method", default="GET", show_default=True, help="The request's method.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    callback=_parse_headers,
    metavar="'NAME: VALUE'",
    help="A header of the request; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    path: ConfigLocation, url: str, method: str, headers: list[tuple[str, str]], as_json: bool
) -> None:
    """Show what the cache would do with a request for URL now, and why.

    The answer comes from the entries, the invalidation log and the live flags in Redis. Give the
    whole URL (https://shop.example/products/1): the host is part of the key, and is localhost where
    it is left out. The application is not called, and neither are its identity functions.
    """
    with watching_cache(read_config(path), _WITHOUT_REDIS, _UNKNOWN) as cache:
        cache.inspection.wait_for_log()
        explanation = cache.explain(method, url, headers)
        unusable = None
        if explanation.stored is None and explanation.key is not None:
            unusable = cache.inspection.by_key(explanation.key)
    if as_json:
        document = msgspec.to_builtins(explanation)
        document["unusable"] = None if unusable is None else asdict(unusable)
        echo_json(document)
    else:
        echo(*_as_lines(explanation, unusable))


def _as_lines(explanation: Explanation, unusable: StoredEntry | None) -> list[str]:
    lines = str(explanation).split("\n")
    if unusable is None:
        return lines
    if unusable.verdict == "rejected":
        return [*lines, f"  unusable the stored bytes are not a valid entry: {unusable.reason}"]
    return [
        *lines,
        f"  unusable {unusable.status}, {unusable.size} bytes, age {unusable.age:.0f} s,"
        f" ttl {unusable.ttl:.0f} s: {unusable.verdict}",
    ]
