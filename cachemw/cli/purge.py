"""The command `cachemw purge`: remove entries in every process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from cachemw.cache import Cache
from cachemw.cli.common.completion import complete_route
from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo, echo_json
from cachemw.cli.common.redis_access import (
    command_cache,
    redis_settings,
    reporting_redis_errors,
    reporting_value_errors,
    watching_cache,
)
from cachemw.config import Config
from cachemw.errors import CacheError
from cachemw.introspection.stored_entries import Preview, Touched

__all__ = ["purge"]

_WITHOUT_REDIS = (
    "the entries are in the memory of each process, where this command cannot reach them;"
    " nothing was purged. Call cache.purge() in the application, or restart it"
)
# Redis may have received the command and failed only to answer, so the message cannot be certain.
_NOT_PURGED = "nothing was purged, as far as is known; purge again when Redis answers"
_UNKNOWN = "what would be purged is not known"
_COUNT_SECONDS = 1.0
"""Longest time that a purge waits to count what it will touch."""
_PREVIEW_WITHOUT_REDIS = (
    "the entries are in the memory of each process, where this command cannot look."
    " Call cache.preview() in the application"
)


@click.command(short_help="Purge by tag, URL or route, or everything.")
@config_option
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Purge the entries that carry this tag."
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Purge a URL: /products/1?page=2 on every host, or https://shop.example/products/1.",
)
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_route,
    help="Purge the entries of this route.",
)
@click.option("--everything", is_flag=True, help="Purge all entries of the namespace.")
@click.option(
    "--soft",
    is_flag=True,
    help="Make the entries stale instead: they may be served while they are renewed.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be purged, and purge nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge(
    path: ConfigLocation,
    tags: tuple[str, ...],
    urls: tuple[str, ...],
    routes: tuple[str, ...],
    everything: bool,
    soft: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Purge by tag, URL or route, or everything, in all processes that share this Redis.

    --tag, --url and --route may be repeated and combined; an entry that matches any of them is
    purged. The exit status is 0 when the purge is in the log. It is 1 when Redis cannot be reached:
    then nothing was purged, because this command ends at once and cannot try again later.
    """
    is_selective = bool(tags or urls or routes)
    if everything and is_selective:
        raise click.UsageError("--everything takes no --tag, --url or --route beside it")
    if not everything and not is_selective:
        raise click.UsageError("name a --tag, a --url or a --route, or give --everything")
    config = read_config(path)
    selection: dict[str, Any] = {
        "tags": tags,
        "urls": urls,
        "routes": routes,
        "everything": everything,
    }
    if dry_run:
        _preview(config, selection, as_json)
    else:
        _purge(config, selection, soft, as_json)


def _purge(config: Config, selection: dict[str, Any], soft: bool, as_json: bool) -> None:
    redis = redis_settings(config, _WITHOUT_REDIS)
    touched = _count(config, selection)
    cache, _ = command_cache(config, _WITHOUT_REDIS)
    try:
        with reporting_redis_errors(redis, _NOT_PURGED), reporting_value_errors():
            result = cache.purge(**selection, soft=soft)
            _warn_of_unrouted(cache, selection["urls"])
    finally:
        cache.close()
    if as_json:
        counted = None if touched is None else asdict(touched)
        echo_json({**asdict(result), "redis": counted}, indent=None)
    else:
        echo(result.sentence(soft=soft))
        if touched is not None:
            echo(f"It touched {_describe(touched)}.")


def _count(config: Config, selection: dict[str, Any]) -> Touched | None:
    """Return what a purge will touch in Redis; None if that cannot be counted in a moment.

    The count must come before the purge, which hides what it touches, and must not hold it up.
    """
    try:
        with watching_cache(config, _WITHOUT_REDIS, _UNKNOWN) as cache:
            preview = cache.preview(**selection, within=_COUNT_SECONDS, patience=_COUNT_SECONDS)
    except (click.ClickException, CacheError):
        return None  # the purge itself will say what is wrong
    return preview.redis if preview.complete else None


def _warn_of_unrouted(cache: Cache, urls: tuple[str, ...]) -> None:
    for url in cache.inspection.unrouted(urls):
        echo(f"warning: no route matches {url}: nothing is stored for it", err=True)


def _preview(config: Config, selection: dict[str, Any], as_json: bool) -> None:
    with watching_cache(config, _PREVIEW_WITHOUT_REDIS, _UNKNOWN) as cache:
        preview = cache.preview(**selection)
        _warn_of_unrouted(cache, selection["urls"])
    assert preview.redis is not None
    if as_json:
        echo_json({"tags": preview.tags, "redis": asdict(preview.redis)}, indent=None)
    else:
        echo(*_preview_lines(preview, preview.redis))


def _describe(touched: Touched) -> str:
    routes = ", ".join(f"{route} {count}" for route, count in sorted(touched.routes.items()))
    entries = f"{touched.entries} {'entry' if touched.entries == 1 else 'entries'} in Redis"
    return f"{entries}, {touched.size} bytes{f': {routes}' if routes else ''}"


def _preview_lines(preview: Preview, touched: Touched) -> list[str]:
    lines = [f"Would purge {_describe(touched)}."]
    if preview.tags is not None:
        lines.append(f"By {'this tag' if len(preview.tags) == 1 else 'these tags'}:")
        lines += [f"  {tag}" for tag in preview.tags]
    return [*lines, "Nothing was purged."]
