"""The webhook that reports a rollout's decisions, in the JSON of Slack's incoming webhooks.

Many other services accept the same JSON. `text` is for people; `metadata` (Slack's "message metadata")
holds the record, for programs.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import OpenerDirector

import msgspec

from cachemw.rollout.state import Record

__all__ = ["message_of", "webhook"]

_PATIENCE: Final = 3.0
"""Seconds for one attempt. The controller waits for it, so it must be short."""
_ATTEMPTS: Final = 2
_QUIET: Final = frozenset({"hold"})
"""Actions that are in the history only: nobody has to be woken for them."""


def message_of(namespace: str, record: Record) -> bytes:
    """Return the body of the request that reports a record."""
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


def webhook(
    url: str, namespace: str, failed: Callable[[str], None], *, patience: float = _PATIENCE
) -> Callable[[Record], None]:
    """Return a function that posts a record; it calls `failed` with the error if that fails.

    The function blocks for at most `patience` seconds per attempt.
    """
    opener = urllib.request.build_opener(_NoRedirects)

    def report(record: Record) -> None:
        if record.action in _QUIET:
            return
        body = message_of(namespace, record)
        error = ""
        for _ in range(_ATTEMPTS):
            error = _post_in_time(opener, url, body, patience)
            if not error:
                return
        failed(error)

    return report


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would turn the POST into a GET, which reports nothing."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return None, which makes the redirect an HTTPError."""


def _post_in_time(opener: OpenerDirector, url: str, body: bytes, patience: float) -> str:
    """Post in a thread, wait at most `patience` seconds, and return the error or an empty string.

    A socket's timeout is not enough: it applies to each read, and looking up the host has none at all.
    """
    errors: list[str] = []
    thread = threading.Thread(
        target=lambda: errors.append(_post(opener, url, body, patience)),
        name="cachemw-webhook",
        daemon=True,
    )
    thread.start()
    thread.join(patience)
    return errors[0] if errors else TimeoutError.__name__


def _post(opener: OpenerDirector, url: str, body: bytes, patience: float) -> str:
    """Post; return the error or an empty string. It never holds the URL, which is a secret."""
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - http(s), see WEBHOOK
        with opener.open(request, timeout=patience):
            return ""
    except HTTPError as error:
        error.close()
        return f"HTTPError {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
