"""The recorder of SQLAlchemy: what is read is noted, what is written is purged once it is committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Engine,
    MetaData,
    NullPool,
    Pool,
    SingletonThreadPool,
    StaticPool,
    String,
    Table,
    create_engine,
    delete,
    event,
    exc,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, selectinload

from cachemw.integrations.sqlalchemy import Recorder, record
from cachemw.recording.context import Recording, current
from cachemw.recording.declared import depends_on
from cachemw.recording.sql import read_rows, written_rows

from .books import Author, Base, Book, Loan, Purges, Review, recorded


@pytest.fixture
def purges() -> Purges:
    return Purges()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database of one author with two books, and another author."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as db, db.begin():
        db.add(Author(id=1, name="Ada", books=[Book(id=1, title="a"), Book(id=2, title="b")]))
        db.add(Author(id=2, name="Ben"))
    engine.dispose()
    return url


@pytest.fixture
def engine(url: str, purges: Purges) -> Iterator[Engine]:
    engine = create_engine(url)
    recorder = record(engine, purges.cache, Base.metadata)
    yield engine
    recorder.stop()
    engine.dispose()


# -- reads -----------------------------------------------------------------------------------------


def test_a_row_read_by_its_key_is_noted_alone(engine: Engine) -> None:
    with recorded() as tags, Session(engine) as db:
        db.get(Book, 2)
    assert tags == ["db:book:2"]


def test_rows_read_by_a_foreign_key_are_noted_by_it(engine: Engine) -> None:
    with recorded() as tags, Session(engine) as db:
        db.scalars(select(Author).options(selectinload(Author.books)).where(Author.id == 1)).one()
    assert tags == ["db:author:1", "db:book:by:author_id=1"]


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        pytest.param(select(Book).where(Book.id.in_([1, 2])), ["db:book:1", "db:book:2"], id="IN"),
        pytest.param(select(Book).where(Book.title == "a"), ["db:book"], id="no key"),
        pytest.param(
            select(Book).join(Author).where(Book.id == 1), ["db:author", "db:book:1"], id="a join"
        ),
        pytest.param(select(Loan).where(Loan.day == 1), ["db:loan"], id="a key of two columns"),
        pytest.param(text("SELECT * FROM Book WHERE id = 1"), ["db:book:1"], id="a text"),
        pytest.param(
            text("SELECT * FROM book WHERE id = :x").bindparams(x=7), ["db:book:7"], id="bound"
        ),
        pytest.param(text("SELECT 1"), [], id="nothing"),
    ],
)
def test_what_a_query_reads_is_noted(engine: Engine, query: Any, tags: list[str]) -> None:
    with recorded() as found, engine.connect() as connection:
        connection.execute(query).all()
    assert found == tags


def test_an_attribute_that_is_loaded_later_is_noted_too(engine: Engine) -> None:
    with Session(engine) as db:
        book = db.get(Book, 1)
        assert book is not None
        with recorded() as tags:
            assert book.author is not None
    assert tags == ["db:author:1"]


def test_a_stream_is_noted(engine: Engine) -> None:
    with recorded() as tags, engine.connect() as connection:
        streamed = connection.execution_options(stream_results=True, yield_per=1)
        assert len(list(streamed.execute(select(Book)))) == 2
    assert tags == ["db:book"]


def test_without_metadata_whole_tables_are_noted(url: str, purges: Purges) -> None:
    engine = create_engine(url)
    record(engine, purges.cache)
    with recorded() as tags, Session(engine) as db:
        db.get(Book, 2)
    assert tags == ["db:book"]
    engine.dispose()


def test_several_metadata_are_one_schema_and_may_still_grow(url: str, purges: Purges) -> None:
    engine, late = create_engine(url), MetaData()
    record(engine, purges.cache, [MetaData(), late])
    with recorded() as tags, engine.connect() as connection:
        connection.execute(select(Book.__table__).where(Book.id == 2))
    assert tags == ["db:book"]
    reflected = Table("book", late, autoload_with=engine)
    with recorded() as tags, engine.connect() as connection:
        connection.execute(select(reflected).where(reflected.c.id == 1))
    assert tags == ["db:book:1"]
    engine.dispose()


def test_what_an_engine_with_other_options_reads_and_writes_is_seen(
    engine: Engine, purges: Purges
) -> None:
    other = engine.execution_options(logging_token="other")
    with recorded() as tags, other.begin() as connection:
        connection.execute(select(Book.id).where(Book.id == 1))
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert tags == ["db:book:1"]
    assert purges.take() == [["db:?", "db:book", "db:book:1", "db:book:by:*"]]


# -- writes ----------------------------------------------------------------------------------------

BOOK_1 = ["db:?", "db:book", "db:book:1", "db:book:by:*"]
BOOK_3 = ["db:book", "db:book:3", "db:book:by:author_id=1"]
BOOKS = ["db:?", "db:book", "db:book:*"]
AUTHOR_1 = ["db:?", "db:author", "db:author:1", "db:author:by:*"]


@pytest.mark.parametrize(
    ("statement", "parameters", "tags"),
    [
        pytest.param(
            update(Book).where(Book.id == 1).values(title="c"), None, BOOK_1, id="UPDATE by key"
        ),
        pytest.param(update(Book).values(title="c"), None, BOOKS, id="UPDATE of all"),
        pytest.param(
            delete(Book).where(Book.id == 1),
            None,
            [*BOOK_1, "db:review", "db:review:*"],
            id="DELETE, and what it sets to NULL",
        ),
        pytest.param(
            delete(Author).where(Author.id == 1),
            None,
            [*AUTHOR_1, "db:book", "db:book:*", "db:review", "db:review:*"],
            id="DELETE, and what goes with it",
        ),
        pytest.param(
            insert(Book).values(title="c", author_id=2),
            None,
            ["db:?", "db:book", "db:book:3", "db:book:by:author_id=2"],
            id="INSERT, the key learnt",
        ),
        pytest.param(
            insert(Book).returning(Book.id),
            [{"title": "c", "author_id": 2}, {"title": "d", "author_id": 1}],
            BOOKS,
            id="many INSERTs, whose keys the caller fetches",
        ),
        pytest.param(
            insert(Book),
            [{"title": "c", "author_id": 2}, {"title": "d", "author_id": 1}],
            BOOKS,
            id="many INSERTs, whose keys nobody fetches",
        ),
        pytest.param(
            insert(Book),
            [{"id": 8, "title": "c", "author_id": 2}, {"id": 9, "title": "d", "author_id": 2}],
            ["db:?", "db:book", "db:book:8", "db:book:9", "db:book:by:author_id=2"],
            id="many INSERTs with keys",
        ),
        pytest.param(
            insert(Book).from_select(["title"], select(Author.name)),
            None,
            BOOKS,
            id="INSERT from SELECT",
        ),
        pytest.param(
            insert(Book).prefix_with("OR REPLACE").values(id=1, title="c"),
            None,
            [*BOOKS, "db:review", "db:review:*"],
            id="REPLACE",
        ),
        pytest.param(
            text("UPDATE book SET title = :t WHERE id = :id"),
            [{"t": "c", "id": 1}, {"t": "d", "id": 2}],
            ["db:?", "db:book", "db:book:1", "db:book:2", "db:book:by:*"],
            id="a text, many times",
        ),
    ],
)
def test_what_a_statement_writes_is_purged_after_its_commit(
    engine: Engine, purges: Purges, statement: Any, parameters: Any, tags: list[str]
) -> None:
    with engine.begin() as connection:
        connection.execute(statement, parameters)
    assert purges.take() == [sorted(tags)]


def test_what_the_unit_of_work_writes_is_one_purge_of_its_rows(
    engine: Engine, purges: Purges
) -> None:
    with Session(engine) as db, db.begin():
        ada = db.get_one(Author, 1)
        ada.name = "Ada L."
        ada.books.append(Book(title="c"))
        db.add_all([Author(name="Cleo"), Author(name="Dan")])
        assert purges.take() == []
    assert purges.take() == [[*AUTHOR_1[:3], "db:author:3", "db:author:4", *AUTHOR_1[3:], *BOOK_3]]


def test_keys_are_learnt_from_sqlalchemy_where_the_driver_tells_none(
    engine: Engine, purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachemw.integrations.sqlalchemy.learn_keys", lambda *_: None)
    with Session(engine) as db, db.begin():
        db.add_all([Author(name="Cleo"), Author(name="Dan")])
    assert purges.take() == [["db:?", "db:author", "db:author:3", "db:author:4"]]


def test_a_statement_that_a_dialect_carries_out_by_itself_purges_all_that_was_recorded(
    engine: Engine, purges: Purges
) -> None:
    """Nobody says on which connection, or whether it is committed."""
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        engine.dialect.do_execute(cursor, "UPDATE book SET title = 'c'", ())
    assert purges.take() == [["db:*"]]


def test_a_purge_comes_after_the_commit_has_happened(engine: Engine, url: str) -> None:
    """Fails where purges follow SQLAlchemy's `commit` event, which comes before the commit."""
    purges = Purges()
    seen_by_others: list[str] = []
    path = url.removeprefix("sqlite:///")

    def look(_: tuple[str, ...]) -> None:
        with sqlite3.connect(path) as other:
            seen_by_others.append(
                other.execute("SELECT title FROM book WHERE id = 1").fetchone()[0]
            )
        other.close()

    purges.cache._core.purger.invalidate = look  # type: ignore[method-assign]
    recorder = record(engine, purges.cache, Base.metadata)
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="new"))
    assert seen_by_others == ["new"]
    recorder.stop()


