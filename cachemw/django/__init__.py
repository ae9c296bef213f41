"""Middleware, admin page and query recording for Django.

    MIDDLEWARE = ["cachemw.django.CacheMiddleware", ...]     # first: it must see what all others do
    CACHEMW = {"routes": [...]}                              # or the path of a TOML file

One middleware serves both WSGI and ASGI natively. `get_cache()` returns the Cache, for purging.

Reading order:

- `middleware`: the middleware, for threads and for event loops.
- `refreshes`: calls of the application in the background.
- `response_relay`: how the application's response goes on to Django's handler.
- `read_cookies`: which cookies the application reads.
- `translate`: between Django's requests and responses and the engine's messages.
- `registry`: the one cache of the process.
- `steering`: the settings of Django by which the cache keys, and those that name personal cookies.
- `checks`: what `manage.py check` finds.
- `query_recording`: where the recording of queries starts.
- `recording`: what is recorded, and when writes purge.
- `apps`: the application for INSTALLED_APPS.
- `models`: the model without a table that carries the admin's permissions.
- `migrations`: the migration that makes those permissions.
- `templatetags`: the tag `hole`.
- `management`: the command `manage.py cachemw`.
- `admin`: the page in the admin.
"""

from cachemw.django import query_recording  # noqa: F401 - it waits for the first cache
from cachemw.django.middleware import CacheMiddleware
from cachemw.django.registry import get_cache

__all__ = ["CacheMiddleware", "get_cache"]
