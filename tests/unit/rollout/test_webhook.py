"""People are told by a webhook, and what goes wrong there is said without the URL, which is a secret."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cachemw import Cache, ConfigError
from cachemw.config import config_from
from cachemw.rollout.state import Record
from cachemw.rollout.webhook import webhook

SECRET = "T0F-b0b-xyzzy"
RECORD = Record(
    at=1_800_000_000.0,
    by="ada",
    action="roll back",
    phase="medium",
    step="canary 10%",
    reason="guardrail errors failed",
    numbers={"guardrail": "errors", "control": 0.001},
)


@dataclass
class Receiver:
    """A server that people are told by."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """What it answers, in turn; when none is left, 200."""
    location: str = ""
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    """Path, fields and body of each request."""
    hanging: threading.Event = field(default_factory=threading.Event)
    """Set: it answers. Not set: it hangs."""
    drips: bool = False
    """Whether it sends a byte now and then, and never comes to the end."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked.append((self.path, dict(self.headers), json.loads(body)))
            if receiver.drips:
                self._drip()
                return
            receiver.hanging.wait(30)
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _drip(self) -> None:
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not receiver.hanging.wait(0.02):
                    self.wfile.write(b"X")
            except OSError:  # it was not waited for
                pass

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.hanging.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.hanging.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_record_is_sent_for_people_and_for_programs(receiver: Receiver) -> None:
    failed: list[str] = []
    webhook(receiver.url, "shop", failed.append)(RECORD)
    ((path, fields, body),) = receiver.asked
    assert path == f"/services/{SECRET}"
    assert fields["Content-Type"] == "application/json"
    assert body == {
        "text": "cachemw shop: roll back (medium, canary 10%): guardrail errors failed",
        "metadata": {
            "event_type": "cachemw_rollout",
            "event_payload": {
                "namespace": "shop",
                "at": 1_800_000_000.0,
                "by": "ada",
                "action": "roll back",
                "phase": "medium",
                "step": "canary 10%",
                "reason": "guardrail errors failed",
                "numbers": {"guardrail": "errors", "control": 0.001},
            },
        },
    }
    assert failed == []


def test_a_record_without_a_reason_ends_with_where_it_is(receiver: Receiver) -> None:
    webhook(receiver.url, "shop", lambda error: None)(Record(at=1.0, by="ada", action="start"))
    assert receiver.asked[0][2]["text"] == "cachemw shop: start (rollout)"


def test_nobody_is_woken_for_a_hold(receiver: Receiver) -> None:
    tell = webhook(receiver.url, "shop", lambda error: None)
    tell(Record(at=1.0, by="controller", action="hold"))
    tell(RECORD)
    assert [body["metadata"]["event_payload"]["action"] for *_, body in receiver.asked] == [
        "roll back"
    ]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([500, 500], ["HTTPError 500"]),
        ([404, 404], ["HTTPError 404"]),
        ([503, 200], []),
    ],
)
def test_it_is_tried_twice_and_told_once_what_is_wrong(
    receiver: Receiver, answers: list[int], error: list[str]
) -> None:
    failed: list[str] = []
    receiver.answers = list(answers)
    webhook(receiver.url, "shop", failed.append)(RECORD)
    assert failed == error
    assert len(receiver.asked) == 2


def test_a_server_that_hangs_is_waited_for_twice_and_no_longer(receiver: Receiver) -> None:
    receiver.hanging.clear()
    failed: list[str] = []
    began = time.monotonic()
    webhook(receiver.url, "shop", failed.append, patience=0.2)(RECORD)
    assert 0.4 <= time.monotonic() - began < 3
    assert failed == ["TimeoutError"]


def test_a_server_that_drips_is_waited_for_no_longer_than_one_that_hangs(
    receiver: Receiver,
) -> None:
    """Fails when the patience is for each byte: the controller would never look again."""
    receiver.hanging.clear()
    receiver.drips = True
    failed: list[str] = []
    tell = webhook(receiver.url, "shop", failed.append, patience=0.2)
    thread = threading.Thread(target=tell, args=(RECORD,))
    thread.start()
    thread.join(3)
    stuck = thread.is_alive()
    receiver.hanging.set()
    thread.join()
    assert not stuck
    assert failed == ["TimeoutError"]


