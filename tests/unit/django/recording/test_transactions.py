"""The commit purges: before any hook, whatever the hooks do, and however the transaction has ended."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import Client, TestCase, override_settings

from cachemw.django.recording.transactions import Transaction
from cachemw.recording.context import Recording, current
from cachemw.recording.sql.written_rows import Changes
from tests.unit.django import urls
from tests.unit.django.conftest import Purges, models

pytestmark = pytest.mark.usefixtures("goods")

P = "db:shop_product"


def products() -> Any:
    return models().Product.objects


def write(key: int, price: int = 5) -> None:
    products().filter(pk=key).update(price=price)


def sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


def rows(purges: Purges) -> list[set[str]]:
    """Give the rows of each purge."""
    return [
        {tag for tag in each if tag.startswith(f"{P}:") and tag[-1] != "*"} for each in purges.all
    ]


# Hooks --------------------------------------------------------------------------------------------


def test_a_purge_comes_before_every_hook(purges: Purges) -> None:
    seen: list[list[set[str]]] = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(rows(purges)))
        write(1)
        transaction.on_commit(lambda: seen.append(rows(purges)))
    assert seen == [[{f"{P}:1"}]] * 2


@pytest.mark.parametrize("before", [True, False])
def test_a_hook_that_raises_takes_no_purge_along(before: bool, purges: Purges) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        if before:
            transaction.on_commit(lambda: 1 / 0)
        write(1)
        if not before:
            transaction.on_commit(lambda: 1 / 0)
    assert rows(purges) == [{f"{P}:1"}]


def test_nor_after_a_savepoint_was_rolled_back(purges: Purges) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        with suppress(ValueError), transaction.atomic():
            write(2)
            raise ValueError
        transaction.on_commit(lambda: 1 / 0)
        write(1)
    assert rows(purges) == [{f"{P}:1"}]


def test_a_purge_is_none_of_djangos_callbacks(purges: Purges) -> None:
    with TestCase.captureOnCommitCallbacks() as callbacks, transaction.atomic():
        write(1)
        assert connection.run_on_commit == []
    assert callbacks == []


# Commits that fail --------------------------------------------------------------------------------


@pytest.fixture
def lost_commit() -> Callable[[], None]:
    """Let the next commit be carried out, and its acknowledgement be lost."""

    def lose() -> None:
        connection.ensure_connection()
        commit = connection._commit

        def lost() -> None:
            del connection._commit
            commit()
            raise OperationalError("the server has closed the connection")

        connection._commit = lost

    return lose


def test_a_commit_whose_acknowledgement_is_lost_purges(
    purges: Purges, lost_commit: Callable[[], None]
) -> None:
    lost_commit()
    with pytest.raises(OperationalError), transaction.atomic():
        write(1)
    assert rows(purges)[0] == {f"{P}:1"}
    assert products().get(pk=1).price == 5
    purges.all.clear()
    with transaction.atomic():
        write(2)
    assert rows(purges) == [{f"{P}:2"}]


def test_a_commit_that_is_refused_leaves_the_purge_to_the_real_one(purges: Purges) -> None:
    """Fails where the first one counts as the end of the transaction."""
    with transaction.atomic():
        write(1)
        with pytest.raises(TransactionManagementError):
            connection.commit()
        assert purges.all == []
    assert rows(purges) == [{f"{P}:1"}]


def test_a_commit_statement_that_fails_purges_and_forgets_nothing(purges: Purges) -> None:
    sql("BEGIN")
    write(1)
    purges.all.clear()
    with pytest.raises(OperationalError):
        sql("COMMIT AND SOMETHING")
    sql("COMMIT")
    assert {f"{P}:1"} in rows(purges)


# Savepoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "kept"),
    [
        (["SAVEPOINT a", 1, "SAVEPOINT a", 2, "ROLLBACK TO a"], {1}),
        (["SAVEPOINT a", 1, "SAVEPOINT a", 2, "ROLLBACK TO a", 3, "ROLLBACK TO a"], {1}),
        (["SAVEPOINT a", 1, "ROLLBACK TO SAVEPOINT a", 2], {2}),
        (["SAVEPOINT a", 1, "SAVEPOINT b", 2, 'ROLLBACK TO "A"'], set()),
        (["SAVEPOINT a", 1, "SAVEPOINT b", 2, "RELEASE b", 3, "ROLLBACK TO a"], set()),
        (["SAVEPOINT a", 1, "SAVEPOINT b", 2, "RELEASE SAVEPOINT a", 3], {1, 2, 3}),
        ([1, "SAVEPOINT a", "SAVEPOINT a", 2, "RELEASE a", "ROLLBACK TO a"], {1}),
    ],
)
def test_savepoints_by_hand_keep_what_they_keep(
    statements: list[str | int], kept: set[int], purges: Purges
) -> None:
    with transaction.atomic():
        for each in statements:
            write(each) if isinstance(each, int) else sql(each)
    assert {row for each in rows(purges) for row in each} == {f"{P}:{key}" for key in kept}
    assert {each.pk for each in products().filter(price=5)} == kept


def test_many_savepoints_take_no_memory_and_are_one_purge(purges: Purges) -> None:
    """Fails where a savepoint that was released is kept, and where each purges what it holds itself."""
    with purges.one() as tags, transaction.atomic():
        for _ in range(300):
            with transaction.atomic():
                write(1)
        pending = connection._cachemw_observer._transaction._pending  # type: ignore[attr-defined]
        assert len(pending._levels) == 1
    assert tags == {P, f"{P}:1", f"{P}:by:*"}


# What runs really ---------------------------------------------------------------------------------


def test_a_wrapper_that_changes_a_statement_is_seen_through(purges: Purges) -> None:
    """Fails where the recorder is a wrapper outside of it."""

    def elsewhere(execute: Any, sql: str, *rest: Any) -> Any:
        return execute(sql.replace("shop_shop", "shop_product"), *rest)

    with connection.execute_wrapper(elsewhere):
        models().Shop.objects.filter(pk=1).update(name="x")
    assert rows(purges) == [{f"{P}:1"}]


@pytest.mark.parametrize("debug", [True, False])
def test_it_sees_the_same_while_debugging(debug: bool, purges: Purges) -> None:
    with override_settings(DEBUG=debug):
        connection.force_debug_cursor = debug
        try:
            write(1)
        finally:
            connection.force_debug_cursor = False
    assert rows(purges) == [{f"{P}:1"}]


# Rollbacks that somebody has seen -----------------------------------------------------------------


def test_a_response_that_saw_what_was_rolled_back_is_purged(purges: Purges) -> None:
    token = current.set(Recording())
    try:
        with suppress(ValueError), transaction.atomic():
            write(1)
            raise ValueError
        with transaction.atomic(), suppress(ValueError), transaction.atomic():
            write(2)
            raise ValueError
    finally:
        current.reset(token)
    assert rows(purges) == [{f"{P}:1"}, {f"{P}:2"}]


def test_a_rollback_that_nobody_has_seen_purges_nothing(purges: Purges) -> None:
    with suppress(ValueError), transaction.atomic():
        write(1)
        raise ValueError
    assert purges.all == []


# Tests of projects --------------------------------------------------------------------------------


class Project(TestCase):
    """The tests of a project: they run in a transaction that is never committed."""

    __test__ = False  # run below, in the project
    databases = {"default"}

    def get(self, key: int) -> str:
        response = Client(headers={"host": "shop.example"}).get(f"/products/{key}")
        self.hit = "; hit" in response.headers["Cache-Status"]
        return response.content.decode()

    def test_writes_are_seen_as_they_are_live(self) -> None:
        products().create(pk=9, name="old", shop_id=1)
        assert self.get(9) == self.get(9) == "old"
        assert self.hit
        products().filter(pk=9).update(name="new")
        assert self.get(9) == self.get(9) == "new"
        assert self.hit
        with transaction.atomic():
            products().filter(pk=9).update(name="newer")
        assert self.get(9) == "newer"
        with suppress(ValueError), transaction.atomic():
            products().filter(pk=9).update(name="never")
            assert self.get(9) == "never"
            raise ValueError
        assert self.get(9) == "newer"

    def test_writes_are_seen_where_callbacks_are_captured(self) -> None:
        products().create(pk=9, name="old", shop_id=1)
        assert self.get(9) == "old"
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            products().filter(pk=9).update(name="new")
        assert (self.get(9), callbacks) == ("new", [])

    def test_one_test_sees_nothing_of_another_1(self) -> None:
        assert self.get(9) == "none"
        products().create(pk=9, name="of the first", shop_id=1)
        assert self.get(9) == "of the first"

    def test_one_test_sees_nothing_of_another_2(self) -> None:
        assert self.get(9) == "none"
        products().create(pk=9, name="of the second", shop_id=1)
        assert self.get(9) == "of the second"


@pytest.mark.parametrize(
    "name", ["writes_are_seen_as_they_are_live", "writes_are_seen_where_callbacks_are_captured"]
)
def test_in_tests_of_django(name: str) -> None:
    run(Project(f"test_{name}"))


def test_tests_of_django_see_nothing_of_each_other() -> None:
    run(*(Project(f"test_one_test_sees_nothing_of_another_{number}") for number in (1, 2)))


def run(*tests: TestCase) -> None:
    result = unittest.TestResult()
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=["cachemw.django.CacheMiddleware"]):
        unittest.TestSuite(tests).run(result)
        for failure in (*result.failures, *result.errors):
            pytest.fail(failure[1])
        # After the tests, which have rolled back what they had written.
        assert Client(headers={"host": "shop.example"}).get("/products/9").content == b"none"
    assert result.testsRun == len(tests)


# Requests in a transaction ------------------------------------------------------------------------


def test_with_a_transaction_around_each_request_the_commit_purges(goods: None) -> None:
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=["cachemw.django.CacheMiddleware"]):
        client = Client(headers={"host": "shop.example"})
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        for name in ("first", "second"):
            client.get("/products/1")
            assert "; hit" in client.get("/products/1").headers["Cache-Status"]
            client.post(f"/rename/1/{name}")
            assert client.get("/products/1").content.decode() == name


# Databases that commit unasked ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "commits"),
    [
        ("CREATE INDEX i ON shop_shop (name)", True),
        ("CREATE TABLE spare (id integer)", True),
        ("CREATE TABLE shop_shop (id integer)", True),  # it fails
        ("SELECT 1", False),
        ("UPDATE shop_shop SET name = 'x'", False),
        ("SAVEPOINT a", False),
    ],
)
def test_what_a_definition_commits_is_purged_though_it_is_rolled_back(
    statement: str, commits: bool, purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL commits before and after a change of structure; no rollback undoes what was written before."""
    with suppress(ValueError), transaction.atomic():
        write(1)
        monkeypatch.setattr(type(connections["default"]), "vendor", "mysql")
        with suppress(Exception):
            sql(statement)
        monkeypatch.undo()
        raise ValueError
    assert any(P in each for each in purges.all) == commits


def test_switching_autocommit_off_by_a_statement_begins_a_transaction(purges: Purges) -> None:
    found = Transaction(purges.all.append)  # type: ignore[arg-type]
    mysql = SimpleNamespace(vendor="mysql", autocommit=True, in_atomic_block=False, connection=None)
    changes = Changes()
    changes.add_everything()
    found.note_savepoint(mysql, "SET autocommit = 0")
    found.note_write(mysql, changes)
    assert purges.all == [("db:*",)]
    found.note_end(mysql, "SET autocommit = 1")
    assert purges.all == [("db:*",)] * 2
