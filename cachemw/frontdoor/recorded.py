"""Which calls of the application are recorded, and what for."""

from __future__ import annotations

from cachemw.engine.core.engine import Engine
from cachemw.engine.request.decisions import Forward
from cachemw.recording.context import Client, Recording, Unrecorded, value_caches

__all__ = ["recording_of", "template_of"]


def recording_of(
    engine: Engine, forward: Forward, outer: Recording | None, client: Client | None
) -> Recording | Unrecorded:
    """Return what records a call of the application; `outer` is the recording around it.

    A response that may be stored is recorded, for its tags and its holes. Another one is recorded where the
    application has a cache of its own: what it sets there may be shown by a response that is stored.
    """
    fetch = forward.fetch
    if fetch is None:
        if not value_caches or forward.route is None or forward.change is not None:
            return Unrecorded(client)
        position = engine.floors.current_position()
        return Recording(outer, template_of(forward), position, client=client, is_kept=False)
    recording = Recording(outer, template_of(forward), fetch.position, client=client)
    fetch.recording = recording
    fetch.unknown_lifetime = engine.settings.unknown_lifetime
    fetch.opens_holes = client is not None and fetch.may_have_holes
    if fetch.opens_holes:
        recording.open_holes(in_shadow=fetch.shadow)
    return recording


def template_of(forward: Forward) -> str:
    """Return the template of the route, for spans and log lines."""
    return forward.route.template if forward.route else "-"
