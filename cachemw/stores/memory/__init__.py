"""The memory tier: the entries of one process.

Reading order:

- `tier`: `MemoryTier`, which joins the parts below.
- `eviction`: which entries are kept when there is no room (SIEVE).
- `cost`: how many bytes of memory an entry uses.
- `interning`: one copy of headers that many entries have in common.
- `pressure`: shorter lifetimes when memory is nearly full.
- `malloc_trim`: returns free memory to the operating system.
- `shadows`: what routes in shadow mode would have stored.
"""
