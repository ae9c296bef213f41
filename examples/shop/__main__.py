"""`python -m shop [PATH]`: create the database if it does not exist, and describe it as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from . import seed

path = seed.ensure(Path(sys.argv[1]) if len(sys.argv) > 1 else seed.default_path())
slugs = [name.lower().replace(" ", "-") for name in seed.CATEGORIES]
print(json.dumps({"path": str(path), "categories": slugs, **asdict(seed.FULL)}))
