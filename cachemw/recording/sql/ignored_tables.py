"""Tables that are not recorded: no answer depends on them, and no write to them purges anything.

Every login, logout and visit writes to the tables of sessions and tokens. If these writes purged, one
visitor would empty caches in all processes, and nobody would gain: an answer that depends on a session or
on a token is for whoever holds it, and must have its Cookie or Authorization header in the key anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["SESSIONS_AND_TOKENS", "IgnoredTables"]

SESSIONS_AND_TOKENS = (
    "django_session",
    "user_sessions_session",  # django-user-sessions
    "qsessions_session",  # django-qsessions
    "usersessions_usersession",  # django-allauth
    "authtoken_token",  # Django REST framework
    "knox_authtoken",  # django-rest-knox
    "token_blacklist_outstandingtoken",  # Simple JWT
    "token_blacklist_blacklistedtoken",
    "oauth2_provider_accesstoken",  # Django OAuth Toolkit
    "oauth2_provider_refreshtoken",
    "oauth2_provider_idtoken",
    "oauth2_provider_grant",
    "oauth2_provider_devicegrant",
    "socialaccount_socialtoken",  # django-allauth
    "rest_framework_api_key_apikey",  # djangorestframework-api-key
)
"""The names that these packages give to their tables. `recording.record_tables` takes one back."""
_KEYS_OF_CACHES = ("menus_cachekey",)
"""Django CMS: the keys of its menus in Django's cache, to drop them by. Whoever shows a menu writes them."""


class IgnoredTables:
    """The ignored tables of one cache, by their names as `statements.table_name` spells them."""

    def __init__(self, ignore: Iterable[str] = (), record: Iterable[str] = ()) -> None:
        """Ignore tables of sessions and tokens and those of `ignore`, but none of `record`.

        Each name may have `*` in it, which stands for any characters.
        """
        ignored = _compile((*SESSIONS_AND_TOKENS, *_KEYS_OF_CACHES, *ignore))
        recorded = _compile(record)

        # The names come from statements, so their number is bounded here (I4).
        @lru_cache(maxsize=4096)
        def is_ignored(table: object) -> bool:
            name = str(table)
            return bool(ignored.fullmatch(name)) and not recorded.fullmatch(name)

        self._is_ignored = is_ignored

    def __contains__(self, table: object) -> bool:
        return self._is_ignored(table)


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(
        "|".join(re.escape(each).replace(r"\*", ".*") for each in patterns), re.DOTALL
    )
