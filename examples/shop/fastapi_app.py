"""The shop under FastAPI: `uvicorn --factory shop.fastapi_app:create_app`.

Its functions are not async, because SQLite blocks: FastAPI runs them in its thread pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy.orm import sessionmaker

from . import caching, seed
from . import sqlalchemy_reads as reads
from . import sqlalchemy_writes as writes
from .forms import Row, ShopError, Shown
from .tables import Base, open_engine

Form = Annotated[Any, Body()]
Read = Callable[..., Shown]
Write = Callable[..., Row]


def create_app() -> FastAPI:
    """Return the application, with the cache in front of it unless `SHOP_CACHE=off`."""
    cache = caching.open_cache()
    engine = open_engine(seed.ensure(seed.default_path()))
    sessions = sessionmaker(engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    def show(read: Read, *args: Any) -> Response:
        with sessions() as db:
            return respond(read(db, *args))

    def change(write: Write, *args: Any) -> Response:
        with sessions.begin() as db:
            return JSONResponse(write(db, *args))

    app = FastAPI(title="Shop", lifespan=lifespan)
    app.include_router(reading(show))
    app.include_router(reading_internals(show))
    app.include_router(writing(change))
    app.add_exception_handler(ShopError, on_problem)
    app.add_exception_handler(RequestValidationError, on_malformed)
    if cache is not None:
        from cachemw.integrations.sqlalchemy import record
        from cachemw.starlette import CacheMiddleware

        record(engine, cache, Base.metadata)  # a write purges the pages that show its rows
        app.add_middleware(CacheMiddleware, cache=cache)
    return app


def reading(show: Callable[..., Response]) -> APIRouter:
    """Return the routes that read."""
    router = APIRouter()

    @router.get("/products")
    def products(page: str = "1", sort: str = "name", category: str | None = None) -> Response:
        return show(reads.products, page, sort, category)

    @router.get("/products/{number:int}")
    def product(number: int) -> Response:
        return show(reads.product, number)

    @router.get("/orders")
    def orders(customer: str = "") -> Response:
        return show(reads.orders, customer)

    @router.get("/orders/{number:int}")
    def order(number: int) -> Response:
        return show(reads.order, number)

    @router.get("/customers/{number:int}")
    def customer(number: int) -> Response:
        return show(reads.customer, number)

    @router.get("/catalog")
    def catalog() -> Response:
        return show(reads.catalog)

    @router.get("/catalog/{category}")
    def category(category: str) -> Response:
        return show(reads.category, category)

    @router.get("/recommendations/{number:int}")
    def recommendations(number: int) -> Response:
        return show(reads.recommendations, number)

    @router.get("/inventory/{number:int}")
    def inventory(number: int) -> Response:
        return show(reads.inventory, number)

    return router


def reading_internals(show: Callable[..., Response]) -> APIRouter:
    """Return the routes for the people who run the shop."""
    router = APIRouter()

    @router.get("/metrics")
    def metrics() -> Response:
        return show(reads.metrics)

    @router.get("/healthcheck")
    def healthcheck() -> Response:
        return show(reads.health)

    @router.get("/logs")
    def logs() -> Response:
        return show(reads.logs)

    return router


def writing(change: Callable[..., Response]) -> APIRouter:
    """Return the routes that write."""
    router = APIRouter()

    @router.api_route("/products/{number:int}", methods=["PUT", "PATCH"])
    def set_price(number: int, form: Form) -> Response:
        return change(writes.set_price, number, form)

    @router.post("/inventory/{number:int}")
    def set_stock(number: int, form: Form) -> Response:
        return change(writes.set_stock, number, form)

    @router.post("/orders")
    def place_order(form: Form) -> Response:
        return change(writes.place_order, form)

    return router


def respond(shown: Shown) -> Response:
    """Return a response with what a read returned."""
    return PlainTextResponse(shown) if isinstance(shown, str) else JSONResponse(shown)


async def on_problem(_: Request, problem: Exception) -> Response:
    """Return the response for a mistake in a request."""
    assert isinstance(problem, ShopError)
    return JSONResponse({"detail": problem.detail}, status_code=problem.status)


async def on_malformed(_: Request, error: Exception) -> Response:
    """Return the response for a body that is not JSON; the data layer makes all other checks."""
    return JSONResponse({"detail": "the body must be a JSON object"}, status_code=400)
