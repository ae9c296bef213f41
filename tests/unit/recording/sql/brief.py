"""What texts read and write, in short. A read is `table` or `table[column]` where its rows are restricted;
`?` and `!` are reads and writes of unknown tables."""

from __future__ import annotations

from cachemw.recording.sql.functions.known import BUILT_IN, KnownFunctions
from cachemw.recording.sql.observed import Observed
from cachemw.recording.sql.statements import observe


def brief(observed: Observed) -> tuple[set[str], set[str]]:
    reads = {_with(read.table, read.equals) for read in observed.reads}
    writes = set()
    for write in observed.writes:
        rows = f"{len(write.rows)}({','.join(write.columns or ())})" if write.rows else ""
        writes.add(_with(f"{write.kind} {write.table}", write.equals) + rows)
    reads |= {"?"} if observed.unknown_read else set()
    writes |= {"!"} if observed.unknown_write else set()
    return reads, writes


def _with(name: str, equals: tuple) -> str:
    columns = ",".join(sorted({each.column for each in equals}))
    return f"{name}[{columns}]" if columns else name


def read(sql: object, vendor: str = "postgresql", functions: KnownFunctions = BUILT_IN) -> set[str]:
    reads, writes = brief(observe(sql, vendor, functions))
    assert not writes
    return reads


def opaque(sql: str, vendor: str = "postgresql") -> bool:
    return observe(sql, vendor).unknown_read and observe(sql, vendor).unknown_write


def written(sql: str, vendor: str = "postgresql") -> set[str]:
    return brief(observe(sql, vendor))[1]
