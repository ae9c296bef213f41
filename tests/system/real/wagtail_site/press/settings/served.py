"""The start project's settings with what a deployment adds, and the cache where it is on."""

import os

from .base import *  # noqa: F403
from .base import BASE_DIR, INSTALLED_APPS, MIDDLEWARE

DEBUG = False
SECRET_KEY = "the same in every process of the site"
ALLOWED_HOSTS = ["real.test"]
ROOT_URLCONF = "press.served_urls"
INSTALLED_APPS = ["news", *INSTALLED_APPS]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # Several processes write sessions: wait for the lock instead of failing.
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The cost of a password hash is not what is measured here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

if "SITE_REDIS" in os.environ:
    MIDDLEWARE = ["cachemw.django.CacheMiddleware", *MIDDLEWARE]
    CACHEMW = {
        "namespace": "press",
        "redis": os.environ["SITE_REDIS"],
        "routes": [
            {"name": "search", "path": "/search/", "ttl": "10m", "tags": ["search"]},
            {"name": "site", "path": "/{rest:path}", "ttl": "10m", "tags": ["at:/{rest}"]},
        ],
    }

# Errors go to the server's output, where a failing test shows them.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
}
