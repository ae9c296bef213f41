"""The sample-ratio check: whether the control is the share of requests that was to be drawn.

If it is not, the draw is broken, or requests are lost from one arm: another flag system sets the holdout,
an old process does not draw, requests of one arm are not counted. Then the arms are unlike, and no
comparison of them is to be believed (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled
experiments", KDD 2019). The share is bet on in both directions with the tests of `statistics`, which
stay valid however often one looks, as Lindon and Malek propose for this check ("Anytime-valid inference for
multinomial count data", NeurIPS 2022).
"""

from __future__ import annotations

from typing import Final

from cachemw.rollout.guardrails.measures import FEWEST, Judgement, Tally, judgement, rate_of
from cachemw.rollout.guardrails.statistics import MeasuredDetector

__all__ = ["SampleRatio"]

_ALPHA: Final = 0.001
"""The probability of a false alarm in the planned time of a phase, besides the plan's `alpha`. The usual
level of this check: an alarm says that something is broken, so it must hardly ever be chance."""
_MARGIN: Final = 0.1
"""The least relative error of the share that matters. Requests that are under way at a look, or whose
clients leave, may be counted later in one arm than in the other; that is much less."""
_FEWER: Final = (0.85, 0.7, 0.5, 0.25, 0.05)
_MORE: Final = (1.15, 1.4, 2.0, 4.0, 10.0)
"""The alternatives: factors on the share of the control."""


class SampleRatio:
    """The share of the control among the requests that are compared."""

    name = "holdout"

    def __init__(self, *, holdout: float, bets: int) -> None:
        """Watch that the control is the share `holdout` of all that is compared."""
        self._holdout = holdout
        treated = 1.0 - holdout
        most = [(1.0 - holdout * factor) / treated for factor in _MORE if holdout * factor < 1.0]
        self._fewer = MeasuredDetector(_ALPHA / 2, bets, 2, _FEWER)
        self._more = MeasuredDetector(_ALPHA / 2, bets, 2, most or (0.5,))

    def begin(self) -> None:
        """Begin another bet in each direction."""
        self._fewer.begin()
        self._more.begin()

    def add(self, tally: Tally) -> None:
        """Add a tally."""
        totals = (tally.control, tally.control + tally.treated)
        self._fewer.add(tally.treated, tally.control, 1.0 - self._holdout, totals)
        self._more.add(tally.control, tally.treated, self._holdout, totals)

    def judge(self) -> Judgement:
        """Judge whether the control is not what was to be drawn."""
        measured = [
            rate_of(control, every)
            for control, every in (*self._fewer.measured(), *self._more.measured())
        ]
        wrong = [rate for rate in measured if abs(rate / self._holdout - 1.0) >= _MARGIN]
        control, every = self._fewer.totals
        return judgement(
            self.name,
            fails=bool(wrong),
            enough=control >= FEWEST,
            evidence=max(self._fewer.evidence, self._more.evidence),
            drawn=(wrong or measured or [rate_of(control, every)])[0],
            planned=self._holdout,
        )
