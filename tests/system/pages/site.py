"""The shop of tests/support/django_project.py as a site of its own: `python site.py FOLDER [REDIS]`.

Prints its address when it listens. Every answer forbids the browser whatever is not the site's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
import django_project as project

USER = "operator"
POLICY = "default-src 'self'; img-src 'self' data:; form-action 'self'"


class Policy:
    """Says what a page may fetch and run."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response


class Server(ThreadingMixIn, WSGIServer):
    """One thread for each connection."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Writes no log of requests."""

    def log_message(self, *args: object) -> None:
        pass


def main(folder: str, redis: str = "") -> None:
    """Serve until the process is ended."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/site.sqlite3"}
    given = {**project.SETTINGS, "CACHEMW": project.config(redis)}
    given["MIDDLEWARE"] = [f"{__name__}.Policy", *given["MIDDLEWARE"]]
    settings.configure(
        **given, DATABASES={"default": database}, SECRET_KEY="nothing is signed", USE_TZ=True
    )
    django.setup()
    settings.ROOT_URLCONF = project.urls()

    from django.contrib.auth.models import User
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command

    from cachemw.django import get_cache

    get_cache().inspection.wait_for_log()  # what is made before goes into no Redis
    call_command("migrate", verbosity=0)
    User.objects.create_superuser(USER, password=project.PASSWORD)
    application = StaticFilesHandler(WSGIHandler())
    with make_server("127.0.0.1", 0, application, Server, Quiet) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
