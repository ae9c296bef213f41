"""The connections to Redis, used by the stores and by the invalidation log.

Reading order:

- `breaker`: the circuit breaker of one server.
- `failures`: what a failure of Redis is, in words.
- `interruption`: ends a read that waits in another thread.
- `opening`: how connections are opened, in the background.
- `renewal`: the replacement of open connections by new ones.
- `node`: one server, with its clients and its breaker.
- `distance`: how far away Redis is, and what that asks of the deadline.
- `request_budget`: how long one request may wait in vain.
- `topology`: which server has which key (single server, Sentinel, Cluster).
- `versions`: which servers are too old.
- `permissions`: what the user of the cache must be allowed to do.
- `nodes`: all servers of one deployment.
"""
