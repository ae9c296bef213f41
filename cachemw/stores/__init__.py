"""The stores of responses.

Reading order:

- `base`: the protocol of a shared store.
- `memory`: the memory tier, inside one process.
- `redis`: the Redis tier, shared by all processes.
"""
