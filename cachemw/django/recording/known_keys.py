"""Keys in Django's cache that are known by their names."""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from django.conf import settings

__all__ = ["is_dropped", "is_ignored", "is_remade"]

_IGNORED = (
    "django.contrib.sessions.cache*",
    "django.contrib.sessions.cached_db*",
    "views.decorators.cache.cache_header.*",  # the lists of headers by which `cache_page` finds its pages
    "throttle_*",  # the requests that Django REST framework has counted
    "*_PAGE_CACHE_VERSION",  # django CMS: versions in its other keys, which it raises to drop them
    "*|placeholder_cache_version|*",
    "*:permission:version",
    "sorl-thumbnail||*",  # the sizes and names of pictures, by a digest of their source
    "django_compressor.*",  # the names of files, by a digest of what is in them
)
"""`*` stands for any characters. Sessions are never recorded: who shows one must have it in the key."""
_DROPPED = (
    "cms_*",  # pages, menus and placeholders of django CMS
    "CATEGORY_URL_*",  # the addresses of categories, which every page of Oscar shows
)
"""These values are made by a few queries, wherever they are missing."""


def is_ignored(key: object, configured: tuple[str, ...]) -> bool:
    """Tell whether no response is made from the value of a key.

    `configured` are the patterns of `recording.ignore_cached`.
    """
    if not isinstance(key, str):
        return False
    return _is_one_of(key, _IGNORED, configured) or key.startswith(_session_prefix())


def is_dropped(key: object, configured: tuple[str, ...]) -> bool:
    """Tell whether the value of a key may be removed when it is too old, so that it is made anew.

    `configured` are the patterns of `recording.drop_cached`.
    """
    return _is_one_of(str(key), _DROPPED, configured)


def is_remade(key: object) -> bool:
    """Tell whether an application is known to make the value of a key wherever it is missing."""
    return _is_one_of(str(key), _DROPPED, ())


def _is_one_of(key: str, known: tuple[str, ...], configured: tuple[str, ...]) -> bool:
    return _pattern((*known, *configured)).fullmatch(key) is not None


@lru_cache(maxsize=8)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        "|".join(re.escape(each).replace(r"\*", ".*") for each in patterns), re.DOTALL
    )


def _session_prefix() -> str | tuple[str, ...]:
    """Return how the keys of the project's own session engine begin, if it is one of a cache."""
    engine = sys.modules.get(settings.SESSION_ENGINE)  # if it is not loaded, it reads no sessions
    prefix = getattr(getattr(engine, "SessionStore", None), "cache_key_prefix", None)
    return prefix if isinstance(prefix, str) and prefix else ()
