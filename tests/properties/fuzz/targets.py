"""The targets: each takes any bytes, calls parsers with them, and raises only when one is wrong.

`test_corpus.py` runs them over the inputs that are kept, and atheris over those it thinks of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import answering, choosing, cutting, directives, envelopes, naming

__all__ = ["CORPUS", "TARGETS", "Target", "kept_inputs"]

Target = Callable[[bytes], None]

CORPUS = Path(__file__).with_name("corpus")

TARGETS: dict[str, Target] = {
    name.removeprefix("fuzz_"): getattr(module, name)
    for module in (directives, choosing, answering, cutting, naming, envelopes)
    for name in module.__all__
}


def kept_inputs(name: str) -> list[Path]:
    """Give the files of a target's inputs."""
    return sorted((CORPUS / name).iterdir())
