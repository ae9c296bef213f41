"""The composition root: the only place that joins stores, log, rollout and telemetry."""
