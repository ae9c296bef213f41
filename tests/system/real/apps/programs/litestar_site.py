"""A notice board by Litestar, with sessions and CSRF protection: `python litestar_site.py FD FOLDER`.

The cache is in front of it if `SITE_CACHED` is set.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import uvicorn
from jinja2 import DictLoader, Environment
from litestar import Litestar, Request, get, post
from litestar.config.csrf import CSRFConfig
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.enums import RequestEncodingType
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig

MEMBERS = ("alice", "bob")
NOTICES = 12
FOLDER = Path(sys.argv[2])
Sent = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]

FRAME = """<!doctype html><title>Notices</title>
<p>{% if name %}Hello {{ name }}-of-the-board{% else %}<a href="/log-in">Log in</a>{% endif %}</p>
{% block body %}{% endblock %}"""
PAGES = {
    "frame.html": FRAME,
    "list.html": """{% extends "frame.html" %}{% block body %}<ul>{% for number, text in notices %}
<li><a href="/notices/{{ number }}">{{ text }}</a>{% endfor %}</ul>
<a href="/write">Write one</a>{% endblock %}""",
    "notice.html": """{% extends "frame.html" %}{% block body %}<p>{{ text }}</p>
<a href="/">all</a>{% endblock %}""",
    "form.html": """{% extends "frame.html" %}{% block body %}<form method="post">{{ csrf_input | safe }}
{% for field in fields %}<input name="{{ field }}">{% endfor %}<button>Send</button>
</form>{% endblock %}""",
}


def connect() -> sqlite3.Connection:
    return sqlite3.connect(FOLDER / "site.sqlite3", timeout=30)


def page(request: Request, name: str, **more: object) -> Template:
    """Show a page, which greets who is logged in."""
    return Template(
        template_name=f"{name}.html", context={"name": request.session.get("name"), **more}
    )


@get("/")
async def notices(request: Request) -> Template:
    with closing(connect()) as database:
        rows = database.execute("select number, text from notice order by number").fetchall()
    return page(request, "list", notices=rows)


@get("/notices/{number:int}")
async def notice(request: Request, number: int) -> Template:
    with closing(connect()) as database:
        [text] = database.execute("select text from notice where number = ?", (number,)).fetchone()
    return page(request, "notice", text=text)


@get("/write")
async def form_of_notice(request: Request) -> Template:
    return page(request, "form", fields=["text"])


@post("/write")
async def write(data: Sent) -> Redirect:
    with closing(connect()) as database, database:
        database.execute("insert into notice (text) values (?)", (data["text"],))
    return Redirect("/", status_code=303)


@get("/log-in")
async def form_of_log_in(request: Request) -> Template:
    return page(request, "form", fields=["username", "password"])


@post("/log-in")
async def log_in(request: Request, data: Sent) -> Redirect:
    name = data["username"]
    if name in MEMBERS and data["password"] == f"password-of-{name}":
        request.set_session({"name": name})
    return Redirect("/", status_code=303)


def application():
    """Make the application, behind the cache where that is asked for."""
    with closing(connect()) as database, database:
        database.execute(
            "create table if not exists notice (number integer primary key, text text)"
        )
        rows = [(number, f"Notice {number:02}") for number in range(1, NOTICES + 1)]
        database.executemany("insert or ignore into notice values (?, ?)", rows)
    app = Litestar(
        [notices, notice, form_of_notice, write, form_of_log_in, log_in],
        # The pages without a form need no token, and so set no cookie.
        csrf_config=CSRFConfig(secret="the same in every process", exclude=["^/$", "^/notices/"]),
        middleware=[CookieBackendConfig(secret=b"the same in every process of it.").middleware],
        template_config=TemplateConfig(
            instance=JinjaTemplateEngine.from_environment(
                Environment(loader=DictLoader(PAGES), autoescape=True)
            )
        ),
    )
    if "SITE_CACHED" not in os.environ:
        return app
    from cachemw import Cache
    from cachemw.asgi import CacheMiddleware

    return CacheMiddleware(app, cache=Cache.from_file(Path(__file__).with_suffix(".toml")))


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(application(), log_level="warning"))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
