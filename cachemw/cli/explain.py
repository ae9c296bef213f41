"""`cachemw explain`: what would become of a request, and why."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
import msgspec

from cachemw.cli.options import Where, config_option, looking, read_config
from cachemw.introspection.explain import Explanation
from cachemw.introspection.stored_entries import StoredEntry

__all__ = ["explain"]

_ALONE = (
    "the answers are in the memory of each process, where this command cannot look."
    " Call cache.explain() in the application"
)
_UNSEEN = "what would become of the request is not known"


def _field(ctx: click.Context, parameter: click.Parameter, lines: tuple[str, ...]) -> object:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isascii():
            raise click.BadParameter(f"expected 'Name: value', got {line!r}")
        fields.append((name.strip(), value.strip()))
    return fields


@click.command()
@config_option
@click.argument("url")
@click.option("-X", "--method", default="GET", show_default=True, help="The request's method.")
@click.option(
    "-H",
    "--header",
    "fields",
    multiple=True,
    callback=_field,
    metavar="'NAME: VALUE'",
    help="A field of the request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    path: Where, url: str, method: str, fields: list[tuple[str, str]], as_json: bool
) -> None:
    """Say what would become of a request for URL now, by the fleet's Redis, its log and its flags.

    Give the whole URL (https://shop.example/products/1): the host is part of the key, and it is
    localhost where it is left out. Nobody is asked: neither the application nor its identity functions.
    """
    with looking(read_config(path), _ALONE, _UNSEEN) as cache:
        cache.inspection.wait_for_log()
        explanation = cache.explain(method, url, fields)
        there = None
        if explanation.stored is None and explanation.key is not None:
            there = cache.inspection.by_key(explanation.key)
    if as_json:
        document = msgspec.to_builtins(explanation)
        document["unusable"] = None if there is None else asdict(there)
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_text(explanation, there))


def _text(explanation: Explanation, there: StoredEntry | None) -> str:
    text = str(explanation)
    if there is None:
        return text
    if there.verdict == "rejected":
        return f"{text}\n  unusable what is there is no entry that is believed: {there.reason}"
    return (
        f"{text}\n  unusable {there.status}, {there.size} bytes, age {there.age:.0f} s,"
        f" ttl {there.ttl:.0f} s: {there.verdict}"
    )
