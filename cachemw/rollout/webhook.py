"""Telling people, by a webhook: JSON as Slack's incoming webhooks take it, which others take too.

`text` is for people; `metadata` (Slack's "message metadata") is the record, for programs.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from http.client import HTTPException

import msgspec

from cachemw.rollout.state import Record

__all__ = ["message_of", "webhook"]

_PATIENCE = 3.0
_ATTEMPTS = 2
_QUIET = frozenset({"hold"})
"""What is in the history and nobody needs to be woken for."""


def message_of(namespace: str, record: Record) -> bytes:
    """Write a record as the body of a request."""
    where = f"{record.phase}, {record.step}" if record.phase else "rollout"
    text = f"cachemw {namespace}: {record.action} ({where})"
    if record.reason:
        text += f": {record.reason}"
    payload = msgspec.to_builtins(record)
    metadata = {
        "event_type": "cachemw_rollout",
        "event_payload": {"namespace": namespace, **payload},
    }
    return msgspec.json.encode({"text": text, "metadata": metadata})


def webhook(url: str, namespace: str, failed: Callable[[str], None]) -> Callable[[Record], None]:
    """Make what tells of a record; `failed` hears why that did not work. Blocks for seconds at most."""

    def tell(record: Record) -> None:
        if record.action in _QUIET:
            return
        error = ""
        for _ in range(_ATTEMPTS):
            error = _post(url, message_of(namespace, record))
            if not error:
                return
        failed(error)

    return tell


def _post(url: str, body: bytes) -> str:
    """Post it; give what went wrong, without the URL, which is a secret."""
    fields = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, fields, method="POST")  # noqa: S310 - http(s), see WEBHOOK
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
            return ""
    except (OSError, HTTPException, ValueError) as error:
        return f"{type(error).__name__} {getattr(error, 'code', '')}".strip()
