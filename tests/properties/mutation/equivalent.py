"""The survivors that make no difference, each with the reason."""

from __future__ import annotations

__all__ = ["EQUIVALENT"]

_STORING = "cachemw.http.storing"

EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    (_STORING, "judge", "reason is None and client_known", "reason is None"): (
        "it saves a call: `_refusal_of_personal` refuses nobody who is not known"
    ),
}
"""By module, function, the code before and after: why no test can see the change."""
