"""What Django's writes purge, and when."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F
from django.db.models.signals import post_save, pre_save
from django.test import override_settings

from cachemw.django import get_cache, registry
from cachemw.django.recording import connections as connections_observed
from cachemw.django.recording import inserted_keys, recorder
from cachemw.django.recording import schema as schemas
from cachemw.recording.sql.written_rows import Changes
from tests.unit.django.conftest import CONFIG, Purges, models

pytestmark = pytest.mark.usefixtures("goods")

P, S, T = "db:shop_product", "db:shop_shop", "db:shop_product_tags"
BY = f"{P}:by:*"


def product(key: int = 1) -> Any:
    return models().Product.objects.get(pk=key)


def products() -> Any:
    return models().Product.objects


def create(**values: Any) -> Any:
    return products().create(**{"name": "new", "shop_id": 1, **values})


def sql(text: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, params)


def sql_many(text: str, rounds: Any) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(text, rounds)


def awaited(method: Any, **values: Any) -> None:
    async def call() -> None:
        await method(**values)

    async_to_sync(call)()


def bulk_updated() -> None:
    found = list(products().filter(pk__in=[1, 2]))
    for each in found:
        each.price += 1
    products().bulk_update(found, ["price"])


CREATED = {P, f"{P}:5", f"{P}:by:shop_id=1"}
WRITES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "create": (lambda: create(), CREATED),
    "create with a key": (lambda: create(pk=50), {P, f"{P}:50", f"{P}:by:shop_id=1"}),
    "acreate": (lambda: awaited(products().acreate, name="new", shop_id=1), CREATED),
    "get_or_create": (lambda: products().get_or_create(name="new", shop_id=1), CREATED),
    "update_or_create, created": (
        lambda: products().update_or_create(name="new", defaults={"shop_id": 1}),
        CREATED,
    ),
    "update_or_create, updated": (
        lambda: products().update_or_create(pk=1, defaults={"price": 5}),
        {P, f"{P}:1", BY},
    ),
    "save": (lambda: product().save(), {P, f"{P}:1", BY}),
    "save of a proxy": (lambda: models().Cheap.objects.get(pk=1).save(), {P, f"{P}:1", BY}),
    "asave": (lambda: awaited(product().asave), {P, f"{P}:1", BY}),
    "update of a row": (
        lambda: products().filter(pk=1).update(price=F("price") + 1),
        {P, f"{P}:1", BY},
    ),
    "update of rows": (
        lambda: products().filter(pk__in=[1, 2]).update(price=1),
        {P, f"{P}:1", f"{P}:2", BY},
    ),
    "update of a shop's rows": (lambda: products().filter(shop=1).update(price=1), {P, f"{P}:*"}),
    "update of all": (lambda: products().update(price=1), {P, f"{P}:*"}),
    "update of a model that Django does not manage": (
        lambda: models().Listed.objects.filter(pk=1).update(name="x"),
        {P, f"{P}:1", BY},
    ),
    "bulk_update": (bulk_updated, {P, f"{P}:1", f"{P}:2", BY}),
    "bulk_create": (
        lambda: products().bulk_create([models().Product(name="x", shop_id=1) for _ in "ab"]),
        {P, f"{P}:*"},
    ),
    "bulk_create of one": (
        lambda: products().bulk_create([models().Product(name="x", shop_id=1)]),
        CREATED,
    ),
    "bulk_create with keys": (
        lambda: models().Tag.objects.bulk_create(
            [models().Tag(word="green"), models().Tag(word="grey")]
        ),
        {"db:shop_tag", "db:shop_tag:'green", "db:shop_tag:'grey"},
    ),
    "a key of the application's": (
        lambda: models().Review.objects.create(pk=uuid.UUID(int=5), product_id=1, stars=5),
        {
            "db:shop_review",
            f"db:shop_review:'{uuid.UUID(int=5).hex}",
            "db:shop_review:by:product_id=1",
        },
    ),
    "delete, and what refers to it": (
        lambda: product().delete(),
        {
            P,
            f"{P}:1",
            BY,
            "db:shop_review",
            "db:shop_review:*",
            T,
            f"{T}:*",
            "db:shop_log",
            "db:shop_log:*",
        },
    ),
    "many to many, added": (
        lambda: product().tags.add("red"),
        {T, f"{T}:1", f"{T}:by:product_id=1", f"{T}:by:tag_id='red"},
    ),
    "many to many, taken away": (lambda: product().tags.clear(), {T, f"{T}:*"}),
    "a model in two tables": (
        lambda: models().Cafe.objects.create(city="Ulm", seats=3),
        {
            "db:shop_place",
            "db:shop_place:1",
            "db:shop_cafe",
            "db:shop_cafe:1",
            "db:shop_cafe:by:place_ptr_id=1",
        },
    ),
    "SQL": (lambda: sql("UPDATE shop_product SET price = 2 WHERE id = %s", [1]), {P, f"{P}:1", BY}),
    "SQL with names": (
        lambda: sql("UPDATE shop_product SET price = 2 WHERE id = %(id)s", {"id": 1}),
        {P, f"{P}:1", BY},
    ),
    "an insert by SQL": (
        lambda: sql("INSERT INTO shop_product (name, price, shop_id) VALUES ('x', 1, 2)"),
        {P, f"{P}:5", f"{P}:by:shop_id=2"},
    ),
    "SQL, many times": (
        lambda: sql_many("UPDATE shop_product SET price = %s WHERE id = %s", [(1, 1), (1, 2)]),
        {P, f"{P}:1", f"{P}:2", BY},
    ),
    "inserts by SQL, many times": (
        lambda: sql_many(
            "INSERT INTO shop_product (name, price, shop_id) VALUES (%s, 1, 2)", [("x",), ("y",)]
        ),
        {P, f"{P}:*"},
    ),
    "SQL that a generator fills": (
        lambda: sql_many(
            "UPDATE shop_product SET price = %s WHERE id = %s", ((1, n) for n in (1, 2))
        ),
        {P, f"{P}:*"},
    ),
    "a table that no model has": (
        lambda: sql("CREATE TABLE other (x)"),
        {"db:other", "db:other:*"},
    ),
    "what cannot be understood": (lambda: sql("CREATE VIEW v AS SELECT 1"), {"db:*"}),
    "the other connection": (
        lambda: products().using("replica").filter(pk=1).update(price=7),
        {P, f"{P}:1", BY},
    ),
}


@pytest.mark.parametrize("case", WRITES)
def test_a_write_purges_what_it_may_have_changed(case: str, purges: Purges) -> None:
    write, wanted = WRITES[case]
    with purges.one() as tags, transaction.atomic():
        with transaction.atomic("replica"):
            write()
        assert purges.all == [] or case == "the other connection"
    assert tags == wanted


AT_ONCE = [
    "create",
    "create with a key",
    "save",
    "update of a row",
    "a model in two tables",
    "SQL",
    "bulk_create of one",
]


@pytest.mark.parametrize("case", AT_ONCE)
def test_outside_of_a_transaction_it_does_at_once(case: str, purges: Purges) -> None:
    write, wanted = WRITES[case]
    with purges.one() as tags:
        write()
    assert tags == wanted


def test_reads_purge_nothing(purges: Purges) -> None:
    list(
        products().select_for_update().filter(pk=1)
    ) if connection.features.has_select_for_update else product()
    products().count()
    sql("PRAGMA foreign_key_check")
    assert purges.all == []


def test_an_insert_whose_key_the_driver_does_not_tell_is_told_by_the_orm(
    purges: Purges, silent_driver: None
) -> None:
    with purges.one() as tags, transaction.atomic():
        create()
    assert tags == CREATED
    with purges.one() as tags, transaction.atomic():
        create()
        sql("INSERT INTO shop_product (name, price, shop_id) VALUES ('x', 1, 1)")
    assert tags == {P, f"{P}:*"}
    with purges.one() as tags:  # it comes too late: the row was there already
        create()
    assert tags == {P, f"{P}:*"}


def test_a_key_that_the_driver_gave_for_an_earlier_insert_is_not_taken(purges: Purges) -> None:
    text = "INSERT INTO shop_product (name, price, shop_id) VALUES (%s, 1, 2)"
    with connection.cursor() as cursor:
        cursor.execute(text, ["x"])
        with purges.one() as tags:
            cursor.executemany(text, [("y",)])
    assert tags == {P, f"{P}:*"}


def test_a_key_of_a_savepoint_that_was_rolled_back_stands_for_no_other_insert(
    purges: Purges, silent_driver: None
) -> None:
    """Fails where a key is told to the inserts of another savepoint."""
    with purges.one() as tags, transaction.atomic():
        sql("INSERT INTO shop_product (name, price, shop_id) VALUES ('x', 1, 1)")
        with suppress(RolledBack), transaction.atomic():
            create()
            roll_back()
    assert tags == {P, f"{P}:*"}


def roll_back() -> None:
    raise RolledBack


class RolledBack(Exception):
    pass


# Transactions -------------------------------------------------------------------------------------


def test_nothing_is_purged_before_the_commit_and_all_of_it_at_once_after(purges: Purges) -> None:
    with purges.one() as tags, transaction.atomic():
        products().filter(pk=1).update(price=5)
        models().Shop.objects.filter(pk=2).update(name="x")
        assert purges.all == []
    assert tags == {P, f"{P}:1", BY, S, f"{S}:2", f"{S}:by:*"}


def test_a_transaction_that_is_rolled_back_purges_nothing(purges: Purges) -> None:
    with suppress(RolledBack), transaction.atomic():
        products().update(price=5)
        roll_back()
    products().count()
    assert purges.all == []
    with purges.one() as tags, transaction.atomic():
        product(2).save()
    assert tags == {P, f"{P}:2", BY}


def test_a_savepoint_that_is_rolled_back_purges_nothing_of_its_own(purges: Purges) -> None:
    with purges.one() as tags, transaction.atomic():
        products().filter(pk=1).update(price=5)
        with suppress(RolledBack), transaction.atomic():
            products().filter(pk=2).update(price=5)
            with transaction.atomic():
                products().filter(pk=3).update(price=5)
            roll_back()
        products().filter(pk=4).update(price=5)
    assert tags == {P, f"{P}:1", f"{P}:4", BY}


def test_a_savepoint_inside_one_that_is_rolled_back_goes_with_it(purges: Purges) -> None:
    with purges.one() as tags, transaction.atomic(), transaction.atomic():
        products().filter(pk=1).update(price=5)
        with suppress(IntegrityError), transaction.atomic():
            products().filter(pk=2).update(price=5)
            create(pk=1)
    assert tags == {P, f"{P}:1", BY}


def test_what_a_callback_writes_is_purged_too(purges: Purges) -> None:
    def later() -> None:
        models().Shop.objects.filter(pk=1).update(name="x")
        with transaction.atomic():
            models().Shop.objects.filter(pk=2).update(name="x")

    for first in (True, False):
        purges.all.clear()
        with transaction.atomic():
            if first:
                transaction.on_commit(later)
            products().filter(pk=1).update(price=5)
            if not first:
                transaction.on_commit(later)
        assert {f"{P}:1", f"{S}:1", f"{S}:2"} <= set.union(*purges.all)


def test_a_statement_that_fails_may_have_been_carried_out(
    purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where a write is purged only if its statement returns."""
    execute = CursorWrapper._execute

    def then_break(self: Any, statement: str, params: Any, *rest: Any) -> Any:
        execute(self, statement, params, *rest)
        raise DatabaseError("the connection broke")

    monkeypatch.setattr(CursorWrapper, "_execute", then_break)
    with purges.one() as tags, pytest.raises(DatabaseError):
        products().filter(pk=1).update(price=5)
    assert tags == {P, f"{P}:1", BY}
    # The key that the driver gave last belongs to an earlier insert.
    with purges.one() as tags, pytest.raises(DatabaseError):
        create()
    assert tags == {P, f"{P}:*"}


