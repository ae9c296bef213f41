"""Guardrails: the statistics that judge a rollout."""
