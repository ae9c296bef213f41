"""The Redis tier: the entries and leases that all processes share.

Reading order:

- `tier`: `RedisTier`, which reads and writes entries.
- `codec`: the binary format of an entry in Redis.
- `metadata`: the part of it that holds the entry's status, headers, times and tags.
- `key_names`: the names of Redis keys.
- `commands`: commands with a deadline and a circuit breaker.
- `leases`: one process calls the application, the others wait.
- `scanner`: a search through all entries, for people.
"""