def test_what_is_rolled_back_is_not_purged(engine: Engine, purges: Purges) -> None:
    with engine.connect() as connection:
        connection.execute(update(Book).values(title="c"))
        connection.rollback()
        connection.execute(update(Author).where(Author.id == 1).values(name="c"))
        connection.commit()
        connection.execute(update(Book).values(title="c"))
    assert purges.take() == [AUTHOR_1]
    with engine.begin() as connection:  # the same connection of the pool again
        connection.execute(select(Book))
    assert purges.take() == []


@pytest.fixture
def nesting(url: str, purges: Purges) -> Iterator[Engine]:
    """An engine whose savepoints are in transactions, as SQLAlchemy's documentation has it."""
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    recorder = record(engine, purges.cache, Base.metadata)
    yield engine
    recorder.stop()
    engine.dispose()


def test_a_savepoint_takes_back_what_was_written_since_and_no_more(
    nesting: Engine, purges: Purges
) -> None:
    with nesting.connect() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
        outer = connection.begin_nested()
        connection.execute(update(Book).values(title="d"))
        with connection.begin_nested():
            connection.execute(update(Author).values(name="e"))
        outer.rollback()
        with connection.begin_nested():
            connection.execute(insert(Review).values(id=1, text="f", book_id=2))
        connection.commit()
    assert purges.take() == [[*BOOK_1, "db:review", "db:review:1", "db:review:by:book_id=2"]]


