"""`cachemw purge`: make the whole fleet forget."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from cachemw.cli.common.options import (
    Where,
    config_option,
    fleet_cache,
    fleet_redis,
    looking,
    reaching,
    read_config,
    telling_mistakes,
)
from cachemw.config import Config
from cachemw.introspection.stored_entries import Preview, Touched

__all__ = ["purge"]

_ALONE = (
    "the caches are in the memory of each process, where this command cannot reach them;"
    " nothing was purged. Call cache.purge() in the application, or restart it"
)

# A command that Redis took and did not answer may still be carried out.
_UNDONE = "nothing was purged, as far as is known; purge again when it is well"
_UNSEEN = "what would be purged is not known"
_UNSEEN_ALONE = (
    "the caches are in the memory of each process, where this command cannot look."
    " Call cache.preview() in the application"
)


@click.command()
@config_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Purge what carries this tag.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Purge a URL: /products/1?page=2 on every host, or https://shop.example/products/1.",
)
@click.option("--route", "routes", multiple=True, metavar="NAME", help="Purge a route's answers.")
@click.option("--everything", is_flag=True, help="Purge all that the namespace holds.")
@click.option("--soft", is_flag=True, help="Count it as stale instead: it may serve while renewed.")
@click.option("--dry-run", is_flag=True, help="Say what would be purged, and purge nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    path: Where,
    tags: tuple[str, ...],
    urls: tuple[str, ...],
    routes: tuple[str, ...],
    everything: bool,
    soft: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Purge by tag, URL or route, or everything, in every process of the fleet.

    Exits 0 when the purge is in the log, and 1 when Redis cannot be reached: then nothing was
    purged, for this process ends here and cannot do it later.
    """
    named = bool(tags or urls or routes)
    if everything and named:
        raise click.UsageError("--everything takes no --tag, --url or --route beside it")
    if not everything and not named:
        raise click.UsageError("name a --tag, a --url or a --route, or say --everything")
    config = read_config(path)
    words: dict[str, Any] = {"tags": tags, "urls": urls, "routes": routes, "everything": everything}
    if dry_run:
        _preview(config, words, as_json)
        return
    redis = fleet_redis(config, _ALONE)
    cache, _ = fleet_cache(config, _ALONE)
    try:
        with reaching(redis, _UNDONE), telling_mistakes():
            result = cache.purge(**words, soft=soft)
    finally:
        cache.close()
    click.echo(json.dumps(asdict(result)) if as_json else result.sentence(soft=soft))


def _preview(config: Config, words: dict[str, Any], as_json: bool) -> None:
    with looking(config, _UNSEEN_ALONE, _UNSEEN) as cache:
        preview = cache.preview(**words)
    assert preview.redis is not None
    if as_json:
        click.echo(json.dumps({"tags": preview.tags, "redis": asdict(preview.redis)}))
    else:
        click.echo(_foretold(preview, preview.redis))


def _foretold(preview: Preview, touched: Touched) -> str:
    routes = ", ".join(f"{route} {count}" for route, count in sorted(touched.routes.items()))
    what = f"{touched.entries} {'entry' if touched.entries == 1 else 'entries'} in Redis"
    lines = [f"Would purge {what}, {touched.size} bytes{f': {routes}' if routes else ''}."]
    if preview.tags is not None:
        lines.append(f"By {'this tag' if len(preview.tags) == 1 else 'these tags'}:")
        lines += [f"  {tag}" for tag in preview.tags]
    lines.append("Nothing was purged.")
    return "\n".join(lines)
