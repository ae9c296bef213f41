"""Parts that any process needs. They know nothing of caching.

Reading order:

- `clock`: the clocks, behind a protocol.
- `threads`: a few workers for background calls, and daemon threads that can be stopped.
- `daemon_executor`: calls in a thread that keeps no process from ending.
- `tasks`: `Tasks`, background coroutines in event loops.
- `fork`: notices that the process was forked, and resets objects then.
- `chance`: random numbers that differ in each process.
- `printable`: text from outside, made safe to print.
- `development`: tells whether a server reloads the application when a file changes.
- `exit`: ends what runs in the background, when a cache is closed and when the process ends.
- `threadless`: tells whether the server runs no threads between requests.
- `workers`: the number of worker processes beside this one.
- `memory_limit`: the memory that the process or its container may use.
"""
