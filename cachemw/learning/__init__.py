"""Learning: how often content changes, and how long an answer may therefore live.

Reading order:

- `rates`: how often the content of one key changes, estimated from what its refreshes show.
- `stale_share`: which share of the answers is stale with a lifetime, and the longest lifetime for a share.
- `kinds`: what the keys of one kind have in common.
- `known_answers`: what is known of each key, bounded.
- `lifetimes`: `Lifetimes`, which the engine asks for a lifetime and tells what it has seen.
- `document`: what is learned, as it is kept in Redis or in a file, and shared between processes.
"""
