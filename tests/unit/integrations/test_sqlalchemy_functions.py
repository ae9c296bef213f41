"""Database functions of an application, and what it declares of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine, event, func, select, text

from cachemw.integrations.sqlalchemy import record

from .books import Base, Book, Purges, recorded

QUERY = select(func.total_of(Book.id)).where(Book.id == 1)


def asked(query: Any = QUERY, **recording: Any) -> tuple[list[str], list[list[str]]]:
    """Run a query; return the tags of what it read, and what it purged."""
    purges = Purges(recording=recording)
    engine = create_engine("sqlite://", poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def add_function(connection: Any, _: object) -> None:
        connection.create_function("total_of", 1, lambda value: value)

    Base.metadata.create_all(engine)
    recorder = record(engine, purges.cache, Base.metadata)
    with recorded() as tags, engine.connect() as connection:
        connection.execute(query).all()
    recorder.stop()
    engine.dispose()
    return tags, purges.take()


def test_an_unknown_function_reads_any_table_and_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert asked() == (["db:?", "db:book:1"], [])
    (warning,) = [each for each in caplog.records if "unknown_function" in each.getMessage()]
    assert "recording.reading_functions" in warning.getMessage()


@pytest.mark.parametrize(
    ("recording", "tags"),
    [
        ({"pure_functions": ["total_*"]}, ["db:book:1"]),
        ({"reading_functions": ["*"]}, ["db:?", "db:book:1"]),
    ],
)
def test_a_declared_function_is_no_news(
    recording: dict[str, list[str]], tags: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert asked(**recording) == (tags, [])
    assert "unknown_function" not in caplog.text


def test_two_caches_declare_functions_of_their_own() -> None:
    query = text("SELECT total_of(id) FROM book")
    assert asked(query, pure_functions=["total_of"])[0] == ["db:book"]
    assert asked(query)[0] == ["db:?", "db:book"]
