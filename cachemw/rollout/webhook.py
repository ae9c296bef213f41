"""Telling people, by a webhook: JSON as Slack's incoming webhooks take it, which others take too.

`text` is for people; `metadata` (Slack's "message metadata") is the record, for programs.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import OpenerDirector

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


def webhook(
    url: str, namespace: str, failed: Callable[[str], None], *, patience: float = _PATIENCE
) -> Callable[[Record], None]:
    """Make what tells of a record; `failed` hears why that did not work.

    Blocks for `patience` seconds for each time that it tries, and no longer.
    """
    opener = urllib.request.build_opener(_Stays)

    def tell(record: Record) -> None:
        if record.action in _QUIET:
            return
        body = message_of(namespace, record)
        error = ""
        for _ in range(_ATTEMPTS):
            error = _posted(opener, url, body, patience)
            if not error:
                return
        failed(error)

    return tell


class _Stays(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: a redirect would make a GET of it, which tells nobody."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none: it is an error then."""


def _posted(opener: OpenerDirector, url: str, body: bytes, patience: float) -> str:
    """Post it, for so long at most; give what went wrong.

    A timeout of the socket's is for each of its bytes, and there is none for finding the host.
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
    """Post it; give what went wrong, without the URL, which is a secret."""
    fields = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, body, fields, method="POST")  # noqa: S310 - http(s), see WEBHOOK
        with opener.open(request, timeout=patience):
            return ""
    except HTTPError as error:
        error.close()
        return f"HTTPError {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
