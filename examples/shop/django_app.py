"""The shop under Django, with its settings: `gunicorn "shop.django_app:create_app()"`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from . import caching, seed

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "APPEND_SLASH": False,
    "DEBUG": False,
    "INSTALLED_APPS": [__package__],
    "LOGGING_CONFIG": None,
    "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],
    "ROOT_URLCONF": f"{__package__}.django_views",
    "SECRET_KEY": "the shop signs nothing",
    "USE_TZ": True,
}


def create_app() -> Callable[..., Any]:
    """Configure Django and return the WSGI application. The cache is first in `MIDDLEWARE`."""
    chosen = dict(SETTINGS, DATABASES={"default": database(seed.ensure(seed.default_path()))})
    if caching.is_on():
        chosen["MIDDLEWARE"] = ["cachemw.django.CacheMiddleware", *SETTINGS["MIDDLEWARE"]]
        chosen["INSTALLED_APPS"] = ["cachemw.django", *SETTINGS["INSTALLED_APPS"]]
        chosen["CACHEMW"] = caching.CONFIG
    settings.configure(**chosen)
    return get_wsgi_application()


def database(path: Path) -> dict[str, Any]:
    """Return the settings of the database; each thread keeps its connection open."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 10,
            # In SQLite, a transaction that begins with a read fails if another one has written since.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 268435456;",
        },
    }
