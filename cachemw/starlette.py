"""The front door for Starlette and FastAPI.

    app.add_middleware(CacheMiddleware, cache=cache)

Middleware added last runs first: add this one last, so that it sees what every other one does to
the response (`Vary`, `Set-Cookie`, compression). It is the ASGI front door, made for `add_middleware`.
"""

from cachemw.asgi import CacheMiddleware

__all__ = ["CacheMiddleware"]
