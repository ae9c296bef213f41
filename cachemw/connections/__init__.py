"""The connections to Redis, used by the stores and by the invalidation log.

Reading order:

- `breaker`: the circuit breaker of one server.
- `failures`: what a failure of Redis is, in words.
- `deadline`: one deadline for a whole reply, for clients in threads.
- `interruption`: ends a read that waits in another thread.
- `node`: one server, with its clients and its breaker.
- `topology`: which server has which key (single server, Sentinel, Cluster).
- `versions`: which servers are too old.
- `permissions`: what the user of the cache must be allowed to do.
- `nodes`: all servers of one deployment.
"""
