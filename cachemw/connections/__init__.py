"""The connections to Redis, used by the stores and by the invalidation log.

Reading order:

- `breaker`: the circuit breaker of one server.
- `failures`: what a failure of Redis is, in words.
- `deadline`: one deadline for a whole reply, for clients in threads.
- `renewal`: the replacement of open connections by new ones.
- `node`: one server, with its clients and its breaker.
- `topology`: which server has which key (single server, Sentinel, Cluster).
- `nodes`: all servers of one deployment.
"""
