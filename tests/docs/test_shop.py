"""The three front ends of the example shop are one shop."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cachemw.cli.demo.processes import Shop

pytestmark = pytest.mark.thorough

ASK = Path(__file__).with_name("ask.py")
FRONT_ENDS = ("fastapi", "django", "flask")

Call = tuple[str, str, str | None]


def put(path: str, **form: Any) -> Call:
    return "PUT", path, json.dumps(form)


def post(path: str, **form: Any) -> Call:
    return "POST", path, json.dumps(form)


def get(path: str) -> Call:
    return "GET", path, None


READS = [
    get("/products"),
    get("/products?page=2&sort=price"),
    get("/products?sort=-price&category=garden-tools"),
    get("/products?sort=popular&category=garden-tools"),
    get("/products?sort=rating"),
    get("/products?category=nothing-like-it"),
    get("/products/1"),
    get("/orders?customer=3"),
    get("/orders/7"),
    get("/customers/3"),
    get("/catalog"),
    get("/catalog/kitchen-lights"),
    get("/recommendations/1"),
    get("/inventory/1"),
    get("/metrics"),
    get("/healthcheck"),
    get("/logs"),
]
REFUSED = [
    (get("/products?page=0"), 400),
    (get("/products?page=two"), 400),
    (get("/products?sort=colour"), 400),
    (get("/orders"), 400),
    (get("/orders?customer=-1"), 400),
    (get("/products/100000"), 404),
    (get("/products/none"), 404),
    (get("/orders/100000"), 404),
    (get("/orders?customer=100000"), 404),
    (get("/customers/100000"), 404),
    (get("/catalog/nothing-like-it"), 404),
    (get("/recommendations/100000"), 404),
    (get("/inventory/100000"), 404),
    (get("/nothing/here"), 404),
    (put("/products/1", price="cheap"), 400),
    (put("/products/1", price=0), 400),
    (put("/products/1"), 400),
    (("PUT", "/products/1", "{"), 400),
    (("PUT", "/products/1", "[]"), 400),
    (("PUT", "/products/1", None), 400),
    (put("/products/100000", price=100), 404),
    (post("/inventory/1", stock=-1), 400),
    (post("/inventory/100000", stock=1), 404),
    (post("/orders", customer=1, items=[]), 400),
    (post("/orders", customer=1, items=[1]), 400),
    (post("/orders", customer=100000, items=[{"product": 1, "quantity": 1}]), 404),
    (post("/orders", customer=1, items=[{"product": 100000, "quantity": 1}]), 404),
    (post("/orders", customer=1, items=[{"product": 1, "quantity": 900000}]), 409),
]
CHANGES = [
    put("/products/1", price=12345),
    ("PATCH", "/products/1", json.dumps({"price": 54321})),
    get("/products/1"),
    get("/catalog/garden-tools"),
    post("/inventory/1", stock=700),
    get("/inventory/1"),
    get("/customers/3"),
    post(
        "/orders", customer=3, items=[{"product": 1, "quantity": 2}, {"product": 2, "quantity": 1}]
    ),
    get("/customers/3"),
    get("/orders?customer=3"),
    get("/inventory/1"),
    get("/orders/2001"),
]


def ask(shop: Shop, front_end: str, database: Path, calls: list[Call], cache: str) -> list[Any]:
    environment = shop.environment(SHOP_DB=str(database), SHOP_CACHE=cache)
    done = subprocess.run(
        [sys.executable, "-B", str(ASK), shop.package, front_end],
        env=environment,
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [without_process(answer) for answer in json.loads(done.stdout)]


def without_process(answer: dict[str, Any]) -> dict[str, Any]:
    if isinstance(answer["body"], dict):
        answer["body"].pop("worker", None)
    return answer


WARM = [call for call in CHANGES if call[0] == "GET" and call[1] != "/orders/2001"]
"""What is read after a write: stored before it."""
TWICE = [call for call in CHANGES for _ in range(2 if call[0] == "GET" else 1)]
"""The writes, and every read twice."""


class Answers(NamedTuple):
    """What every front end has answered, which is the same."""

    reads: list[Any]
    refused: list[Any]
    changes: list[Any]


@pytest.fixture(scope="module", params=["off", "on"])
def answers(
    request: pytest.FixtureRequest,
    shop: Shop,
    seeded: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Answers:
    """Ask each front end once, each over a database of its own, with the cache off or on."""
    folder = tmp_path_factory.mktemp("front-ends")
    calls = [*READS, *(call for call, _ in REFUSED), *WARM, *TWICE]
    answers = {}
    for front_end in FRONT_ENDS:
        database = Path(shutil.copyfile(seeded, folder / f"{front_end}.db"))
        answers[front_end] = ask(shop, front_end, database, calls, request.param)
    for index, call in enumerate(calls):
        shown = {front_end: answers[front_end][index] for front_end in FRONT_ENDS}
        assert shown["django"] == shown["fastapi"], call
        assert shown["flask"] == shown["fastapi"], call
    found = iter(answers["fastapi"])
    reads, refused, _, changes = (
        list(islice(found, len(part))) for part in (READS, REFUSED, WARM, TWICE)
    )
    return Answers(reads, refused, changes)


def test_every_read_is_alike_on_all_front_ends(answers: Answers) -> None:
    assert {answer["status"] for answer in answers.reads} == {200}
    assert answers.reads[6]["body"]["version"] == 1
    assert answers.reads[8]["body"]["lines"]
    assert answers.reads[12]["body"]["items"]


def test_every_refusal_is_alike_on_all_front_ends(answers: Answers) -> None:
    assert [answer["status"] for answer in answers.refused] == [status for _, status in REFUSED]
    assert all(answer["body"]["detail"] for answer in answers.refused)


def test_what_a_write_changes_is_shown_by_the_next_read(answers: Answers) -> None:
    assert {answer["status"] for answer in answers.changes} == {200}
    by_call = list(zip(TWICE, [answer["body"] for answer in answers.changes], strict=True))

    products = [body for call, body in by_call if call == get("/products/1")]
    assert [(body["price"], body["version"]) for body in products] == [(54321, 3)] * 2
    best = next(body for call, body in by_call if call == get("/catalog/garden-tools"))
    assert {item["id"]: item["version"] for item in best["items"]}[1] == 3
    stocks = [body for call, body in by_call if call == get("/inventory/1")]
    assert [body["stock"] for body in stocks] == [700, 700, 698, 698]
    assert [body["version"] for body in stocks] == [2, 2, 3, 3]
    customers = [body for call, body in by_call if call == get("/customers/3")]
    assert customers[0] == customers[1]
    assert customers[2] == customers[3]
    assert customers[2]["orders"] == customers[0]["orders"] + 1
    assert customers[2]["version"] == 2
    orders = next(body for call, body in by_call if call == get("/orders?customer=3"))
    assert orders["orders"][0]["id"] == 2001
