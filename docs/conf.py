"""Sphinx's settings: the pages are Markdown, a broken link is an error."""

project = "cachemw"
copyright = "2026, the cachemw authors"  # noqa: A001 - Sphinx wants this name
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
exclude_patterns = ["README.md"]
