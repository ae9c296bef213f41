"""What Django's queries note, by the table and the row."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.db.models import Count, F, Q

from cachemw.django.recording import schema as schemas
from cachemw.recording import declared
from cachemw.recording.thread_context import carry_into_threads
from tests.unit.django.conftest import models, recorded

pytestmark = pytest.mark.usefixtures("goods")

P, S, T = "db:shop_product", "db:shop_shop", "db:shop_product_tags"


READS: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "a row": (lambda: models().Product.objects.get(pk=1), {f"{P}:1"}),
    "whether there is a row": (lambda: models().Product.objects.filter(pk=1).exists(), {f"{P}:1"}),
    "a row that is not there": (
        lambda: models().Product.objects.filter(pk=99).first(),
        {f"{P}:99"},
    ),
    "rows": (lambda: list(models().Product.objects.filter(pk__in=[1, 3])), {f"{P}:1", f"{P}:3"}),
    "rows of a parent": (
        lambda: list(models().Product.objects.filter(shop=1)),
        {f"{P}:by:shop_id=1"},
    ),
    "a row of it": (lambda: models().Product.objects.get(shop=1, pk=2), {f"{P}:2"}),
    "all": (lambda: list(models().Product.objects.all()), {P}),
    "a count": (lambda: models().Product.objects.count(), {P}),
    "by something else": (lambda: list(models().Product.objects.filter(name="x")), {P}),
    "either": (lambda: list(models().Product.objects.filter(Q(pk=1) | Q(price=2))), {P}),
    "all but one": (lambda: list(models().Product.objects.exclude(pk=1)), {P}),
    "with its parent": (
        lambda: models().Product.objects.select_related("shop").get(pk=1),
        {f"{P}:1", S},
    ),
    "then its parent": (lambda: models().Product.objects.get(pk=1).shop.name, {f"{P}:1", f"{S}:1"}),
    "with its children": (
        lambda: list(models().Shop.objects.prefetch_related("products").filter(pk=1)),
        {f"{S}:1", f"{P}:by:shop_id=1"},
    ),
    "a total": (
        lambda: list(models().Shop.objects.filter(pk=2).annotate(n=Count("products"))),
        {f"{S}:2", P},
    ),
    "many to many": (
        lambda: list(models().Product.objects.get(pk=1).tags.all()),
        {f"{P}:1", f"{T}:by:product_id=1", "db:shop_tag"},
    ),
    "by a text": (lambda: models().Tag.objects.get(pk="red"), {"db:shop_tag:'red"}),
    "by a UUID": (
        lambda: models().Review.objects.filter(pk=uuid.UUID(int=5)).first(),
        {f"db:shop_review:'{uuid.UUID(int=5).hex}"},
    ),
    "a subquery": (
        lambda: list(
            models().Shop.objects.filter(pk=1, products__in=models().Product.objects.filter(pk=1))
        ),
        {f"{S}:1", P, f"{P}:1"} - {f"{P}:1"},
    ),
    "a proxy": (lambda: models().Cheap.objects.get(pk=1), {f"{P}:1"}),
    "a model that Django does not manage": (lambda: models().Listed.objects.get(pk=1), {f"{P}:1"}),
    "a model in two tables": (
        lambda: models().Cafe.objects.filter(pk=1).first(),
        {"db:shop_cafe:1", "db:shop_place"},
    ),
    "a column that compares who knows how": (
        lambda: models().Strange.objects.filter(pk="a").first(),
        {"db:shop_strange"},
    ),
    "an expression": (lambda: list(models().Product.objects.filter(pk=F("price"))), {P}),
    "in pieces": (
        lambda: list(models().Product.objects.filter(shop=1).iterator(1)),
        {f"{P}:by:shop_id=1"},
    ),
    "raw": (
        lambda: list(models().Product.objects.raw("SELECT * FROM shop_product WHERE id = %s", [1])),
        {f"{P}:1"},
    ),
    "another connection": (lambda: models().Product.objects.using("replica").get(pk=1), {f"{P}:1"}),
    "nothing": (lambda: list(models().Product.objects.none()), set()),
}


@pytest.mark.parametrize("case", READS)
def test_an_answer_depends_on_what_was_read_for_it(case: str) -> None:
    read, wanted = READS[case]
    with recorded() as tags:
        read()
    assert tags == wanted


def test_nothing_is_noted_where_nothing_is_recorded() -> None:
    with recorded() as tags:
        pass
    models().Product.objects.get(pk=1)
    assert tags == set()


def test_a_function_that_nobody_knows_may_have_read_anything() -> None:
    connection.ensure_connection()
    connection.connection.create_function("scrambled", 1, str)
    with recorded() as tags, connection.cursor() as cursor:
        cursor.execute("SELECT scrambled(name) FROM shop_product WHERE id = 1")
    assert tags == {f"{P}:1", "db:?"}


def test_the_asynchronous_orm_is_recorded() -> None:
    async def read() -> None:
        await models().Product.objects.aget(pk=1)
        async for _ in models().Shop.objects.filter(pk=2):
            pass

    with recorded() as tags:
        async_to_sync(read)()
    assert tags == {f"{P}:1", f"{S}:2"}


def test_a_thread_is_recorded_over_its_own_connection() -> None:
    carry_into_threads()

    def read() -> None:
        models().Product.objects.get(pk=1)
        connections.close_all()

    with recorded() as tags:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert tags == {f"{P}:1"}


def test_a_fault_while_noting_fails_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without the guard around what is noted."""
    monkeypatch.setattr(schemas, "_tables", {"shop_product": None})
    with recorded() as tags:
        assert models().Product.objects.get(pk=1).name == "one 1"
    assert tags == {"db:?"}


# depends_on ---------------------------------------------------------------------------------------


def test_an_answer_can_depend_on_models_and_instances_by_name() -> None:
    found = models()
    cafe = found.Cafe.objects.create(city="Ulm", seats=3)
    for thing, wanted in (
        (found.Product, {P}),
        (found.Cheap, {P}),
        (found.Cafe, {"db:shop_cafe", "db:shop_place"}),
        (found.Product(pk=7), {f"{P}:7"}),
        (found.Product(), {P}),
        (found.Tag(word="Red"), {"db:shop_tag:'red"}),
        (found.Strange(code="x"), {"db:shop_strange"}),
        (cafe, {f"db:shop_cafe:{cafe.pk}", f"db:shop_place:{cafe.pk}"}),
    ):
        with recorded() as tags:
            declared.depends_on(thing)
        assert tags == wanted, thing


def test_very_many_rows_in_two_tables_depend_on_both() -> None:
    """Fails where they are noted as parts of one table, whose purge is not one of the other's."""
    with recorded() as tags:
        for number in range(1, 70):
            declared.depends_on(models().Cafe(pk=number))
    assert "db:?" in tags


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError):
        declared.depends_on(5)
