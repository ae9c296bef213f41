"""Telemetry: counting, exporting and logging what the cache does.

A request that is answered from memory touches only `reporter`, `counters` and `spans`. It imports no SDK
of OpenTelemetry, and everything but counting is optional.

Reading order:

- `events`: the tables of events, gauges and duration buckets.
- `counters`: counting on plain integers of each thread.
- `stats`: statistics as values that can be merged.
- `mismatches`: differences found in shadow, by route.
- `forecasts`: what routes in shadow would do, switched on.
- `shadow_report`: what is said of the routes in shadow, in sentences.
- `advice`: what log lines advise to do.
- `logs`: structured log lines, limited in number.
- `spans`: spans around real work, and attributes of the server's span.
- `reporter`: what happens to a request, for counters, spans and logs.
- `otel`: export of the counters as OpenTelemetry metrics.
- `fleet`: statistics of all processes, shared through Redis.
"""

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = ["Counters", "Gauges", "Histogram", "Outcome", "Stats"]
