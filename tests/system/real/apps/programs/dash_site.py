"""A dashboard by Dash, with a table that its visitors choose and add to: `python dash_site.py FD FOLDER`.

The cache is in front of it if `SITE_CACHED` is set.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from dash import Dash, Input, Output, dcc, html

CITIES = ("Bergen", "Cork", "Gdynia", "Lyon")
FOLDER = Path(os.environ["SITE_FOLDER"])


def connect() -> sqlite3.Connection:
    return sqlite3.connect(FOLDER / "site.sqlite3", timeout=30)


with closing(connect()) as database, database:
    database.execute("create table if not exists visit (city text primary key, number integer)")
    database.executemany(
        "insert or ignore into visit values (?, ?)", [(city, len(city)) for city in CITIES]
    )

dash = Dash("visits", title="Visits")
dash.layout = html.Div([dcc.Dropdown(list(CITIES), CITIES[0], id="city"), html.P(id="number")])


@dash.callback(Output("number", "children"), Input("city", "value"))
def number(city: str) -> str:
    """Look up how many visited a city."""
    with closing(connect()) as database:
        [found] = database.execute("select number from visit where city = ?", (city,)).fetchone()
    return f"{found} people visited {city}"


@dash.server.post("/visit/<city>")
def visit(city: str):
    """Count one more, as a script beside the dashboard would."""
    with closing(connect()) as database, database:
        database.execute("update visit set number = number + 1 where city = ?", (city,))
    return {"counted": city}


application = dash.server
if "SITE_CACHED" in os.environ:
    from cachemw import Cache
    from cachemw.wsgi import CacheMiddleware

    cache = Cache.from_file(Path(__file__).with_suffix(".toml"))
    application.wsgi_app = CacheMiddleware(application.wsgi_app, cache=cache)
