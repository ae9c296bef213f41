"""A small shop with Django's admin: what the tests of the page, and those in a browser, run."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

PASSWORD = "of nobody else"
MESSAGES = "django.contrib.messages.context_processors.messages"
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    MESSAGES,
]
ROUTES: list[dict[str, Any]] = [
    {
        "name": "products",
        "path": "/products/{name}",
        "ttl": "1h",
        "risk": "low",
        "cookies": [],
        "tags": ["product:{name}", "catalog"],
    },
    {"name": "orders", "path": "/orders", "ttl": "1h", "risk": "high", "cookies": []},
]
SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "cachemw.django",
    ],
    "MIDDLEWARE": [
        "cachemw.django.CacheMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "STATIC_URL": "/static/",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": PROCESSORS},
        }
    ],
}


def config(url: str = "", **changes: Any) -> dict[str, Any]:
    """Give a configuration over this server; without one, of memory only."""
    options: dict[str, Any] = {"namespace": "admin", "routes": ROUTES}
    # What the admin itself writes would be purged beside what the tests purge, and shown with it.
    options["recording"] = {"database": False}
    if url:
        # The machine is shared and slow at times; what deadlines cost is measured where it matters.
        options["redis"] = {"url": url, "deadline": "2s"}
        options["log"] = {"poll": "50ms", "confirm_wait": "5s"}
    return {**options, **changes}


def product(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"product {name}", content_type="text/plain")


def orders(request: HttpRequest) -> HttpResponse:
    return HttpResponse("orders", content_type="text/plain")


def urls() -> ModuleType:
    """Give the URLconf; Django has to be set up, for the admin's pages are its applications'."""
    made = ModuleType("project_urls")
    made.__dict__["urlpatterns"] = [
        path("admin/", admin.site.urls),
        path("products/<name>", product),
        path("orders", orders),
    ]
    return made
