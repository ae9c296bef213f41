"""The current site is a row, also where Django has it in the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connection, transaction
from django.test import override_settings

from cachemw.django.recording import sites
from tests.unit.django.conftest import APPS, models
from tests.unit.django.recording.cached_site import CACHE, Site, open_site


@pytest.fixture
def site(project: None, tmp_path: Path) -> Iterator[Site]:
    with (
        override_settings(INSTALLED_APPS=[*APPS, "django.contrib.sites"], SITE_ID=1),
        connection.schema_editor() as editor,
    ):
        editor.create_model(model())
    with (
        override_settings(INSTALLED_APPS=[*APPS, "django.contrib.sites"], SITE_ID=1),
        open_site(tmp_path) as site,
    ):
        model().objects.create(pk=1, domain="shop.example", name="one")
        model().objects.clear_cache()
        site.works |= dict.fromkeys(("a", "b", "c"), lambda: model().objects.get_current().name)
        yield site
        model().objects.clear_cache()


def model() -> Any:
    return apps.get_model("sites", "Site")


def rename(new: str) -> None:
    """Write as another process would: this one is not told to drop the site."""
    model().objects.filter(pk=1).update(name=new)


def test_a_page_depends_on_the_site_that_is_in_the_process_already(site: Site) -> None:
    assert [site.get(page) for page in "abab"] == [("one", "stored")] * 2 + [("one", "hit")] * 2
    rename("new")
    assert [site.get(page) for page in "abab"] == [("new", "stored")] * 2 + [("new", "hit")] * 2


def test_a_site_makes_its_pages_no_older(site: Site) -> None:
    assert site.get("a") == ("one", "stored")
    shops = models().Shop.objects
    site.works["d"] = lambda: (model().objects.get_current().name, shops.count())
    for number in (1, 2):
        shops.create(name="another")
        assert site.get("d") == (f"('one', {number})", "stored")
        assert site.get("d")[1] == "hit"


def test_a_site_that_was_read_outside_of_an_answer_is_read_again(site: Site) -> None:
    assert model().objects.get_current().name == "one"
    rename("new")
    assert model().objects.get_current().name == "one", "that is how Django has it"
    assert [site.get(page) for page in "ab"] == [("new", "stored")] * 2
    assert model().objects.get_current().name == "new"


def test_a_site_is_read_once_for_all_answers(site: Site) -> None:
    with connection.execute_wrapper(count := Counter()):
        assert [site.get(page)[1] for page in "abc"] == ["stored"] * 3
    assert count.selects == 1


class Counter:
    selects = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.selects += "django_site" in sql
        return execute(sql, params, many, context)


def test_a_site_that_cannot_be_read_again_stays_and_is_not_stored(site: Site) -> None:
    assert site.get("a") == ("one", "stored")
    model().objects.filter(pk=1).delete()
    model().objects.clear_cache()
    gone = model()(pk=1, domain="shop.example", name="kept")
    from django.contrib.sites import models as site_models

    site_models.SITE_CACHE[1] = gone
    assert site.get("b") == ("kept", "unknown-value")
    assert site_models.SITE_CACHE[1] is gone


def test_pages_in_event_loops_have_it_too(site: Site) -> None:
    async def show() -> str:
        return str((await sync_to_async(model().objects.get_current)()).name)

    site.aworks |= {"d": show, "e": show}
    assert [site.get(page) for page in "dede"] == [("one", "stored")] * 2 + [("one", "hit")] * 2
    rename("new")
    assert site.get("d") == ("new", "stored")


def test_only_so_many_sites_are_remembered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "_MAX_SITES", 1)
    site.get("a")
    model().objects.create(pk=2, domain="two.example", name="two")
    with override_settings(SITE_ID=2):
        assert site.get("b") == ("two", "stored")
    assert list(sites._read) == [2]


def test_a_fault_of_ours_costs_only_the_storing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("_drop_old", "_made_from"):
        with monkeypatch.context() as patch:
            patch.setattr(sites, name, lambda *_: 1 / 0)
            assert site.get("a") == ("one", "unknown-value")
    assert "recorder_failed" in caplog.text
    assert site.get("a") == ("one", "stored")


def in_transaction(get_response: Any) -> Any:
    """Begin a transaction around a request; another one commits before the view reads."""

    def answer(request: Any) -> Any:
        with transaction.atomic():
            models().Shop.objects.count()
            model().objects.using("replica").filter(pk=1).update(name="new")
            return get_response(request)

    return answer


def test_a_site_is_as_old_as_the_transaction_that_it_was_read_in(site: Site) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")  # so that one may write while another reads
    with override_settings(MIDDLEWARE=[f"{__name__}.in_transaction", CACHE]):
        site.fresh_clients()
        assert site.get("a") == ("one", "overtaken")
    site.fresh_clients()
    assert site.get("b") == ("new", "stored")
