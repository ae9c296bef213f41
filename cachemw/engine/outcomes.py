from cachemw.telemetry.outcomes import Outcome  # noqa
