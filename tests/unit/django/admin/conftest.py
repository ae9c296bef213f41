"""The shop with its admin, in the test's process, over a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from cachemw import Cache
from cachemw.django import get_cache
from tests.support import django_project as project
from tests.support.waiting import until

OpenShop = Callable[..., "Shop"]


class Shop:
    """The site, seen from outside and from inside."""

    @property
    def cache(self) -> Cache:
        return get_cache()

    def visit(self, *paths: str) -> None:
        """Ask for pages as a client that has no session."""
        client = _client()
        for path in paths:
            assert client.get(path).status_code == 200

    def cached(self, path: str) -> bool:
        return "; hit" in _client().get(path)["Cache-Status"]

    def login(self, *permissions: str, staff: bool = True, superuser: bool = False) -> Client:
        """Give the browser of a new user with these permissions."""
        from django.contrib.auth.models import Permission, User

        name = f"user{User.objects.count()}"
        user = User.objects.create_user(name, password=project.PASSWORD, is_staff=staff)
        user.is_superuser = superuser
        user.save()
        for permission in permissions:
            user.user_permissions.add(Permission.objects.get(codename=permission))
        client = Client()
        client.force_login(user)
        return client


def _client() -> Client:
    # Django's own says no Host, and what has none passes the cache.
    return Client(headers={"host": "shop.example"})


def configure() -> None:
    """Configure Django, once per process; the tests of the front doors may have done it alike."""
    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            LOGGING_CONFIG=None,
            SECRET_KEY="nothing is signed",
            USE_TZ=True,
        )
        django.setup()


@pytest.fixture(scope="module")
def database() -> Iterator[None]:
    """Yield with the project's settings and tables."""
    configure()
    with ExitStack() as stack:
        stack.enter_context(override_settings(**project.SETTINGS, CACHEMW=project.config()))
        stack.enter_context(override_settings(ROOT_URLCONF=project.urls()))
        call_command("migrate", verbosity=0)
        yield
    connection.connection.close()  # Django keeps a database in memory open to the end
    connection.connection = None


@pytest.fixture
def open_shop(database: None) -> Iterator[OpenShop]:
    """Yield the function that opens the shop over a server, or with memory only."""
    from django.contrib.auth.models import User

    with ExitStack() as stack:

        def open_one(url: str = "", **changes: Any) -> Shop:
            stack.enter_context(override_settings(CACHEMW=project.config(url, **changes)))
            shop = Shop()
            shop.cache.start()
            until(lambda: not url or shop.cache.log.live)
            return shop

        yield open_one
    User.objects.all().delete()  # and what they did with them
