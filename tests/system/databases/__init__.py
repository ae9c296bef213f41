"""The recorders of queries on real databases: every read after every write, in every way to commit.

Read in this order: `tables.py` (the library, for each database), `reads.toml`, `writes.toml`, `plain.toml`
and `unseen.toml` (SQL as texts), `cases.py`, `django_site` and `alchemy_site` (what is each framework's own),
`worker.py` (the process of a site), `servers.py` and `acknowledgements.py` (what it runs on), `bench.py`
(both, for the tests), `judge.py`, `report.py`, `fixtures.py`. The folder `functions` makes the tables of
functions that the recorders know.
"""
