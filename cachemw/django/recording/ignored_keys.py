"""Keys in Django's cache that no response is made from."""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from django.conf import settings

__all__ = ["is_ignored"]

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


def is_ignored(key: object, configured: tuple[str, ...]) -> bool:
    """Tell whether no response is made from the value of a key.

    `configured` are the patterns of `recording.ignore_cached`.
    """
    if not isinstance(key, str):
        return False
    return bool(_pattern(configured).fullmatch(key)) or key.startswith(_session_prefix())


@lru_cache(maxsize=8)
def _pattern(configured: tuple[str, ...]) -> re.Pattern[str]:
    patterns = (*_IGNORED, *configured)
    return re.compile(
        "|".join(re.escape(each).replace(r"\*", ".*") for each in patterns), re.DOTALL
    )


def _session_prefix() -> str | tuple[str, ...]:
    """Return how the keys of the project's own session engine begin, if it is one of a cache."""
    engine = sys.modules.get(settings.SESSION_ENGINE)  # if it is not loaded, it reads no sessions
    prefix = getattr(getattr(engine, "SessionStore", None), "cache_key_prefix", None)
    return prefix if isinstance(prefix, str) and prefix else ()
