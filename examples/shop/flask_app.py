"""The shop under Flask: `gunicorn "shop.flask_app:create_app()"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy.orm import sessionmaker

from . import caching, seed
from . import sqlalchemy_reads as reads
from . import sqlalchemy_writes as writes
from .forms import Row, ShopError, Shown
from .tables import Base, open_engine


def create_app() -> Flask:
    """Return the application, with the cache in front of it unless `SHOP_CACHE=off`."""
    cache = caching.open_cache()
    engine = open_engine(seed.ensure(seed.default_path()))
    sessions = sessionmaker(engine)

    def show(read: Callable[..., Shown], *args: Any) -> Response:
        with sessions() as db:
            return respond(read(db, *args))

    def change(write: Callable[..., Row], *args: Any) -> Response:
        form = request.get_json(force=True)
        with sessions.begin() as db:
            return jsonify(write(db, *args, form))

    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    add_reads(app, show)
    add_internal_reads(app, show)
    add_writes(app, change)
    app.register_error_handler(ShopError, on_problem)
    app.register_error_handler(
        400, lambda _: on_problem(ShopError(400, "the body must be a JSON object"))
    )
    app.register_error_handler(404, lambda _: on_problem(ShopError(404, "Not Found")))
    if cache is not None:
        from cachemw.integrations.sqlalchemy import record
        from cachemw.wsgi import CacheMiddleware

        record(engine, cache, Base.metadata)  # a write purges the pages that show its rows
        app.wsgi_app = CacheMiddleware(app.wsgi_app, cache=cache)  # type: ignore[method-assign]
    return app


def add_reads(app: Flask, show: Callable[..., Response]) -> None:
    """Add the routes that read."""

    @app.get("/products")
    def products() -> Response:
        asked = request.args
        page, sort = asked.get("page", "1"), asked.get("sort", "name")
        return show(reads.products, page, sort, asked.get("category"))

    @app.get("/products/<int:number>")
    def product(number: int) -> Response:
        return show(reads.product, number)

    @app.get("/orders")
    def orders() -> Response:
        return show(reads.orders, request.args.get("customer", ""))

    @app.get("/orders/<int:number>")
    def order(number: int) -> Response:
        return show(reads.order, number)

    @app.get("/customers/<int:number>")
    def customer(number: int) -> Response:
        return show(reads.customer, number)

    @app.get("/catalog")
    def catalog() -> Response:
        return show(reads.catalog)

    @app.get("/catalog/<category>")
    def category(category: str) -> Response:
        return show(reads.category, category)

    @app.get("/recommendations/<int:number>")
    def recommendations(number: int) -> Response:
        return show(reads.recommendations, number)

    @app.get("/inventory/<int:number>")
    def inventory(number: int) -> Response:
        return show(reads.inventory, number)


def add_internal_reads(app: Flask, show: Callable[..., Response]) -> None:
    """Add the routes for the people who run the shop."""

    @app.get("/metrics")
    def metrics() -> Response:
        return show(reads.metrics)

    @app.get("/healthcheck")
    def healthcheck() -> Response:
        return show(reads.health)

    @app.get("/logs")
    def logs() -> Response:
        return show(reads.logs)


def add_writes(app: Flask, change: Callable[..., Response]) -> None:
    """Add the routes that write."""

    @app.route("/products/<int:number>", methods=["PUT", "PATCH"])
    def set_price(number: int) -> Response:
        return change(writes.set_price, number)

    @app.post("/inventory/<int:number>")
    def set_stock(number: int) -> Response:
        return change(writes.set_stock, number)

    @app.post("/orders")
    def place_order() -> Response:
        return change(writes.place_order)


def respond(shown: Shown) -> Response:
    """Return a response with what a read returned."""
    return Response(shown, mimetype="text/plain") if isinstance(shown, str) else jsonify(shown)


def on_problem(problem: ShopError) -> tuple[Response, int]:
    """Return the response for a mistake in a request."""
    return jsonify({"detail": problem.detail}), problem.status
