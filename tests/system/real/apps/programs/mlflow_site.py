"""MLflow's tracking server with its pages: `python mlflow_site.py FD FOLDER`.

The cache is in front of it if `SITE_CACHED` is set.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

FOLDER = Path(sys.argv[2])
# As `mlflow server` sets them for its workers.
os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{FOLDER / 'site.sqlite3'}"
os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = f"sqlite:///{FOLDER / 'site.sqlite3'}"
os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(FOLDER / "artifacts")
os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "real.test,127.0.0.1:*"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import uvicorn  # noqa: E402
from mlflow.server.fastapi_app import app  # noqa: E402


def application():
    """Give MLflow's application, behind the cache where that is asked for."""
    if "SITE_CACHED" not in os.environ:
        return app
    from cachemw import Cache
    from cachemw.asgi import CacheMiddleware

    return CacheMiddleware(app, cache=Cache.from_file(Path(__file__).with_suffix(".toml")))


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(application(), log_level="warning"))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
