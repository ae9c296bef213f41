"""Write the files of names: `python -m tests.system.databases.functions`.

Needs what the environment `databases` has, and besides Debian's `postgresql` and `mariadb-server` its
`postgresql-contrib` and `postgresql-15-postgis-3`.
"""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cachemw.recording.sql.functions
from tests.system.databases.functions import mysql, others, postgresql, sqlite
from tests.system.databases.functions.names import Query, querying

if TYPE_CHECKING:
    from tests.system.databases.servers import Server

FOLDER = Path(cachemw.recording.sql.functions.__file__).parent


@contextmanager
def asked(server: Server) -> Iterator[Query]:
    """Run a server; yield what queries it."""
    with server, closing(server.connect(server.first)) as connection:
        yield querying(connection)


def made() -> dict[str, str]:
    """Return the text of each file, by its name."""
    import django

    from tests.system.databases.servers import MariaDB, PostgreSQL

    with asked(PostgreSQL()) as query:
        (version,) = query("SHOW server_version")
        sections = postgresql.read(query)
        (postgis,) = query("SELECT extversion FROM pg_extension WHERE extname = 'postgis'")
    texts = {
        "postgresql": _text(
            f"PostgreSQL, from the catalogue of {version} with the extensions"
            f" {', '.join(postgresql.EXTENSIONS)} (PostGIS {postgis}), and from reviewed lists",
            sections,
        )
    }
    with asked(MariaDB()) as query:
        (version,) = query("SELECT VERSION()")
        texts["mysql"] = _text(
            f"MySQL and MariaDB, from the catalogue of MariaDB {version} and from reviewed lists",
            mysql.read(query),
        )
    texts["sqlite"] = _text(
        f"SQLite, from version {sqlite3.sqlite_version}, Django {django.__version__} and a reviewed list",
        sqlite.read(),
    )
    return texts | written_by_hand()


def written_by_hand() -> dict[str, str]:
    """Return the files that need no server."""
    return {
        "standard": _text("the SQL standard", others.STANDARD),
        "oracle": _text("Oracle, besides the standard's", others.ORACLE),
        "sqlserver": _text("SQL Server, besides the standard's", others.SQLSERVER),
    }


def _text(title: str, sections: dict[str, list[str]]) -> str:
    comment = f"Functions of {title}. Made by `python -m tests.system.databases.functions`: see its modules."
    lines = [f"# {line}" for line in textwrap.wrap(comment, 108)]
    for section, names in sections.items():
        lines += [
            "",
            f"[{section}]",
            *textwrap.wrap(" ".join(sorted({*names})), 110, break_on_hyphens=False),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, text in made().items():
        (FOLDER / f"{name}.txt").write_text(text, "utf-8")
