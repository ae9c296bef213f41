"""Routes whose consistency is strict, while the log of purges is not heard."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import numbered


class Silent:
    """A log that is not heard; what is bounded may be served all the same."""

    live = False
    trust = (0.0,)

    def serves(self, born: float, now: float) -> bool:
        return True


@pytest.mark.parametrize("consistency", ["bounded", "strict"])
def test_a_strict_route_serves_nothing_until_the_log_is_heard_again(
    open_door: OpenDoor, consistency: str
) -> None:
    door = open_door({"/p": numbered()}, consistency=consistency)
    door.get("/p")
    engine = door.cache._core.engine
    heard, engine.log = engine.log, Silent()
    silent = [door.get("/p"), door.get("/p")]
    if consistency == "bounded":
        assert [reply.body for reply in silent] == [b"answer 1", b"answer 1"]
        return
    assert [reply.body for reply in silent] == [b"answer 2", b"answer 3"]
    assert {reply.detail for reply in silent} == {"cut-off"}
    assert door.cache.stats().by_label == {"miss": 1, "error_bypass": 2}
    engine.log = heard
    assert door.get("/p").body == b"answer 3", "what was said meanwhile had been kept"
