"""The checks for `manage.py check`: mistakes in `CACHEMW` and in the order of the middleware.

| id | what |
|---|---|
| `cachemw.E001` | there is middleware of the cache, and no `CACHEMW` |
| `cachemw.E002` | a mistake in `CACHEMW`, one for each |
| `cachemw.E003` | the middleware stands there twice |
| `cachemw.E004` | the middleware of another front door |
| `cachemw.W001` | the application is installed, and there is neither `CACHEMW` nor the middleware |
| `cachemw.W002` | sessions, authentication or what else depends on the visitor stand outside |
| `cachemw.W003` | `GZipMiddleware` stands outside |
| `cachemw.W004` | Django's own cache middleware stands beside |
| `cachemw.W005` | several workers, or `--deploy`, with memory alone |
| `cachemw.W006` | with `--deploy`: Redis without `secret`, or with the default namespace |
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags
from django.core.exceptions import ImproperlyConfigured

from cachemw.config import Config
from cachemw.config.checks.warnings import memory_warning, redis_warnings
from cachemw.django.registry import get_config
from cachemw.django.steering import imported
from cachemw.errors import ConfigError
from cachemw.extensions.identity import resolve_identities

__all__ = ["register_checks"]

_NAME = "cachemw.django.CacheMiddleware"
# Classes by their names: Django's own modules cannot be imported without the applications they belong to.
_OURS = "cachemw.django.middleware.CacheMiddleware"
_OF_VISITORS = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.locale.LocaleMiddleware",
)
_GZIP = "django.middleware.gzip.GZipMiddleware"
_CACHES_OF_DJANGO = (
    "django.middleware.cache.CacheMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
)
_WORKERS = "WEB_CONCURRENCY"
"""The environment variable by which gunicorn, uvicorn and many hosts set the number of workers."""


def register_checks() -> None:
    """Register the checks with Django; a second call changes nothing."""
    checks.register(_check, Tags.caches)
    checks.register(_check_deployment, Tags.caches, deploy=True)


def _check(**_: Any) -> list[CheckMessage]:
    return [*_check_setting(), *_check_middleware()]


def _check_setting() -> Iterator[CheckMessage]:
    try:
        config = _read_config()
    except ImproperlyConfigured:
        yield _missing()
    except ConfigError as error:
        for problem in error.problems:
            yield Error(f"{error.source or 'settings.CACHEMW'}: {problem}", id="cachemw.E002")
    else:
        workers = os.environ.get(_WORKERS, "")
        if config.redis is None and workers.isdecimal() and int(workers) > 1:
            yield checks.Warning(memory_warning(int(workers)), id="cachemw.W005")


def _read_config() -> Config:
    config = get_config()
    # A name without a module cannot be given to the cache of Django, so it is a mistake too.
    resolve_identities(config, {})
    return config


def _missing() -> CheckMessage:
    hint = 'Write CACHEMW = {"routes": [...]}, or CACHEMW = BASE_DIR / "cachemw.toml".'
    if any(_is(path, _OURS) for path in settings.MIDDLEWARE):
        return Error(f"{_NAME} needs the setting CACHEMW.", hint=hint, id="cachemw.E001")
    return checks.Warning(
        'INSTALLED_APPS has "cachemw.django", but there is no setting CACHEMW: nothing is cached or purged.',
        hint=hint,
        id="cachemw.W001",
    )


def _check_middleware() -> Iterator[CheckMessage]:
    paths = list(settings.MIDDLEWARE)
    for path in paths:
        if path.startswith("cachemw.") and not _is(path, _OURS):
            yield Error(
                f"MIDDLEWARE has {path}, which is not for Django.",
                hint=f"Write {_NAME}.",
                id="cachemw.E004",
            )
    ours = [index for index, path in enumerate(paths) if _is(path, _OURS)]
    if len(ours) > 1:
        yield Error(
            f"MIDDLEWARE has {_NAME} {len(ours)} times.", hint="Keep the first.", id="cachemw.E003"
        )
    if ours:
        yield from _check_order(paths[: ours[0]], paths[ours[0] + 1 :])


def _check_order(outside: Sequence[str], inside: Sequence[str]) -> Iterator[CheckMessage]:
    first = f"List {_NAME} first in MIDDLEWARE."
    if found := [path for path in outside if _is(path, *_OF_VISITORS)]:
        yield checks.Warning(
            f"{_NAME} stands below {', '.join(found)}: what depends on the visitor is outside of the cache,"
            " so requests bypass it.",
            hint=first,
            id="cachemw.W002",
        )
    if found := [path for path in outside if _is(path, _GZIP)]:
        yield checks.Warning(
            f"{_NAME} stands below {found[0]}: each hit is compressed again.",
            hint=first,
            id="cachemw.W003",
        )
    if found := [path for path in (*outside, *inside) if _is(path, *_CACHES_OF_DJANGO)]:
        yield checks.Warning(
            f"MIDDLEWARE has {', '.join(found)} beside {_NAME}: a purge does not reach what Django's cache"
            " keeps, so old answers are served after a write.",
            hint="Remove one of the two caches.",
            id="cachemw.W004",
        )


def _check_deployment(**_: Any) -> list[CheckMessage]:
    try:
        config = get_config()
    except (ImproperlyConfigured, ConfigError):
        return []  # the other check names it
    if config.redis is None:
        message = (
            "CACHEMW has no redis: with several workers, a purge or write reaches only one of them."
        )
        hint = 'Write "redis": "redis://localhost:6379/0", or run one worker.'
        return [checks.Warning(message, hint=hint, id="cachemw.W005")]
    warnings = redis_warnings(config.namespace, has_secret=bool(config.secret))
    return [checks.Warning(f"CACHEMW: {each}", id="cachemw.W006") for each in warnings]


def _is(path: str, *names: str) -> bool:
    """Tell whether a dotted path names one of these classes, or a subclass of one."""
    found = imported(path)
    bases = found.__mro__ if isinstance(found, type) else ()
    return any(f"{base.__module__}.{base.__qualname__}" in names for base in bases)
