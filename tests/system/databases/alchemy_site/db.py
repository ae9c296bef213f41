"""What reads and writes have of SQLAlchemy: a session, and its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

__all__ = ["Db"]


class Db:
    """A session, or a connection that a session may join. Nothing here commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @classmethod
    def over(cls, connection: Connection) -> Db:
        """Return one whose session leaves the transaction of the connection alone."""
        return cls(Session(connection, join_transaction_mode="rollback_only"))

    @property
    def connection(self) -> Connection:
        return self.session.connection()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return what a statement finds; nothing for one that finds nothing."""
        result = self.connection.execute(text(sql), dict(parameters or {}))
        return [tuple(row) for row in result] if result.returns_rows else []

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement with several sets of parameters."""
        self.connection.execute(text(sql), [dict(each) for each in parameters])
