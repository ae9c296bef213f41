"""Mermaid diagrams that need no network, neither to build the pages nor to read them.

A `mermaid` fence becomes a `<pre>` with the diagram's text, and the browser draws it. The script
that draws is Mermaid's own file. It is not kept in the repository (3.5 MB): the package `mermaidx`
on PyPI carries it unchanged, and the build copies it from there. `sphinxcontrib-mermaid` was looked
at: it loads Mermaid as an ES module from a CDN, and browsers refuse modules on pages that are
opened from a disk. Without JavaScript the reader sees the diagram's text.
"""

from __future__ import annotations

import html
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

SCRIPT = "mermaid.js"
logger = logging.getLogger(__name__)


class Mermaid(SphinxDirective):
    """A diagram in Mermaid's language."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the diagram's text, for the browser to draw."""
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">\n{text}\n</pre>\n', format="html")]


def find_script() -> Path | None:
    """Return the path of Mermaid's script, where a package brings it."""
    spec = find_spec("mermaidx")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "assets" / SCRIPT
    return path if path.exists() else None


def serve_script(app: Sphinx, config: Config) -> None:
    """Copy Mermaid's script beside the pages, or warn that the diagrams will stay text."""
    script = find_script()
    if script is None:
        logger.warning("diagrams stay text: Mermaid's script is missing (pip install mermaidx)")
    else:
        config.html_static_path.append(str(script))


def add_scripts(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: nodes.document | None,
) -> None:
    """Load the scripts on pages that have a diagram."""
    if doctree is None or find_script() is None:
        return
    if any('class="mermaid"' in node.astext() for node in doctree.findall(nodes.raw)):
        app.add_js_file(SCRIPT, priority=600)
        app.add_js_file("diagrams.js", priority=610)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the scripts."""
    app.add_directive("mermaid", Mermaid)
    app.connect("config-inited", serve_script)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
