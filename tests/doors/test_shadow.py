"""Shadow: the application answers everybody as if there were no cache, and what it would do is known."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw import tag
from cachemw.engine.flows import on_request as flows
from cachemw.telemetry import Stats
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Handler, Piece, Said, echo, numbered

SECRET = "s3cret-of-alice"


def watched(open_door: OpenDoor, handler: Handler, **options: Any) -> Door:
    """Mount a page on a route in shadow."""
    settings = {"flags": {"low": "shadow"}}
    return open_door({"/p": handler}, name="it", risk="low", settings=settings, **options)


def labels(door: Door) -> dict[str, int]:
    return door.cache.stats().by_label


def constant(**said: Any) -> Handler:
    return lambda asked: Said(**{"body": b"page", **said})


def test_the_application_answers_each_request_and_nothing_is_stored(open_door: OpenDoor) -> None:
    door = watched(open_door, numbered())
    replies = [door.get("/p") for _ in range(3)]
    assert [reply.body for reply in replies] == [b"answer 1", b"answer 2", b"answer 3"]
    assert {reply.detail for reply in replies} == {"shadow"}
    assert len(door.cache.memory) == 0
    door.cache.flags.set(low="on")
    assert door.get("/p").body == b"answer 4"  # nothing of the shadow's


def test_the_request_reaches_the_application_as_it_came(open_door: OpenDoor) -> None:
    door = watched(open_door, echo("cookie", "x-forwarded-for", "if-none-match"), cookies=[])
    sent = {"Cookie": "a=1", "X-Forwarded-For": "192.0.2.1", "If-None-Match": '"1"'}
    assert door.get("/p", sent).body == (
        b'cookie=a=1\nx-forwarded-for=192.0.2.1\nif-none-match="1"'
    )


def test_what_the_cache_would_have_done_is_counted(open_door: OpenDoor, clock: FakeClock) -> None:
    door = watched(open_door, constant())
    for _ in range(3):
        door.get("/p")
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 2}
    clock.advance(61)
    door.get("/p")
    assert labels(door) == {"shadow_miss": 2, "shadow_hit": 2}


def test_a_purge_reaches_the_shadow(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> bytes:
        tag("read")
        return b"page"

    door = watched(open_door, handler)
    for each in ("read", "other"):
        door.get("/p")
        door.cache.purge(tags=[each])
    door.get("/p")
    assert labels(door) == {"shadow_miss": 2, "shadow_hit": 1}


def test_an_answer_that_would_have_been_wrong_is_told_by_its_place(open_door: OpenDoor) -> None:
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        number = next(count)
        body = {"id": 1, "items": [{"price": 5}, {"price": number}], "a@b.example": number}
        headers = [("X-Number", str(number)), ("X-Request-Id", str(number))]
        return Said(body=json.dumps(body).encode(), headers=headers)

    door = watched(open_door, handler)
    door.get("/p")
    door.get("/p")
    assert labels(door) == {"shadow_miss": 1, "shadow_mismatch": 1}
    assert door.cache.mismatches.report() == {
        "it": {"header x-number": 1, "$.items[1].price": 1, "$.*": 1}
    }
    assert door.cache.stats().events["shadow_mismatch"] == {"header": 1, "body": 1}


def test_after_a_mismatch_the_newer_answer_is_compared_with(open_door: OpenDoor) -> None:
    bodies = iter([b"a", b"b", b"b"])
    door = watched(open_door, lambda asked: Said(body=next(bodies)))
    for _ in range(3):
        door.get("/p")
    assert labels(door) == {"shadow_miss": 1, "shadow_mismatch": 1, "shadow_hit": 1}
    assert door.cache.mismatches.report() == {"it": {"body, 1 -> 1 bytes": 1}}


def test_what_is_declared_to_be_volatile_is_not_compared(open_door: OpenDoor) -> None:
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        number = next(count)
        body = {"at": {"unix": number}, "items": [{"age": number}, {"age": -number}]}
        return Said(body=json.dumps(body).encode(), headers=[("X-Number", str(number))])

    door = watched(open_door, handler, volatile=["X-Number", "$.at", "$.items[*].age"])
    door.get("/p")
    door.get("/p")
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 1}


def test_a_status_that_changed_is_a_mismatch(open_door: OpenDoor) -> None:
    statuses = iter([200, 404])
    door = watched(open_door, lambda asked: Said(status=next(statuses), body=b"page"))
    door.get("/p")
    door.get("/p")
    assert door.cache.mismatches.report() == {"it": {"status 200 -> 404": 1}}


def test_an_answer_that_depends_on_what_is_not_keyed_shows(open_door: OpenDoor) -> None:
    # The one thing that shadow is for: on, the second client would get the first one's page.
    door = watched(open_door, echo("cookie"), cookies=[])
    first = door.get("/p", {"Cookie": f"sid={SECRET}"})
    second = door.get("/p", {"Cookie": "sid=bob"})
    assert (first.body, second.body) == (f"cookie=sid={SECRET}".encode(), b"cookie=sid=bob")
    assert labels(door) == {"shadow_miss": 1, "shadow_mismatch": 1}


def test_a_cookie_that_would_not_have_been_set_shows(open_door: OpenDoor) -> None:
    cookies = iter([[], [("Set-Cookie", "sid=1")]])
    door = watched(open_door, lambda asked: Said(body=b"page", headers=next(cookies)))
    door.get("/p")
    door.get("/p")
    assert door.cache.mismatches.report() == {"it": {"header set-cookie": 1}}


def test_a_route_that_sets_cookies_is_counted_by_name(open_door: OpenDoor) -> None:
    """Fails where refusals are counted over all routes, as the event is."""
    cookies = constant(headers=[("Set-Cookie", f"sid={SECRET}")])
    private = constant(headers=[("Cache-Control", "private")])
    handlers = {"/account": cookies, "/orders": private, "/products": constant()}
    config = {
        "routes": [{"name": path[1:], "path": path, "ttl": "60s"} for path in handlers],
        "flags": {"low": "shadow", "medium": "shadow", "high": "shadow"},
    }
    door = open_door(handlers, config=config)
    for path in ("/account", "/account", "/orders", "/products"):
        door.get(path)
    stats = door.cache.stats()
    assert stats.refused == {"account": {"set-cookie": 2}, "orders": {"private": 1}}
    assert stats.events["not_stored"] == {"set-cookie": 2, "private": 1}
    assert stats.by_label == {"shadow_miss": 4}


def test_the_statistics_say_where_a_route_would_have_been_wrong(open_door: OpenDoor) -> None:
    count = itertools.count(1)
    door = watched(open_door, lambda asked: json.dumps({"total": next(count)}).encode())
    for _ in range(3):
        door.get("/p")
    told = Stats.decode(door.cache.stats().encode())
    assert told.differences == {"it": {"$.total": 2}} == door.cache.mismatches.report()


def test_answers_that_vary_are_compared_with_their_own_kind(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        language = asked.field("accept-language") or ""
        return Said(body=language.encode(), headers=[("Vary", "Accept-Language")])

    door = watched(open_door, handler)
    for language in ("de", "en", "de", "en"):
        door.get("/p", {"Accept-Language": language})
    assert labels(door) == {"shadow_miss": 2, "shadow_hit": 2}


def test_streams_are_compared_and_come_as_they_come(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        def pieces() -> Iterator[Piece]:
            yield b"one "
            yield b"two"

        return Said(body=pieces())

    door = watched(open_door, handler)
    assert [door.get("/p").body for _ in range(2)] == [b"one two"] * 2
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 1}


def test_what_would_not_be_stored_is_no_hit(open_door: OpenDoor) -> None:
    door = watched(open_door, constant(headers=[("Cache-Control", "no-store")]))
    for _ in range(3):
        door.get("/p")
    assert labels(door) == {"shadow_miss": 3}


def test_errors_and_exceptions_go_out_as_they_are(open_door: OpenDoor) -> None:
    answers: Iterator[Any] = iter([Said(body=b"page"), Said(status=500), RuntimeError("broken")])

    def handler(asked: Asked) -> Said:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    door = watched(open_door, handler, stale_if_error="10m")
    assert [door.get("/p").status for _ in range(2)] == [200, 500]
    assert door.get("/p").failed
    assert door.cache.stats().failed == 2
    # Without _SAYS_NOTHING the failure would be a mismatch: on, nobody would have met it.
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 2}


def test_a_condition_is_the_applications_to_answer(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        if asked.field("if-none-match"):
            return Said(status=304, body=b"", headers=[("ETag", '"1"')])
        return Said(body=b"page", headers=[("ETag", '"1"')])

    door = watched(open_door, handler)
    door.get("/p")
    assert door.get("/p", {"If-None-Match": '"1"'}).status == 304
    assert door.ask(Call(target="/p", method="HEAD")).status == 200
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 2}


def test_a_stale_answer_would_have_been_renewed(open_door: OpenDoor, clock: FakeClock) -> None:
    # Fails without `would_renew`: the second answer would be stale, and over, with the first.
    door = watched(open_door, constant(), stale_while_revalidate="60s")
    for _ in range(3):
        door.get("/p")
        clock.advance(70)
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 2}


def test_an_answer_that_outgrows_what_is_kept_is_compared_all_the_same(
    open_door: OpenDoor,
) -> None:
    bodies = iter([[b"small"], [b"x" * 60, b"y" * 60], [b"small"]])
    door = watched(open_door, lambda asked: Said(body=iter(next(bodies))), max_size=100)
    replies = [door.get("/p").body for _ in range(3)]
    assert replies[1] == b"x" * 60 + b"y" * 60
    assert labels(door) == {"shadow_miss": 1, "shadow_mismatch": 1, "shadow_hit": 1}
    assert door.cache.mismatches.report() == {"it": {"body, 5 -> 120 bytes": 1}}


def test_an_answer_with_too_many_tags_would_not_be_stored(open_door: OpenDoor) -> None:
    # Fails without the look at the tags in `shadowing._hold`.
    def handler(asked: Asked) -> bytes:
        tag("one", "two", "three")
        return b"page"

    settings = {"flags": {"low": "shadow"}, "recording": {"max_tags": 2}}
    door = open_door({"/p": handler}, risk="low", settings=settings)
    door.get("/p")
    door.get("/p")
    assert labels(door) == {"shadow_miss": 2}


def test_an_answer_that_reports_errors_would_not_be_stored(open_door: OpenDoor) -> None:
    # Fails without `refusal` in `shadowing._hold`.
    door = watched(
        open_door,
        constant(
            body=b'{"errors": [{"message": "no"}], "data": null}',
            headers=[("Content-Type", "application/json")],
        ),
        body="graphql",
        methods=["GET", "POST"],
    )
    for _ in range(2):
        door.get("/p?query=%7Ba%7D")
    assert labels(door) == {"shadow_miss": 2}


def test_names_that_could_be_somebodys_are_not_told(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    # I1: a mapping by customer names whoever asks.
    names = iter(["alice", "bob"])

    def handler(asked: Asked) -> bytes:
        return json.dumps({"carts": {next(names): 1}}).encode()

    caplog.set_level("DEBUG")
    door = watched(open_door, handler)
    door.get("/p")
    door.get("/p")
    assert door.cache.mismatches.report() == {"it": {"$.carts.*": 1}}
    assert "alice" not in caplog.text
    assert "bob" not in caplog.text


def test_a_flag_that_changes_while_a_request_is_judged_lets_no_key_in(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails where the share is read a second time after `classify`: the key is in no canary of 0.01 %.
    door = watched(open_door, constant())
    judged = flows.classify

    def classify(*arguments: Any) -> Any:
        asked = judged(*arguments)
        door.cache.flags.set(low="canary 0.01%")
        return asked

    monkeypatch.setattr(flows, "classify", classify)
    assert door.get("/p").detail == "shadow"
    assert len(door.cache.memory) == 0


def test_a_write_purges_what_the_shadow_holds(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        return Said(body=b"done" if asked.method == "POST" else b"page")

    door = watched(open_door, handler)
    door.get("/p")
    door.ask(Call(target="/p", method="POST"))
    door.get("/p")
    assert labels(door) == {"shadow_miss": 2, "pass": 1}


def test_nothing_of_what_was_answered_is_told(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    # I1: not in counters, reports or log lines.
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        secret = f"{SECRET}-{next(count)}"
        return Said(
            body=json.dumps({"name": secret, f"of {secret}": 1}).encode(),
            headers=[("X-Name", secret)],
        )

    caplog.set_level("DEBUG")
    door = watched(open_door, handler)
    for _ in range(3):
        door.get("/p", {"Cookie": f"sid={SECRET}", "X-Forwarded-For": SECRET})
        door.get("/p")
    told = f"{door.cache.mismatches.report()} {door.cache.stats().as_dict()} {caplog.text}"
    assert "shadow_mismatch" in told
    assert SECRET not in told


def test_a_fault_of_the_comparison_costs_nobody_anything(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    door = watched(open_door, numbered())
    door.get("/p")
    monkeypatch.setattr("cachemw.engine.flows.shadowing.compare", broken)
    assert [door.get("/p").body for _ in range(2)] == [b"answer 2", b"answer 3"]


def test_shadows_keep_to_their_own_bytes(open_door: OpenDoor) -> None:
    settings = {"flags": {"low": "shadow"}, "memory": {"shadow_size": "20KiB"}}
    handlers: dict[str, Handler] = {"/p/{n}": constant(body=b"x" * 1000)}
    door = open_door(handlers, risk="low", settings=settings)
    for number in range(100):
        door.get(f"/p/{number}")
    assert 0 < door.cache._core.shadows.size <= 20 * 1024
    door.get("/p/99")
    assert labels(door) == {"shadow_miss": 100, "shadow_hit": 1}


def test_a_coding_is_no_difference_between_those_who_accept_others(open_door: OpenDoor) -> None:
    """An answer with a coding varies, whatever it says; the guard is `varies_on` in http/vary."""

    def coding(asked: Asked) -> Said:
        if asked.field("accept-encoding") == "gzip":
            return Said(body=b"coded", headers=[("Content-Encoding", "gzip")])
        return Said(body=b"plain")

    door = watched(open_door, coding)
    for accepted in ("gzip", "identity", "gzip", "identity"):
        reply = door.get("/p", {"Accept-Encoding": accepted})
        assert reply.field("vary") is None, "it goes out as the application gave it"
    assert labels(door) == {"shadow_miss": 2, "shadow_hit": 2}


def test_a_lifetime_that_counts_down_is_no_mismatch(open_door: OpenDoor, clock: FakeClock) -> None:
    """As of an application with a cache of its own. Guard: `differences._counts_down`."""
    began = clock.monotonic()

    def handler(asked: Asked) -> Said:
        left = 60 - int(clock.monotonic() - began)
        return Said(body=b"page", headers=[("Cache-Control", f"max-age={left}")])

    door = watched(open_door, handler)
    for _ in range(4):
        door.get("/p")
        clock.advance(9)
    assert labels(door) == {"shadow_miss": 1, "shadow_hit": 3}
    assert door.cache.mismatches.report() == {}
