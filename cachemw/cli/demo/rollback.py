"""The last act: a rollout that is going well, harm that comes with it, and a cache that is taken back.

The harm is a Valkey that has become slow, so that every miss is slower than the shop is without a cache.
Whoever is held out does not feel it, and that is the evidence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cachemw.cache import Cache
from cachemw.config import Config
from cachemw.ops.load.replay import Replay
from cachemw.ops.load.traffic import Call
from cachemw.rollout.state import State, plan_of

if TYPE_CHECKING:
    from cachemw.testing import ChaosProxy

__all__ = ["LENGTH", "RolledBack", "roll_out"]

PLAN: Final[dict[str, Any]] = {
    "holdout": "40%",
    "warm_up": "2s",
    "hold": "60s",
    # The shop answers in some milliseconds, beside which the ways to Valkey are no fifth but more.
    "guardrails": {"latency": "60%"},
    "phases": [
        {
            "name": "medium",
            "risks": ["medium"],
            "duration": "12s",
            "interval": "1s",
            "steps": ["shadow", "on"],
            "watch": ["errors", "latency", "misses", "hits"],
        },
        {
            "name": "all",
            "risks": ["low", "high"],
            "duration": "12s",
            "steps": ["on"],
            "watch": ["errors", "latency", "misses", "hits"],
            "interval": "1s",
            "approve": True,
        },
    ],
}
"""Seconds where a deployment has hours."""
LENGTH: Final = 120.0
"""Seconds of traffic; it ends when there is nothing more to see."""
SLOW: Final = "15ms"
_LONG_ENOUGH: Final = 25.0
"""Seconds of a step after which there is harm also where a slow machine has not gathered its evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """What came of it."""

    guardrail: str = ""
    """The one that failed; empty: none did."""
    seconds: float = 0.0
    """From the harm's beginning to the rollback."""
    treated: float = 0.0
    """95th percentile, in seconds, of the answers that the guardrail judged."""
    control: float = 0.0
    healthy: bool = False
    """What the health check said."""
    failures: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether it went as it should."""
        return self.seconds > 0.0 and self.healthy and not self.failures


async def roll_out(
    replay: Replay,
    calls: Iterable[Call],
    config: Config,
    proxy: ChaosProxy,
    say: Callable[[str], None],
) -> RolledBack:
    """Roll the shop's cache out, do harm when it is in, and wait until it is taken back.

    The shop's Valkey is behind `proxy`; `config` is the shop's, with the Valkey itself.
    """
    sending = asyncio.create_task(replay.run([call for call in calls if not call.is_write]))
    try:
        cache = Cache(config)  # to speak to the fleet through: it serves nobody
        try:
            found = await _watch(cache, proxy, say)
        finally:
            await asyncio.to_thread(cache.close)
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    return RolledBack(**found, failures=tuple(replay.failures))


async def _watch(cache: Cache, proxy: ChaosProxy, say: Callable[[str], None]) -> dict[str, Any]:
    began = time.monotonic()

    def at() -> str:
        return f"{time.monotonic() - began:5.1f} s"

    await asyncio.to_thread(cache.rollout.start, PLAN, by="the demo")
    shown: set[tuple[int, int, str]] = set()
    harmed = since = 0.0
    while time.monotonic() < began + LENGTH:
        state = await asyncio.to_thread(cache.rollout.status)
        assert state is not None
        if (here := (state.phase, state.step, state.status)) not in shown:
            shown.add(here)
            say(f"{at()}: {_where(state)}")
            since = time.monotonic()
        stands = state.status != "running" or time.monotonic() > since + _LONG_ENOUGH
        if not harmed and state.step and stands:
            proxy.slow(SLOW)
            harmed = time.monotonic()
            say(f"[yellow]{at()}: harm: every word to Valkey takes {SLOW} from now on[/yellow]")
        if state.status == "rolled back" and not state.check_due:
            return await _ended(cache, harmed)
        await asyncio.sleep(0.2)
    return {}


def _where(state: State) -> str:
    plan = plan_of(state)
    phase = plan.phases[state.phase]
    step = "" if state.status == "rolled back" else f", {phase.steps[state.step]}"
    reason = f" ({state.reason})" if state.reason else ""
    return f"{state.status}: risk {', '.join(phase.risks)}{step}{reason}"


async def _ended(cache: Cache, harmed: float) -> dict[str, Any]:
    records = await asyncio.to_thread(cache.rollout.history)
    (back,) = [record for record in records if record.action.startswith("roll back")]
    check = records[-1]
    began = time.time() - (time.monotonic() - harmed)
    return {
        "guardrail": back.numbers.get("guardrail", ""),
        "seconds": back.at - began if harmed else 0.0,
        "treated": back.numbers.get("treated", 0.0),
        "control": back.numbers.get("control", 0.0),
        "healthy": check.reason == "all is well",
    }
