"""Questions to the drivers below SQLAlchemy, which it does not ask itself."""

from __future__ import annotations

from typing import Any

__all__ = ["autocommits", "is_in_transaction"]

_IDLE = 0
"""The status of psycopg's connections that are in no transaction."""
_IN_TRANSACTION = 1
"""The bit SERVER_STATUS_IN_TRANS of MySQL's protocol."""


def is_in_transaction(connection: Any) -> bool | None:
    """Tell whether the driver says that a transaction which has written is open; None: it does not say."""
    try:
        driver = connection.driver_connection
        for name in ("in_transaction", "is_in_transaction"):  # of SQLite, and of asyncpg
            found = getattr(driver, name, None)
            if found is not None:
                return bool(found() if callable(found) else found)
        info = getattr(driver, "info", None)  # of psycopg 2 and 3
        if info is not None and hasattr(info, "transaction_status"):
            return bool(info.transaction_status != _IDLE)
        status = getattr(
            driver, "server_status", None
        )  # of PyMySQL and those that are made from it
        return bool(status & _IN_TRANSACTION) if isinstance(status, int) else None
    except Exception:  # the connection is broken
        return None


def autocommits(dialect: Any, connection: Any) -> bool:
    """Tell whether the driver commits each statement, set without SQLAlchemy's knowledge."""
    detect = getattr(dialect, "detect_autocommit_setting", None)  # new in SQLAlchemy 2.0.43
    try:
        return bool(detect and detect(connection))
    except NotImplementedError:
        return False
