"""Servers that run no threads between requests."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from cachemw.process.threadless import threads_missing


@pytest.mark.parametrize(
    ("has_threads", "options", "expected"),
    [
        (0, {}, ("uwsgi", "enable-threads")),
        (1, {"enable-threads": True}, None),
        (0, {"gevent": b"100"}, None),
    ],
    ids=["without threads", "with threads", "gevent"],
)
def test_uwsgi_says_whether_it_runs_threads(
    monkeypatch: pytest.MonkeyPatch,
    has_threads: int,
    options: dict[str, object],
    expected: tuple[str, str] | None,
) -> None:
    module = SimpleNamespace(has_threads=has_threads, opt=options)
    monkeypatch.setitem(sys.modules, "uwsgi", module)  # type: ignore[arg-type]
    assert threads_missing() == expected


def test_other_servers_run_threads() -> None:
    assert "uwsgi" not in sys.modules
    assert threads_missing() is None
