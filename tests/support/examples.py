"""How many examples a property tries: few in the default run, many in `tox run -e thorough`."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["PROFILES", "examples", "register"]

PROFILES = {"quick": 25, "thorough": 200}
"""Profile -> examples of a property that says nothing itself. `--hypothesis-profile` chooses one."""
_USUAL = 100


def register() -> None:
    """Register the profiles, and begin with the quick one."""
    for name, count in PROFILES.items():
        # No deadline: an example that a busy machine makes late is no mistake.
        settings.register_profile(name, max_examples=count, deadline=None)
    settings.load_profile("quick")


def examples(usual: int) -> int:
    """Return the number of examples for a property that is usually tried with so many."""
    return max(5, usual * settings().max_examples // _USUAL)
