"""A database query with SQLAlchemy's recorder, beside the same query without it.

The figures are ratios of processor time, for queries by the ORM and by the Core, inside a recording
and outside of one, and for an update with its purge. The database is SQLite in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import process_time

from sqlalchemy import Engine, StaticPool, create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.constants import config
from bench.effort import Effort
from bench.rows import Row, at_most, note
from bench.timing import SLICES, Subject, interleave, ratio, spread
from cachemw import Cache
from cachemw.integrations.sqlalchemy import record
from cachemw.recording.context import Recording

__all__ = ["sqlalchemy_recorder"]

_CALLS = 20
_ROWS = 20
_READ_WITHIN = 1.25
_WRITE_WITHIN = 2.0


class _Base(DeclarativeBase):
    pass


class _Group(_Base):
    __tablename__ = "groups"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def sqlalchemy_recorder(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    bare, watched = _engine(), _engine()
    recorder = record(watched, Cache.from_dict(config()), _Base.metadata)
    kinds = {"ORM": _get, "Core": _select}
    subjects = [_subject("write, bare", bare, _rename), _subject("write", watched, _rename)]
    for kind, call in kinds.items():
        subjects += [
            _subject(f"{kind}, bare", bare, call),
            _subject(f"{kind}, outside", watched, call),
            _subject(f"{kind}, inside", watched, _recorded(call)),
        ]
    times = interleave(subjects, effort.rounds, slices=SLICES)
    recorder.stop()
    micro = {name: spread(each).median * 1e6 for name, each in times.items()}
    yield at_most(
        "query of SQLAlchemy's ORM for one row, inside a recording, against the same without the recorder",
        ratio(times["ORM, inside"], times["ORM, bare"]),
        _READ_WITHIN,
        unit=" x",
        beside=_beside(micro, "ORM, inside", "ORM, bare"),
    )
    for name in ("ORM, outside", "Core, inside", "Core, outside"):
        below = f"{name.partition(',')[0]}, bare"
        yield note(
            f"one row by SQLAlchemy's {name} of a recording",
            ratio(times[name], times[below]),
            unit=" x",
            beside=_beside(micro, name, below),
        )
    yield at_most(
        "update of one row by SQLAlchemy, with its purge in memory, against the same without the recorder",
        ratio(times["write"], times["write, bare"]),
        _WRITE_WITHIN,
        unit=" x",
        beside=_beside(micro, "write", "write, bare"),
    )


def _engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    _Base.metadata.create_all(engine)
    with Session(engine) as db, db.begin():
        db.add_all(_Group(name=str(number)) for number in range(_ROWS))
    return engine


_Call = Callable[[Engine, int], None]


def _get(engine: Engine, number: int) -> None:
    with Session(engine) as db:
        db.get_one(_Group, number)


def _select(engine: Engine, number: int) -> None:
    with engine.connect() as connection:
        connection.execute(select(_Group.name).where(_Group.id == number)).all()


def _rename(engine: Engine, number: int) -> None:
    with engine.begin() as connection:
        connection.execute(update(_Group).where(_Group.id == number).values(name=f"{number}"))


def _recorded(call: _Call) -> _Call:
    def inside(engine: Engine, number: int) -> None:
        with Recording():
            call(engine, number)

    return inside


def _subject(name: str, engine: Engine, call: _Call) -> Subject:
    def measured() -> float:
        began = process_time()
        for number in range(1, _CALLS + 1):
            call(engine, number)
        return (process_time() - began) / _CALLS

    return Subject(name, measured)


def _beside(micro: dict[str, float], one: str, other: str) -> str:
    added = micro[one] - micro[other]
    return f"{added:.1f} µs more: {micro[one]:.1f} µs, bare {micro[other]:.1f} µs"