def test_transactions_by_hand_are_purged_at_once_and_when_they_are_committed(
    purges: Purges,
) -> None:
    transaction.set_autocommit(False)
    try:
        products().filter(pk=1).update(price=5)
        assert [P in each for each in purges.all] == [True]
        with transaction.atomic():
            products().filter(pk=2).update(price=5)
        assert len(purges.all) == 2
        with purges.one() as tags:
            transaction.commit()
        assert tags == {P, f"{P}:1", f"{P}:2", BY}
        products().filter(pk=3).update(price=5)
        transaction.rollback()
        purges.all.clear()
        transaction.commit()
        assert purges.all == []
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_transactions_by_statements_are_purged_at_once_and_when_they_are_committed(
    purges: Purges,
) -> None:
    sql("BEGIN")
    products().filter(pk=1).update(price=5)
    assert len(purges.all) == 1
    sql("SAVEPOINT a")
    products().filter(pk=2).update(price=5)
    sql("ROLLBACK TO a")
    with purges.one() as tags:
        sql("COMMIT")
    assert {f"{P}:1"} <= tags
    sql("BEGIN")
    products().filter(pk=3).update(price=5)
    sql("ROLLBACK")
    purges.all.clear()
    sql("BEGIN")
    sql("COMMIT")
    assert purges.all == []


