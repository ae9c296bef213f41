"""Functions of databases: which of them touch no table, and which only read tables.

Reading order:

- `tables`: the names of built-in functions and keywords, by vendor, from the data files beside it.
- `known`: what a call of a function may do, by its name as it is written.
- `language`: how the statements of a vendor are read, and what their calls may do.

The data files are made by `python -m tests.system.databases.functions`.
"""
