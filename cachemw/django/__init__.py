"""The front door for Django.

    MIDDLEWARE = ["cachemw.django.CacheMiddleware", ...]     # first: it must see what all others do
    CACHEMW = {"routes": [...]}                              # or the path of a TOML file

One hybrid middleware, native under WSGI and under ASGI. `get_cache()` gives the Cache, for purging.
"""

from cachemw.django.middleware import CacheMiddleware
from cachemw.django.registry import get_cache

__all__ = ["CacheMiddleware", "get_cache"]