def test_savepoints_make_one_purge_of_one_transaction(nesting: Engine, purges: Purges) -> None:
    with Session(nesting) as db, db.begin():
        for number in range(50):
            with db.begin_nested():
                db.add(Review(id=100 + number, text="f"))
    (tags,) = purges.take()
    assert {"db:review:100", "db:review:149"} <= set(tags)


def test_a_savepoint_that_commits_by_itself_is_purged(engine: Engine, purges: Purges) -> None:
    """Python's driver opens no transaction for a savepoint: to release it is to commit.

    Fails where what a rollback takes back is forgotten without asking whether it stands.
    """
    with engine.connect() as connection:
        with connection.begin_nested():
            connection.execute(insert(Review).values(id=1, text="f"))
        connection.rollback()
        kept = connection.execute(select(Review.id)).scalar()
    assert bool(kept) == bool(purges.take())


@pytest.mark.parametrize("how", ["engine", "options of the engine", "connection"])
def test_what_commits_by_itself_is_purged_at_once(url: str, purges: Purges, how: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT" if how == "engine" else None)
    recorder = record(engine, purges.cache, Base.metadata)
    automatic = engine
    if how == "options of the engine":
        automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
    with automatic.connect() as connection:
        if how == "connection":
            connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
        assert purges.take() == [BOOK_1]
        connection.rollback()
        assert purges.take() == []
        connection.execute(insert(Author).values(name="Cleo"))
        assert purges.take() == [["db:?", "db:author", "db:author:3"]]
    recorder.stop()
    engine.dispose()


def test_a_statement_that_fails_where_each_commits_by_itself_is_purged(
    url: str, purges: Purges
) -> None:
    """Fails without the purge in the `except`: who knows how far it got."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    recorder = record(engine, purges.cache, Base.metadata)
    with engine.connect() as connection:
        with pytest.raises(exc.IntegrityError):
            connection.execute(insert(Book).values(id=1, title="c"))
        assert purges.take() == [BOOK_1]
    recorder.stop()
    engine.dispose()


def test_rows_that_are_fetched_late_where_each_statement_commits_are_purged_again(
    url: str, purges: Purges
) -> None:
    """SQLite commits when the last row is fetched: a purge before that would be too early."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    recorder = record(engine, purges.cache, Base.metadata)
    with engine.connect() as connection:
        result = connection.execute(
            text("UPDATE book SET title = 'c' WHERE id = 1 RETURNING title")
        )
        purges.take()
        assert result.all() == [("c",)]
    assert purges.take() == [BOOK_1]
    recorder.stop()
    engine.dispose()


@pytest.mark.parametrize("ending", ["COMMIT", "CREATE TABLE more (id INTEGER)"])
def test_a_text_that_may_commit_is_purged_at_once(
    nesting: Engine, purges: Purges, ending: str
) -> None:
    with nesting.connect() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
        assert purges.take() == []
        connection.exec_driver_sql(ending)
        (tags,) = purges.take()
        assert set(BOOK_1) <= set(tags)


def test_what_is_not_understood_purges_all_that_was_recorded_at_once_and_after_the_commit(
    engine: Engine, purges: Purges
) -> None:
    """It may commit by itself, as procedures do, or leave that to the transaction."""
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
        connection.exec_driver_sql("ATTACH ':memory:' AS other")
        assert purges.take() == [["db:*"]]
    assert purges.take() == [["db:*"]]


def test_a_commit_that_fails_is_purged(url: str, purges: Purges) -> None:
    """Who commits and loses the connection cannot know what became of it."""
    engine = create_engine(url)

    def break_off(_: object) -> None:
        raise OSError("gone")

    engine.dialect.do_commit = break_off  # type: ignore[method-assign]
    recorder = record(engine, purges.cache, Base.metadata)
    with pytest.raises(OSError, match="gone"), engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert purges.take() == [BOOK_1]
    recorder.stop()
    engine.dispose()


def test_a_connection_that_is_given_up_purges_nothing(engine: Engine, purges: Purges) -> None:
    with engine.connect() as connection:
        connection.execute(update(Book).values(title="c"))
        connection.invalidate()
    with engine.begin() as connection:
        connection.execute(select(Book))
    assert purges.take() == []


@pytest.mark.parametrize("pool", [NullPool, StaticPool, SingletonThreadPool])
def test_pools_of_other_kinds_are_watched_too(url: str, purges: Purges, pool: type[Pool]) -> None:
    engine = create_engine(url, poolclass=pool)
    recorder = record(engine, purges.cache, Base.metadata)
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert purges.take() == [BOOK_1]
    recorder.stop()
    engine.dispose()


# -- two phases: SQLite has none, so its dialect says what a driver that has them would be sent --------


def test_a_transaction_in_two_phases_is_purged_when_it_is_committed(
    url: str, purges: Purges
) -> None:
    engine = create_engine(url)
    done = commit_in_two_phases(engine)
    recorder = record(engine, purges.cache, Base.metadata)
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
        transaction.prepare()
        assert purges.take() == []
        transaction.commit()
        assert purges.take() == [BOOK_1]
        connection.commit_prepared("another's", recover=True)
    assert purges.take() == [["db:*"]]
    assert done == [False, True]
    recorder.stop()
    engine.dispose()


def commit_in_two_phases(engine: Engine) -> list[bool]:
    done: list[bool] = []

    def do_commit(
        connection: Any, xid: Any, is_prepared: bool = True, recover: bool = False
    ) -> None:
        done.append(recover)
        engine.dialect.do_rollback(connection.connection)  # as PostgreSQL's does, before it commits

    dialect: Any = engine.dialect
    dialect.do_begin_twophase = lambda connection, xid: None
    dialect.do_prepare_twophase = lambda connection, xid: None
    dialect.do_commit_twophase = do_commit
    return done


# -- what is around it -------------------------------------------------------------------------------


def test_a_recorder_that_is_stopped_sees_nothing_more(url: str, purges: Purges) -> None:
    engine = create_engine(url)
    untouched = set(vars(engine.dialect))
    recorder = record(engine, purges.cache, Base.metadata)
    recorder.stop()
    recorder.stop()
    with recorded() as tags, engine.begin() as connection:
        connection.execute(select(Book))
        connection.execute(update(Book).values(title="c"))
    assert (tags, purges.take()) == ([], [])
    assert "do_commit" not in vars(engine.dialect).keys() - untouched
    engine.dispose()


def test_two_recorders_of_one_engine_stop_in_any_order(url: str) -> None:
    engine, first, second = create_engine(url), Purges(), Purges()
    recorders = [record(engine, each.cache, Base.metadata) for each in (first, second)]
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert (first.take(), second.take()) == ([BOOK_1], [BOOK_1])
    recorders[0].stop()
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="d"))
    assert (first.take(), second.take()) == ([], [BOOK_1])
    recorders[1].stop()
    engine.dispose()


