"""A shop's API by FastAPI, with sqladmin in front of its tables: `python sqladmin_site.py FD FOLDER`.

The cache is in front of it if `SITE_CACHED` is set.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.requests import Request

SECRET = "the same in every process of the site"
ADMINS = ("alice", "bob")
PRODUCTS = 20


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[int]


class Admins(AuthenticationBackend):
    """Knows the administrators by their passwords."""

    async def login(self, request: Request) -> bool:
        form = await request.form()
        name = str(form["username"])
        right = name in ADMINS and form["password"] == f"password-of-{name}"
        if right:
            request.session.update({"name": name})
        return right

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return request.session.get("name") in ADMINS


class ProductAdmin(ModelView, model=Product):
    column_list = [Product.id, Product.title, Product.price]
    page_size = 10


def application(folder: Path):
    """Make the application, behind the cache where that is asked for."""
    engine = create_engine(f"sqlite:///{folder / 'site.sqlite3'}", connect_args={"timeout": 30})
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        if session.get(Product, 1) is None:
            session.add_all(Product(title=f"Thing {n:02}", price=n) for n in range(1, PRODUCTS + 1))
            session.commit()
    app = FastAPI()
    Admin(app, engine, authentication_backend=Admins(secret_key=SECRET)).add_view(ProductAdmin)

    @app.get("/", response_class=HTMLResponse)
    def home() -> str:
        with Session(engine) as session:
            rows = session.scalars(select(Product).order_by(Product.id))
            items = [
                f'<li><a href="/products/{row.id}">{row.title}</a>: {row.price}' for row in rows
            ]
        return f"<!doctype html><title>The shop</title><ul>{''.join(items)}</ul>"

    @app.get("/products/{number}", response_class=HTMLResponse)
    def product(number: int) -> str:
        with Session(engine) as session:
            row = session.get_one(Product, number)
            return f'<!doctype html><title>{row.title}</title><a href="/">all</a> {row.price}'

    if "SITE_CACHED" not in os.environ:
        return app
    from cachemw import Cache
    from cachemw.asgi import CacheMiddleware
    from cachemw.integrations.sqlalchemy import record

    cache = Cache.from_file(Path(__file__).with_suffix(".toml"))
    record(engine, cache, Base.metadata)
    return CacheMiddleware(app, cache=cache)


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(application(Path(sys.argv[2])), log_level="warning"))
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
