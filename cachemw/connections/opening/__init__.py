"""How connections to Redis are opened: in the background, with a time of their own.

Reading order:

- `shared_call`: one call in a background thread, whose result several wait for.
- `addresses`: the addresses of a host name, looked up in the background and kept.
- `tls`: the TLS context of a deployment, made once.
- `credentials`: the credentials that a provider of the application returns.
- `dialing`: redis-py's connections, which use the three above.
- `deadline`: one deadline for a whole reply, for clients in threads.
- `thread_pool`: a pool for threads that hands out open connections only.
- `loop_pool`: the same for one event loop.
- `settings`: the ways to the servers of one deployment, and the clients that take them.
"""
