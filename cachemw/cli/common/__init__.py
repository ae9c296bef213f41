"""Helpers that the commands share.

Reading order:

- `source`: a configuration that the calling program provides.
- `options`: the option `--config` and the reading of the configuration.
- `graph_drawing`: the dependency graph as text, Graphviz and Mermaid.
"""
