"""Guardrails: the checks that can turn a phase of a rollout off.

Reading order:

- `statistics`: the sequential tests, which stay valid however often one looks.
- `measures`: what a check gets, and what it says.
- `guardrails`: the five checks, each a test and a margin.
- `sample_ratio`: the check of the comparison itself.
- `tallies`: from the counters of processes to what the checks compare.
- `evaluation`: the benefit of the cache, for the record.
"""
