"""What the models say of their tables."""

from __future__ import annotations

import pytest
from django.test import override_settings

from cachemw.django.recording.schema import cache_tables, tables

pytestmark = pytest.mark.usefixtures("project")


def test_a_table_of_two_models_is_what_they_agree_on() -> None:
    """Fails where the last one is believed: it may know less of the table, or another key."""
    assert tables()["shop_product"].key == "id"
    assert tables()["shop_product"].foreign == {"shop_id"}
    assert tables()["shop_product"].generated
    assert tables()["shop_strange"].key is None


def test_rows_of_tables_that_django_does_not_manage_may_go_with_others() -> None:
    """Fails where their foreign keys are believed to be what the models say."""
    assert "shop_product" in tables()["shop_shop"].cascades
    assert tables()["shop_product"].cascades == {"shop_log"}


def test_the_tables_of_caches_are_those_of_caches_in_a_database() -> None:
    backends = "django.core.cache.backends"
    caches = {
        "default": {"BACKEND": f"{backends}.locmem.LocMemCache", "LOCATION": "memory"},
        "wrong": {"BACKEND": "no.such.Cache", "LOCATION": "nowhere"},
        "none": {},
        "rows": {"BACKEND": f"{backends}.db.DatabaseCache", "LOCATION": "my_values"},
    }
    with override_settings(CACHES=caches):
        assert cache_tables() == ("my_values",)
