"""The composition root: the only place that joins stores, log, rollout and telemetry.

Reading order:

- `core`: the parts of one cache, how they are made, and their life.
- `memory`, `engine`, `redis`, `rollout`: making these parts from the configuration.
- `flags`: the flags and the files of the machine.
- `effects`: running the effects of flows.
- `writes`: writes to the shared store after the response.
- `purging`: purges by operators, and by unsafe requests.
- `gauges`: gauges and statistics.
"""
