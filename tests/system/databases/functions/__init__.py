"""The tables of functions in `cachemw/recording/sql/functions`, made from real servers.

Reading order:

- `names`: lists of names, and the question to a server for one.
- `postgresql`, `mysql`, `sqlite`, `others`: the names of each vendor, and the reviewed lists.
- `__main__`: writes the files.
"""