def test_the_configuration_can_leave_databases_alone(url: str) -> None:
    engine, purges = create_engine(url), Purges(recording={"database": False})
    record(engine, purges.cache, Base.metadata)
    with recorded() as tags, engine.begin() as connection:
        connection.execute(select(Book))
        connection.execute(update(Book).values(title="c"))
    assert (tags, purges.take()) == ([], [])
    engine.dispose()


def test_an_engine_that_is_disposed_of_is_watched_on(engine: Engine, purges: Purges) -> None:
    engine.dispose()
    with engine.begin() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert purges.take() == [BOOK_1]


def test_a_recorder_at_fault_fails_no_query(
    engine: Engine, purges: Purges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the `except` around what is read, and around what is written."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(read_rows, "record", fail)
    monkeypatch.setattr(written_rows.Changes, "add", fail)
    with recorded() as tags, engine.begin() as connection:
        assert len(connection.execute(select(Book)).all()) == 2
        connection.execute(update(Book).where(Book.id == 1).values(title="c"))
    assert tags == ["db:?"]
    assert purges.take() == [["db:*"]]


def test_instances_classes_and_tables_can_be_depended_on(engine: Engine) -> None:
    with Session(engine) as db:
        book = db.get_one(Book, 1)
        with recorded() as row:
            depends_on(book)
    with recorded() as whole:
        depends_on(Book, Author.__table__)
    with recorded() as unsaved:
        depends_on(Book(title="c"))
    with recorded() as composite:
        depends_on(Loan(book_id=1, day=1))
    assert row == ["db:book:1"]
    assert whole == ["db:author", "db:book"]
    assert (unsaved, composite) == (["db:book"], ["db:loan"])
    with pytest.raises(TypeError, match="depend"):
        depends_on(object())


def test_a_recorder_is_made_by_record_and_says_what_it_is(engine: Engine, purges: Purges) -> None:
    assert isinstance(record(engine, purges.cache), Recorder)


# -- transactions that others have begun -------------------------------------------------------------


def _with_wal(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # one may write while another reads
    engine.dispose()


def test_a_response_is_as_old_as_the_transaction_that_it_reads_in(
    url: str, engine: Engine, purges: Purges
) -> None:
    """Fails where a session that was opened before the request counts as opened in it."""
    _with_wal(url)
    floors = purges.cache._core.engine.floors
    with engine.connect() as connection, Session(engine) as other:
        connection.exec_driver_sql("BEGIN")
        connection.execute(select(Author)).all()
        began = floors.current_position()
        other.execute(update(Book).where(Book.id == 1).values(title="new"))
        other.commit()
        later = floors.current_position()
        assert later.id > began.id
        recording = Recording()
        token = current.set(recording)
        try:
            assert connection.scalar(select(Book.title).where(Book.id == 1)) == "a"
        finally:
            current.reset(token)
        assert recording.oldest(later) == began
        connection.rollback()
        assert connection.scalar(select(Book.title).where(Book.id == 1)) == "new"


def test_without_a_transaction_it_is_not(url: str, engine: Engine, purges: Purges) -> None:
    """Fails where a connection that is kept open makes every later response old."""
    floors = purges.cache._core.engine.floors
    with engine.connect() as connection, Session(engine) as other:
        connection.execute(select(Author)).all()
        other.execute(update(Book).where(Book.id == 1).values(title="new"))
        other.commit()
        recording, later = Recording(), floors.current_position()
        token = current.set(recording)
        try:
            assert connection.scalar(select(Book.title).where(Book.id == 1)) == "new"
        finally:
            current.reset(token)
        assert recording.oldest(later) == later


def test_what_a_response_saw_and_was_rolled_back_is_purged(engine: Engine, purges: Purges) -> None:
    token = current.set(Recording())
    try:
        with Session(engine) as db:
            db.execute(update(Book).where(Book.id == 1).values(title="never"))
            db.rollback()
            with suppress(ValueError), db.begin(), db.begin_nested():
                db.execute(update(Book).where(Book.id == 2).values(title="never"))
                raise ValueError
    finally:
        current.reset(token)
    assert [
        [tag for tag in each if tag in ("db:book:1", "db:book:2")] for each in purges.take()
    ] == [
        ["db:book:1"],
        ["db:book:2"],
    ]


def test_many_savepoints_take_no_memory(engine: Engine, purges: Purges) -> None:
    with Session(engine) as db, db.begin():
        db.connection().exec_driver_sql("BEGIN")  # pysqlite begins none for a savepoint
        for number in range(100):
            with db.begin_nested():
                db.execute(update(Book).where(Book.id == 1).values(title=str(number)))
        (pending,) = [
            each for each in db.connection().info.values() if hasattr(each, "begin_savepoint")
        ]
        assert len(pending._levels) == 1
    assert len(purges.take()) == 1


def test_a_row_that_was_inserted_in_a_savepoint_is_known_by_its_key(
    engine: Engine, purges: Purges
) -> None:
    with Session(engine) as db, db.begin():
        db.connection().exec_driver_sql("BEGIN")
        with db.begin_nested():
            db.add(Author(name="Cid"))
        with db.begin_nested():
            db.add(Author(name="Dan"))
    (tags,) = purges.take()
    assert {"db:author:3", "db:author:4"} <= set(tags)
    assert "db:author:*" not in tags


# -- keys that are not what they seem ----------------------------------------------------------------


class Other(DeclarativeBase):
    pass


class Big(Other):
    __tablename__ = "big"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class Folded(Other):
    __tablename__ = "folded"

    word: Mapped[str] = mapped_column(String(collation="NOCASE"), primary_key=True)


def test_the_number_of_a_row_is_not_taken_for_its_key(tmp_path: Path, purges: Purges) -> None:
    """SQLite has no AUTOINCREMENT for a BIGINT: it reports the number of the row."""
    engine = create_engine(f"sqlite:///{tmp_path / 'big.db'}")
    Other.metadata.create_all(engine)
    record(engine, purges.cache, Other.metadata)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO big (id) VALUES (100 + 1)"))
    assert "db:big:*" in purges.take()[-1]
    engine.dispose()


def test_a_key_with_a_collation_of_its_own_is_not_known(tmp_path: Path, purges: Purges) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'folded.db'}")
    Other.metadata.create_all(engine)
    record(engine, purges.cache, Other.metadata)
    with recorded() as tags, engine.connect() as connection:
        connection.execute(select(Folded).where(Folded.word == "a")).all()
    assert tags == ["db:folded"]
    engine.dispose()


def test_a_commit_by_the_driver_itself_is_noticed_when_the_connection_goes_back(
    engine: Engine, purges: Purges
) -> None:
    """Fails where a rollback counts as one of what the application has committed past SQLAlchemy."""
    with engine.connect() as connection:
        connection.execute(update(Book).where(Book.id == 1).values(title="new"))
        connection.connection.commit()
        assert purges.take() == []
    assert ["db:book:1" in tags for tags in purges.take()] == [True]
