"""Flags: how far each route may use the cache right now.

Reading order:

- `live`: the document of what was set live, and how a setting changes it.
- `lineage`: which of two documents knows of the other, after Redis has lost its data.
- `flags`: the rules that combine configuration, live settings, files and other systems.
- `files`: the two files of a machine, an operator's and a mirror of the live flags.
"""
