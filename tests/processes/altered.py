"""The shop with less of its recorder: what a test must see fail, and what one compares with.

Servers import this in the place of the front end that `ALTERED_FROM` names. `ALTERED` says how:
`without` notes nothing of what is read; `tables` notes and purges whole tables.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from cachemw.recording.sql import read_rows


def create_app() -> Any:
    if os.environ["ALTERED"] == "without":
        read_rows.record = lambda *_: None
    else:
        read_rows._row_tags = lambda *_: None  # a read is never of known rows
    return importlib.import_module(os.environ["ALTERED_FROM"]).create_app()