def test_a_server_that_is_not_there_is_told_of() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/{SECRET}"
        failed: list[str] = []
        webhook(url, "shop", failed.append)(RECORD)
    assert failed == ["URLError"]


def test_a_server_that_hangs_up_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        failed: list[str] = []
        tell = webhook(url, "shop", failed.append)
        thread = threading.Thread(target=tell, args=(RECORD,))
        thread.start()
        for _ in range(2):
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()
        thread.join()
    assert len(failed) == 1
    assert SECRET not in failed[0]


@pytest.mark.parametrize(
    "url",
    [f"http://[{SECRET}", f"http://{SECRET}:port/", f"http:///{SECRET}", f"http://a b/{SECRET}"],
)
def test_a_url_that_cannot_be_one_is_told_of_without_it(url: str) -> None:
    failed: list[str] = []
    webhook(url, "shop", failed.append)(RECORD)
    (error,) = failed
    assert error
    assert SECRET not in error


def test_a_decision_is_not_sent_on_to_where_the_server_points(receiver: Receiver) -> None:
    """A redirect would make a GET of it, without the record, and nobody would be told."""
    receiver.answers, receiver.location = [302, 302], "/elsewhere"
    failed: list[str] = []
    webhook(receiver.url, "shop", failed.append)(RECORD)
    assert failed == ["HTTPError 302"]


# -- the URL is a secret ------------------------------------------------------------------------------

ROUTES = [{"name": "pages", "path": "/pages", "ttl": "60s", "risk": "low"}]
PLAN = {
    "warm_up": 0,
    "phases": [{"name": "low", "risks": ["low"], "duration": "1h", "watch": ["errors"]}],
}


def test_what_is_decided_is_sent_by_the_webhook_that_is_configured(receiver: Receiver) -> None:
    settings = {"namespace": "shop", "routes": ROUTES, "rollout": {"webhook": receiver.url}}
    cache = Cache.from_dict(settings)
    cache.rollout.start(PLAN, by="ada", reason="at last")
    cache.rollout.roll_back(by="bob")
    cache.close()
    told = [body["metadata"]["event_payload"] for *_, body in receiver.asked]
    assert [(each["namespace"], each["action"], each["by"]) for each in told] == [
        ("shop", "start", "ada"),
        ("shop", "roll back", "bob"),
    ]


def test_the_url_is_nowhere_to_be_read(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500] * 10
    caplog.set_level(logging.DEBUG)
    config = config_from({"routes": ROUTES, "rollout": {"webhook": receiver.url}}, environ={})
    assert SECRET not in repr(config)
    assert SECRET not in repr(config.rollout)
    cache = Cache(config)
    cache.rollout.start(PLAN)
    cache.rollout.roll_back()
    cache.close()
    faults = [record.getMessage() for record in caplog.records if record.name == "cachemw.faults"]
    assert [each for each in faults if "webhook" in each] == [
        'event=webhook_failed reason="HTTPError 500"'
    ]
    assert SECRET not in caplog.text
    assert SECRET not in repr(cache.rollout.history())


@pytest.mark.parametrize(
    ("document", "environ"),
    [
        ({"webhook": f"ftp://host/{SECRET}"}, {}),
        ({"webhook": f"hooks.example/{SECRET}"}, {}),
        ({"webhook": f"https://host/{SECRET} x"}, {}),
        ({"webhook": [f"https://host/{SECRET}"]}, {}),
        ({"webhok": f"https://host/{SECRET}"}, {}),
        ({}, {"CACHEMW_WEBHOOK": f"hooks.example/{SECRET}"}),
        ({"webhook": f"https://host/{SECRET}", "controller": "perhaps"}, {}),
    ],
    ids=["scheme", "no scheme", "a space", "a list", "misspelt", "environment", "another mistake"],
)
def test_a_mistake_in_the_configuration_does_not_tell_the_url(
    document: dict[str, Any], environ: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        config_from({"routes": ROUTES, "rollout": document}, environ=environ)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value)
    assert len(raised.value.problems) == 1


def test_a_webhook_in_place_of_its_table_is_not_told() -> None:
    with pytest.raises(ConfigError) as raised:
        config_from({"routes": ROUTES, "rollout": f"https://host/{SECRET}"}, environ={})
    assert SECRET not in str(raised.value)
