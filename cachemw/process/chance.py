"""Random numbers that differ in each process.

A forked process has its parent's generator. Python seeds the one of `random` anew after `os.fork`, but not
where a host forks in C: all of its workers would draw the same requests for the holdout, and wait equally
long before they all ask Redis again. `random.SystemRandom` is too slow for each request.
"""

from __future__ import annotations

import random
from typing import Final

from cachemw.process.fork import reset_in_children

__all__ = ["GENERATOR", "draw"]


class _Generator(random.Random):
    def reset_after_fork(self) -> None:
        """Begin another sequence than the parent's."""
        self.seed()


GENERATOR: Final = _Generator()
draw: Final = GENERATOR.random
"""Return a number from 0.0 to below 1.0."""
reset_in_children(GENERATOR)
