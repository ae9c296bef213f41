"""Ask one front end of the shop, in a process of its own: Django's settings are one per process.

`python ask.py PACKAGE FRONT_END` reads calls as JSON from standard input and prints the answers.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def open_client(front_end: str, app: Any) -> Any:
    if front_end == "fastapi":
        from starlette.testclient import TestClient

        return TestClient(app)
    if front_end == "flask":
        return app.test_client()
    from django.test import Client

    return Client()


def ask(front_end: str, client: Any, method: str, path: str, body: str | None) -> dict[str, Any]:
    if front_end == "fastapi":
        headers = {"content-type": "application/json"}
        response = client.request(method, path, content=body, headers=headers if body else {})
        content = response.content
    else:
        response = (
            client.generic(method, path, body or "", content_type="application/json")
            if (front_end == "django")
            else client.open(path, method=method, data=body, content_type="application/json")
        )
        content = response.content if front_end == "django" else response.data
    kind = response.headers["content-type"].split(";")[0]
    shown = json.loads(content) if kind == "application/json" else content.decode()
    return {
        "status": response.status_code,
        "type": kind,
        "body": shown,
    }


def main(package: str, front_end: str) -> None:
    app = importlib.import_module(f"{package}.{front_end}_app").create_app()
    client = open_client(front_end, app)
    print(json.dumps([ask(front_end, client, *call) for call in json.load(sys.stdin)]))


main(*sys.argv[1:])
