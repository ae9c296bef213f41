"""The parts that all front doors share.

Reading order:

- `pipeline`: the procedure for one request, the same for every front door.
- `exchange`: one call of the application, whose response may be stored.
- `recorded`: which calls are recorded, and what for.
- `request_body`: reading a request's body, and giving it to the application once more.
- `asgi_scope`, `asgi_relay`, `lifespan`: translation of ASGI, for `cachemw.asgi`.
- `wsgi_environ`, `wsgi_relay`: translation of WSGI, for `cachemw.wsgi` and Django.
- `fitting`: checks of the application and the cache that a front door is given.
- `purge_endpoint`: which requests order a purge, and who may.
- `purge_orders`: execution of these orders.
"""
