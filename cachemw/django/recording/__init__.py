"""Recording of what Django reads and writes: queries, transactions, tokens, and Django's own cache.

Reading order:

- `recorder`: what statements read and write.
- `connections`: how statements and the ends of transactions are seen.
- `transactions`: when what they write is purged.
- `inserted_keys`: keys that an insert does not give.
- `schema`: what the project's models say about its tables.
- `early_reads`: reads before the cache's middleware.
- `csrf_tokens`: the tokens of forms, which are for one client.
- `companions`: what the values in Django's own cache were made from.
- `cache_calls`: what a call of Django's own cache has read or set.
- `known_keys`: keys in Django's own cache that are known by their names.
- `second_caches`: the calls of Django's own cache, and what follows from them.
- `sites`: the sites that Django keeps in the process.
"""