def test_what_was_left_uncommitted_is_purged_where_autocommit_has_ended_it(purges: Purges) -> None:
    transaction.set_autocommit(False)
    products().filter(pk=1).update(price=5)
    connection.connection.commit()  # as databases do by themselves, and nobody is told
    with purges.one() as tags:
        transaction.set_autocommit(True)
    assert tags == {P, f"{P}:1", BY}


def test_a_transaction_of_which_only_the_driver_knows_is_purged_at_once_and_when_it_is_over(
    purges: Purges,
) -> None:
    connection.ensure_connection()
    connection.connection.execute("BEGIN")
    with purges.one():
        products().filter(pk=1).update(price=5)
    connection.connection.commit()
    with purges.one() as tags:
        products().count()
    assert tags == {P, f"{P}:1", BY}


# Connections --------------------------------------------------------------------------------------


def observers() -> int:
    with connection.cursor() as cursor:
        return type(cursor).__mro__.count(connections_observed.Statements)


def test_a_connection_has_one_observer_however_often_it_is_made(purges: Purges) -> None:
    for _ in range(3):
        connection.close()
        recorder.install(get_cache, registry.is_being_made_here)
        products().count()
        assert observers() == 1
    with purges.one():
        products().filter(pk=1).update(price=5)


def test_a_connection_that_is_made_under_somebodys_wrapper_keeps_its_observer(
    purges: Purges,
) -> None:
    """Fails where it is one of these wrappers, the last: that is the one which Django takes off."""
    alias = "replica"
    connections[alias].close()
    del connections[alias]

    def pass_on(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    with connections[alias].execute_wrapper(pass_on):
        products().using(alias).count()
    assert pass_on not in connections[alias].execute_wrappers
    with purges.one():
        products().using(alias).filter(pk=1).update(price=5)


def test_a_broken_connection_forgets_its_transaction(purges: Purges) -> None:
    with suppress(RolledBack), transaction.atomic():
        products().filter(pk=1).update(price=5)
        connection.close()
        roll_back()
    with purges.one() as tags:
        products().filter(pk=2).update(price=5)
    assert tags == {P, f"{P}:2", BY}


# Faults and switches ------------------------------------------------------------------------------


def test_a_fault_in_a_write_purges_everything_and_fails_nothing(
    purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the guard around what is written."""
    monkeypatch.setattr(schemas, "_tables", {"shop_product": None})
    with purges.one() as tags:
        products().filter(pk=1).update(price=5)
    assert tags == {"db:*"}
    with purges.one() as tags, transaction.atomic():
        products().filter(pk=1).update(price=6)
    assert tags == {"db:*"}
    monkeypatch.setattr(schemas, "_tables", None)
    assert product().price == 6


@pytest.mark.parametrize("part", ["merge", "tags"])
def test_a_fault_while_purging_fails_nothing(
    part: str, purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Changes, part, fail)
    with transaction.atomic():
        products().filter(pk=1).update(price=5)
    products().filter(pk=1).update(price=6)
    monkeypatch.undo()
    assert product().price == 6


def test_a_fault_while_a_key_is_told_fails_nothing(
    purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "keys_of", None)
    monkeypatch.setattr(recorder, "learn_keys", None)
    with purges.one() as tags, transaction.atomic():
        create()
    assert tags == {P, f"{P}:*"}


def test_the_configuration_can_switch_it_off(purges: Purges) -> None:
    with override_settings(CACHEMW={**CONFIG, "recording": {"database": False}}):
        product().save()
        assert not get_cache().config.recording.database
        assert recorder._on is False
    assert purges.all == []


def test_a_project_without_a_cache_is_left_alone(purges: Purges) -> None:
    with override_settings():
        del settings.CACHEMW
        setting_changed.send(None, setting="CACHEMW", value=None, enter=True)
        product().save()
        assert registry._cache is None


def test_a_configuration_that_cannot_work_fails_no_query(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(CACHEMW={"routes": 5}):
        product().save()
        product().save()
        with pytest.raises(ImproperlyConfigured):
            get_cache()
    assert len([each for each in caplog.records if "recorder_failed" in each.message]) == 1


def test_a_query_while_the_cache_is_being_made_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Modules that the configuration names are imported, and may use a database. Hangs otherwise."""
    make = registry._make

    def make_and_ask() -> Any:
        product()
        return make()

    monkeypatch.setattr(registry, "_make", make_and_ask)
    with override_settings(CACHEMW=dict(CONFIG)):
        product()
        assert recorder._on is True


def test_the_signal_of_a_row_that_another_way_made_is_harmless(purges: Purges) -> None:
    post_save.send(
        models().Product,
        instance=product(),
        created=True,
        raw=False,
        using="default",
        update_fields=None,
    )
    with transaction.atomic():
        post_save.send(
            models().Product,
            instance=product(),
            created=True,
            raw=False,
            using="default",
            update_fields=None,
        )
    assert purges.all == []


@pytest.fixture
def silent_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver report no keys, as psycopg2 does."""
    monkeypatch.setattr(recorder, "is_silent", lambda connection: True)
    monkeypatch.setattr(recorder, "learn_keys", lambda *_: None)


def insert_by_hand() -> None:
    sql("INSERT INTO shop_product (name, price, shop_id) VALUES ('by hand', 1, 1)")


def tell(created: Any) -> None:
    post_save.send(
        models().Product,
        instance=created,
        created=True,
        raw=False,
        using="default",
        update_fields=None,
    )


def test_where_the_driver_reports_no_key_the_signal_does(
    purges: Purges, silent_driver: None
) -> None:
    with purges.one() as tags, transaction.atomic():
        cafe = models().Cafe.objects.create(city="Ulm", seats=3)
    assert tags >= {f"db:shop_cafe:{cafe.pk}", f"db:shop_place:{cafe.pk}"}


@pytest.mark.parametrize("order", ["before", "after", "a signal by hand", "in a signal"])
def test_a_signal_tells_nothing_of_other_inserts(
    order: str, purges: Purges, silent_driver: None
) -> None:
    """Fails where the key of one row is taken for that of another."""

    def meddle(**_: Any) -> None:
        insert_by_hand()

    with purges.one() as tags, transaction.atomic():
        if order == "before":
            insert_by_hand()
        if order == "a signal by hand":
            insert_by_hand()
            tell(models().Product(pk=900))
        elif order == "in a signal":
            pre_save.connect(meddle, sender=models().Product)
            try:
                create()
            finally:
                pre_save.disconnect(meddle, sender=models().Product)
        else:
            create()
        if order == "after":
            insert_by_hand()
    assert tags == {P, f"{P}:*"}


def test_saves_that_fail_leave_nothing_behind(purges: Purges, silent_driver: None) -> None:
    for _ in range(50):
        with suppress(IntegrityError), transaction.atomic():
            create(pk=1)
    assert len(connection._cachemw_observer.saves) <= 17  # type: ignore[attr-defined]
    with purges.one() as tags, transaction.atomic():
        new = create()
    assert f"{P}:{new.pk}" in tags


@pytest.mark.parametrize(("kind", "known"), [("INTEGER", True), ("BIGINT", False)])
def test_the_number_of_a_row_is_its_key_only_in_a_table_that_says_so(
    kind: str, known: bool, purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where a table that the project has made itself is trusted to be as Django makes it."""
    monkeypatch.setattr(inserted_keys, "_reporting", {})
    sql("DROP TABLE shop_log")
    sql(f"CREATE TABLE shop_log (id {kind} PRIMARY KEY, product_id integer)")
    with purges.one() as tags:
        sql("INSERT INTO shop_log (id, product_id) VALUES (100 + 1, 1)")
    assert ("db:shop_log:101" in tags, "db:shop_log:*" in tags) == (known, not known)
