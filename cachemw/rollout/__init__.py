"""Rollouts: turning the cache on step by step, and back off when evidence says so.

Reading order:

- `flags`: how far each route may use the cache right now.
- `guardrails`: the statistics that judge a phase.
- `state`: the documents of a rollout.
- `transitions`: the moves from one state to the next.
- `decisions`: which move a look at the counters leads to.
- `evidence`: what one attempt at a phase has shown.
- `health`: the check after a rollback.
- `store`: storage in Redis or in the process.
- `remembered`: what processes give back to a Redis that has lost its data.
- `controller`: the work of the one process that moves the rollout.
- `manager`: the rollout as operators use it, and the controller's thread.
- `plan_file`: the default plan as a file.
- `webhook`: reports of decisions to a URL.
"""
