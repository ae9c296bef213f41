"""How long a process may trust its memory, heard and unheard."""

from __future__ import annotations

import pytest

from cachemw.invalidation.log.trust import Trust, counts_for

LIMIT = 30.0


def trust_of(poll: float = 1.0, read_timeout: float = 1.25) -> Trust:
    trust = Trust(poll, read_timeout, LIMIT)
    trust.prove(100.0, 0.0)
    return trust


@pytest.mark.parametrize("poll", [0.04, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("deadline", [0.05, 2.0, 10.0])
def test_no_process_trusts_itself_for_longer_than_purges_wait_for_it(
    poll: float, deadline: float
) -> None:
    # Guard: the smaller of two lengths. A deadline of seconds lets a heartbeat take as long.
    assert trust_of(poll, poll + deadline + 0.2).until[0] < 100.0 + counts_for(poll)


def test_a_process_that_was_not_run_serves_nothing() -> None:
    # Guard: `_due` in `serves`. A purge was confirmed meanwhile without this process.
    trust = trust_of()
    assert 101.0 < trust.until[0] < 102.0
    assert not trust.serves(100.0, trust.until[0])
    assert not trust.serves(107.9, 108.0)
    trust.prove(108.1, 0.0)
    assert trust.until[0] > 109.0


def test_a_process_that_begins_or_ends_serves_nothing_until_it_knows_more() -> None:
    # Guard: `_due` in `suspend`. No purge waits for a worker that joins, or was told to end.
    trust = Trust(1.0, 1.25, LIMIT)
    trust.suspend()
    assert not trust.serves(100.0, 100.1)
    trust.end()
    assert trust.serves(100.0, 100.1), "Redis is away, and that is known"
    trust.prove(101.0, 0.0)
    trust.suspend()
    assert trust.until[0] == 0.0
    assert not trust.serves(101.0, 101.1)


def test_a_process_that_knows_that_redis_is_away_serves_up_to_the_limit() -> None:
    trust = trust_of()
    trust.end()
    assert trust.until[0] == 0.0
    assert trust.serves(90.0, 129.9)
    assert not trust.serves(90.0, 130.0)
    assert trust.serves(120.0, 149.9)


def test_a_heartbeat_that_comes_too_late_says_for_how_long_no_purge_waited() -> None:
    trust = trust_of()
    assert trust.prove(102.9, 0.0) == 0.0
    assert trust.prove(110.9, 0.0) == pytest.approx(5.0)
    trust.end()  # a loss, which is a line of its own
    assert trust.prove(190.0, 0.0) == 0.0
