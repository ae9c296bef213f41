"""The picture of folders and imports on the page is the one that the code gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "architecture.md"

spec = importlib.util.spec_from_file_location("import_graph", DOCS / "import_graph.py")
assert spec is not None
assert spec.loader is not None
import_graph = importlib.util.module_from_spec(spec)
spec.loader.exec_module(import_graph)


def test_the_picture_of_the_imports_is_the_codes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert import_graph.embed(text) == text, "run python docs/import_graph.py docs/architecture.md"


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        import_graph.embed("# Architecture\n")


def test_every_kind_of_import_counts(tmp_path: Path) -> None:
    """At the top of a module, in a function, for type checkers, relative, and of a name in `__init__`."""
    package = tmp_path / "cachemw"
    (package / "a").mkdir(parents=True)
    (package / "b").mkdir()
    (package / "__init__.py").write_text("")
    (package / "a" / "__init__.py").write_text("NAME = 1\n")
    (package / "a" / "one.py").write_text("def f():\n    from cachemw.b import two\n")
    (package / "b" / "__init__.py").write_text("")
    (package / "b" / "two.py").write_text("from cachemw.a import NAME\nfrom . import three\n")
    (package / "b" / "three.py").write_text("if TYPE_CHECKING:\n    import cachemw.a.one\n")
    modules = import_graph.modules_of(package)
    imports = {name: import_graph.imports_of(path, name, modules) for name, path in modules.items()}
    assert imports["a.one"] == {"b.two"}
    assert imports["b.two"] == {"a", "b.three"}
    assert imports["b.three"] == {"a.one"}
    assert import_graph.circles(import_graph.edges_between(imports)) == [{"a", "b"}]


def test_an_arrow_is_left_out_where_others_lead() -> None:
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert import_graph.essential(edges) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert import_graph.circles(edges) == []
