"""A project with a database in a file, its cache, and what was purged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, connections
from django.test import override_settings

from cachemw.django import get_cache
from cachemw.recording.context import Recording, current
from cachemw.testing import FakeClock

from .django_site import DOORS

CONFIG = {"routes": [{"path": "/{rest:path}", "ttl": "1h", "cookies": []}]}
APPS = [f"{__package__}.shop", "cachemw.django"]


def _configure() -> None:
    if not settings.configured:
        settings.configure(  # as the other tests do, which may come after these or before
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            LOGGING_CONFIG=None,
            SECRET_KEY="nothing is signed",
            USE_TZ=True,
        )
    if not apps.ready:  # whoever has configured the settings may not have needed the applications
        django.setup()


@pytest.fixture
def ready() -> None:
    """Make Django ready, so that its applications can be exchanged."""
    _configure()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[None]:
    """Run in a project whose tables are there, and empty."""
    _configure()
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    before = connections.settings
    _forget_connections()
    connections.settings = connections.configure_settings(
        {"default": {**sqlite}, "replica": {**sqlite}}
    )
    try:
        # The other settings first: applications are made ready before what is set beside them.
        with (
            override_settings(CACHEMW=CONFIG, ALLOWED_HOSTS=["*"]),
            override_settings(INSTALLED_APPS=APPS),
        ):
            _create_tables()
            yield
            _forget_connections()
    finally:
        connections.settings = before


def _forget_connections() -> None:
    for alias in [each.alias for each in connections.all(initialized_only=True)]:
        connections[alias].close()
        del connections[alias]


def _create_tables() -> None:
    with connection.schema_editor() as editor:
        for model in apps.get_app_config("shop").get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)


class Purges:
    """What the recorder purges, one set of tags for each purge."""

    def __init__(self) -> None:
        self.all: list[set[str]] = []

    @contextmanager
    def one(self) -> Iterator[set[str]]:
        """Expect one purge; gives its tags, without those that every write purges."""
        self.all.clear()
        tags: set[str] = set()
        yield tags
        assert len(self.all) == 1, self.all
        assert "db:?" in self.all[0] or self.all[0] == {"db:*"}
        tags |= self.all[0] - {"db:?"}


@pytest.fixture
def purges(project: None, monkeypatch: pytest.MonkeyPatch) -> Purges:
    found = Purges()
    cache = get_cache()
    invalidate = cache._core.purger.invalidate

    def noting(tags: tuple[str, ...]) -> None:
        found.all.append(set(tags))
        invalidate(tags)

    monkeypatch.setattr(cache._core.purger, "invalidate", noting)
    return found


def models() -> Any:
    """Give the module of the project's models, which can be imported only while it is there."""
    return apps.get_app_config("shop").models_module


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Record what the block reads; gives the tags when it has ended."""
    recording, tags = Recording(), set[str]()
    token = current.set(recording)
    try:
        yield tags
    finally:
        current.reset(token)
    tags |= set(recording.close())


@pytest.fixture
def goods(project: None) -> None:
    """Two shops with two products each: 1 and 2, 3 and 4."""
    found = models()
    found.Tag.objects.bulk_create([found.Tag(word="red"), found.Tag(word="blue")])
    for name in ("one", "two"):
        shop = found.Shop.objects.create(name=name)
        for number in (1, 2):
            found.Product.objects.create(name=f"{name} {number}", shop=shop)


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Return an interface and the middleware, for each way in which Django can run the cache."""
    return DOORS[request.param]


@pytest.fixture
def own_clock(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Let the caches that Django makes go by the test's clock."""
    monkeypatch.setattr("cachemw.cache.SystemClock", lambda: clock)
    return clock
