"""The survivors that make no difference, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

EQUIVALENT: dict[tuple[str, str, str, str], str] = {}
"""By module, function, the code before and after: why no test can see the change."""
