"""The demo: the example shop under traffic, without and with the cache.

Reading order:

- `command`: the command `cachemw demo` and the order of its parts.
- `processes`: the shop's worker processes.
- `gunicorn_settings`: the settings of gunicorn in the demo.
- `rollback`: the last part, a rollout that is rolled back by a guardrail.
- `restarts`: the drill at its end, workers that start while Valkey is away.
- `figures`: the results of the runs, and whether they reach their targets.
- `report`: what is printed while it runs and at the end.

The traffic itself is in `cachemw.ops.load`.
"""

from __future__ import annotations

from cachemw.cli.demo.command import demo

__all__ = ["demo"]
