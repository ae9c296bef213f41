"""What the models say of their tables."""

from __future__ import annotations

import pytest

from cachemw.django.recording.schema import tables

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
