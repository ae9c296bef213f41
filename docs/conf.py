"""Sphinx settings: the pages are Markdown, and a broken link is an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cachemw"
copyright = "2026, the cachemw authors"  # noqa: A001 - Sphinx wants this name
extensions = ["myst_parser", "diagrams"]
myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]  # GitHub draws the same fences
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["diagrams.css"]
exclude_patterns = ["README.md"]
