"""The last part of the demo: a rollout that is rolled back by a guardrail, and stays rolled back.

The rollout goes well at first. Then Valkey becomes slow, so that every miss takes longer than the
shop does without a cache. Requests in the holdout do not use the cache and stay fast. The guardrail
compares both groups, finds the difference, and rolls back. At last, workers restart while Valkey is
away (`restarts`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cachemw.cache import Cache
from cachemw.cli.demo.restarts import RestartDrill, RestartResult
from cachemw.config import Config
from cachemw.ops.load.replay import Replay
from cachemw.ops.load.traffic import Call
from cachemw.rollout.state import State, plan_of

if TYPE_CHECKING:
    from cachemw.testing import ChaosProxy

__all__ = ["LENGTH", "RollbackResult", "roll_out"]

PLAN: Final[dict[str, Any]] = {
    "holdout": "40%",
    "warm_up": "2s",
    "hold": "60s",
    # The shop answers in milliseconds, so even a healthy trip to Valkey is more than the usual margin.
    "guardrails": {"latency": "60%"},
    "phases": [
        {
            "name": "medium",
            "risks": ["medium"],
            "duration": "8s",
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
"""A plan in seconds, where a real one has hours."""
LENGTH: Final = 120.0
"""Seconds of traffic, at most; the demo ends it after the rollback."""
SLOW: Final = "15ms"
_STEP_LIMIT: Final = 25.0
"""Seconds after which Valkey becomes slow even if the step is not over: a slow machine may need too
long to gather evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """How the rollout ended."""

    guardrail: str = ""
    """The guardrail that failed; empty if none did."""
    seconds: float = 0.0
    """From the moment Valkey became slow to the rollback."""
    treated: float = 0.0
    """95th percentile of the response times that the guardrail judged, in seconds."""
    control: float = 0.0
    """The same for the requests in the holdout."""
    healthy: bool = False
    """Whether the health check after the rollback found nothing wrong."""
    failures: tuple[str, ...] = ()
    restarts: RestartResult | None = None
    """The result of the drill after the rollback; None if nothing was rolled back."""

    @property
    def met(self) -> bool:
        """Whether it was rolled back after Valkey became slow, and nothing else was wrong."""
        return self.seconds > 0.0 and self.healthy and not self.failures


async def roll_out(
    replay: Replay,
    calls: Iterable[Call],
    config: Config,
    proxy: ChaosProxy,
    drill: RestartDrill,
    print_line: Callable[[str], None],
) -> RollbackResult:
    """Roll the shop's cache out, make Valkey slow when it is on, and wait for the rollback.

    Then restart workers. The shop reaches Valkey through `proxy`. `config` is the shop's, but reaches
    Valkey directly.
    """
    cache = Cache(config)  # serves no requests; controls the rollout through Redis
    try:
        async with _sending(replay, calls):
            outcome = await _watch(cache, proxy, print_line)
        restarts = await drill.run(cache, proxy) if outcome.get("guardrail") else None
    finally:
        await asyncio.to_thread(cache.close)
    return RollbackResult(**outcome, failures=tuple(replay.failures), restarts=restarts)


@asynccontextmanager
async def _sending(replay: Replay, calls: Iterable[Call]) -> AsyncIterator[None]:
    """Send the reads while the block runs."""
    task = asyncio.create_task(replay.run([call for call in calls if not call.is_write]))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(
    cache: Cache, proxy: ChaosProxy, print_line: Callable[[str], None]
) -> dict[str, Any]:
    began = time.monotonic()

    def elapsed() -> str:
        return f"{time.monotonic() - began:5.1f} s"

    await asyncio.to_thread(cache.rollout.start, PLAN, by="the demo")
    shown: set[tuple[int, int, str]] = set()
    slow_since = step_since = 0.0
    while time.monotonic() < began + LENGTH:
        state = await asyncio.to_thread(cache.rollout.status)
        assert state is not None
        if (position := (state.phase, state.step, state.status)) not in shown:
            shown.add(position)
            print_line(f"{elapsed()}: {_describe(state)}")
            step_since = time.monotonic()
        step_is_over = state.status != "running" or time.monotonic() > step_since + _STEP_LIMIT
        if not slow_since and state.step and step_is_over:
            proxy.slow(SLOW)
            slow_since = time.monotonic()
            print_line(f"[yellow]{elapsed()}: from now on Valkey is slow: {SLOW} a reply[/yellow]")
        if state.status == "rolled back" and not state.check_due:
            return await _outcome(cache, slow_since)
        await asyncio.sleep(0.2)
    return {}


def _describe(state: State) -> str:
    plan = plan_of(state)
    phase = plan.phases[state.phase]
    step = "" if state.status == "rolled back" else f", {phase.steps[state.step]}"
    reason = f" ({state.reason})" if state.reason else ""
    return f"{state.status}: risk {', '.join(phase.risks)}{step}{reason}"


async def _outcome(cache: Cache, slow_since: float) -> dict[str, Any]:
    records = await asyncio.to_thread(cache.rollout.history)
    (rollback,) = [record for record in records if record.action.startswith("roll back")]
    check = records[-1]
    slow_at = time.time() - (time.monotonic() - slow_since)  # on the clock of the history
    return {
        "guardrail": rollback.numbers.get("guardrail", ""),
        "seconds": rollback.at - slow_at if slow_since else 0.0,
        "treated": rollback.numbers.get("treated", 0.0),
        "control": rollback.numbers.get("control", 0.0),
        "healthy": check.reason == "all is well",
    }
