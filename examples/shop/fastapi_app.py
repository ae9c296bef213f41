"""The shop under FastAPI: `uvicorn --factory shop.fastapi_app:create_app`.

Reads are plain functions, which FastAPI runs in its thread pool: SQLite blocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from . import Shop, ShopError, Shown, Written, caching, open_shop

Form = Annotated[Any, Body()]


def create_app() -> FastAPI:
    """Make the application, with the cache around it unless `SHOP_CACHE=off`."""
    shop, cache = open_shop(), caching.open_cache()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shop.close()

    async def write(change: Callable[..., Written], *args: Any) -> JSONResponse:
        written = await run_in_threadpool(change, *args)
        return JSONResponse(await caching.apurge(cache, written))

    app = FastAPI(title="Shop", lifespan=lifespan)
    app.include_router(reading(shop))
    app.include_router(writing(shop, write))
    app.add_exception_handler(ShopError, on_problem)
    app.add_exception_handler(RequestValidationError, on_malformed)
    if cache is not None:
        from cachemw.starlette import CacheMiddleware

        app.add_middleware(CacheMiddleware, cache=cache)
    return app


def reading(shop: Shop) -> APIRouter:
    """Return the routes that show something."""
    router = APIRouter()
    reads = shop.reads

    @router.get("/products")
    def products(page: str = "1", sort: str = "name", category: str | None = None) -> Response:
        return respond(reads.products(page=page, sort=sort, category=category))

    @router.get("/products/{number:int}")
    def product(number: int) -> Response:
        return respond(reads.product(number))

    @router.get("/orders")
    def orders(customer: str = "") -> Response:
        return respond(reads.orders(customer))

    @router.get("/orders/{number:int}")
    def order(number: int) -> Response:
        return respond(reads.order(number))

    @router.get("/customers/{number:int}")
    def customer(number: int) -> Response:
        return respond(reads.customer(number))

    @router.get("/catalog")
    def catalog() -> Response:
        return respond(reads.catalog())

    @router.get("/catalog/{category}")
    def category(category: str) -> Response:
        return respond(reads.category(category))

    @router.get("/recommendations/{number:int}")
    def recommendations(number: int) -> Response:
        return respond(reads.recommendations(number))

    @router.get("/inventory/{number:int}")
    def inventory(number: int) -> Response:
        return respond(reads.inventory(number))

    @router.get("/metrics")
    def metrics() -> Response:
        return respond(reads.metrics())

    @router.get("/healthcheck")
    def healthcheck() -> Response:
        return respond(reads.health())

    @router.get("/logs")
    def logs() -> Response:
        return respond(reads.logs())

    return router


def writing(shop: Shop, write: Callable[..., Awaitable[Response]]) -> APIRouter:
    """Return the routes that change something."""
    router = APIRouter()
    writes = shop.writes

    @router.api_route("/products/{number:int}", methods=["PUT", "PATCH"])
    async def set_price(number: int, form: Form) -> Response:
        return await write(writes.set_price, number, form)

    @router.post("/inventory/{number:int}")
    async def set_stock(number: int, form: Form) -> Response:
        return await write(writes.set_stock, number, form)

    @router.post("/orders")
    async def place_order(form: Form) -> Response:
        return await write(writes.place_order, form)

    return router


def respond(shown: Shown) -> Response:
    """Turn what a read returned into a response."""
    return PlainTextResponse(shown) if isinstance(shown, str) else JSONResponse(shown)


async def on_problem(_: Request, problem: Exception) -> Response:
    """Shown what is wrong with a request."""
    assert isinstance(problem, ShopError)
    return JSONResponse({"detail": problem.detail}, status_code=problem.status)


async def on_malformed(_: Request, error: Exception) -> Response:
    """Shown a body that is no JSON; every other check is the data layer's."""
    return JSONResponse({"detail": "the body must be a JSON object"}, status_code=400)
