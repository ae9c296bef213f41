"""Helpers that the commands share.

Reading order:

- `source`: a configuration that the calling program provides.
- `options`: the option `--config`, and reading the configuration.
- `completion`: completion of names in a shell.
- `redis_access`: caches that reach Redis for a command, and Redis errors as messages.
- `printing`: what prints: lines, JSON, tables.
- `graph_drawing`: the dependency graph as text, Graphviz and Mermaid.
"""
