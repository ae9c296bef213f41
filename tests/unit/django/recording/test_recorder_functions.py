"""Database functions of an application, and what it declares of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import NotSupportedError, connection
from django.db.models import functions
from django.test import override_settings

from cachemw.recording.sql.statements import observe
from tests.unit.django.conftest import CONFIG, models, recorded
from tests.unit.recording.sql.brief import brief

pytestmark = pytest.mark.usefixtures("goods")

P = "db:shop_product"


def call(sql: str = "SELECT total_of(id) FROM shop_product WHERE id = 1", *params: Any) -> None:
    connection.connection.create_function("total_of", 1, lambda value: value)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        cursor.fetchall()


def declared(**recording: Any) -> Any:
    return override_settings(CACHEMW={**CONFIG, "recording": recording})


def test_an_answer_with_an_unknown_function_depends_on_every_write() -> None:
    with recorded() as tags:
        call()
    assert tags == {f"{P}:1", "db:?"}


def test_a_declared_function_touches_no_table() -> None:
    with declared(pure_functions=["TOTAL_*"]), recorded() as tags:
        call()
    assert tags == {f"{P}:1"}
    with recorded() as tags:
        call()
    assert tags == {f"{P}:1", "db:?"}


def test_a_function_that_reads_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with declared(reading_functions=["total_of"]), recorded() as tags:
        call()
    assert tags == {f"{P}:1", "db:?"}
    assert "unknown_function" not in caplog.text


def test_an_unknown_function_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with declared():
        for number in (1, 2):
            call(f"SELECT total_of({number}), 'secret' FROM shop_product WHERE id = %s", 4111)
    (warning,) = [each for each in caplog.records if "unknown_function" in each.getMessage()]
    assert warning.cachemw["function"] == "total_of"  # type: ignore[attr-defined]
    assert (
        warning.cachemw["statement"]  # type: ignore[attr-defined]
        == "SELECT total_of(?), ? FROM shop_product WHERE id = ?"
    )
    assert "recording.pure_functions" in warning.getMessage()
    assert "secret" not in caplog.text


NAMES = [name for name in functions.__all__ if isinstance(getattr(functions, name), type)]


def test_the_functions_of_the_orm_touch_no_table() -> None:
    found = set()
    for name in NAMES:
        # It takes other arguments, or another release of Python or SQLite.
        with suppress(TypeError, ValueError, FieldError, NotSupportedError):
            queryset = models().Product.objects.annotate(x=getattr(functions, name)("price"))
            sql = str(queryset.values("x").query)
            assert brief(observe(sql, "sqlite")) == ({P.removeprefix("db:")}, set()), sql
            found.add(name)
    assert len(found) > 40


def test_a_report_that_fails_makes_no_query_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cachemw.telemetry.logs import Logs

    monkeypatch.setattr(Logs, "unknown_functions", None)
    with declared():
        call()
    assert "recorder_failed" in caplog.text
    assert models().Product.objects.count() == 4
