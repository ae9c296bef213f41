"""The engine of one cache, what it expects of the objects around it, and how flows run.

Reading order:

- `engine`: the engine, and the fast path for hits in memory.
- `ports`: what it expects of memory, log and reporter; its settings.
- `memo`: the bounded memo of plans.
- `marks`: digests that are marked for a while.
- `flights`: coalescing of requests in one process.
- `effects`: what a flow may ask of its driver.
- `drivers`: the two drivers that run flows, for threads and for event loops.
- `setup`: from the configuration's routes to the engine's.
"""
