"""MLflow's tracking server, under uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.system.real.compare import COMMON_FIELDS

from .checks import Crowd, SiteChecks, Visits, visit
from .people import Browser, browse, stranger
from .program_sites import ProgramSite

API = "/api/2.0/mlflow"
START = [
    "/",
    f"{API}/experiments/get?experiment_id=0",
    f"{API}/experiments/get-by-name?experiment_name=Default",
    "/version",
    "/health",
]


def admitted(target: str) -> bool:
    return not target.startswith("/static-files/")


@pytest.fixture(scope="module")
def crowd(make_program: Callable[[str], ProgramSite]) -> Iterator[Crowd]:
    site = make_program("mlflow")
    with site.serve(cached=False) as off, site.serve(cached=True) as on:
        yield Crowd(
            name="mlflow",
            off=off,
            on=on,
            people=[stranger(name, START, 20) for name in ("one", "two")],
            admit=admitted,
            fields=COMMON_FIELDS,
            least=70,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestMlflow(SiteChecks):
    """What is true of every site."""


def call(browser: Browser, name: str, **sent: Any) -> httpx.Response:
    """Call the API, as MLflow's client does."""
    answer = browser.client.post(f"{API}/{name}", json=sent)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_run_is_found_as_it_is_now_by_everybody(crowd: Crowd) -> None:
    with browse(crowd.on, crowd.people[0]) as one, browse(crowd.on, crowd.people[1]) as other:
        search = {"experiment_ids": ["0"]}
        for browser in (one, other, one):
            found = call(browser, "runs/search", **search)
        assert "; hit" in found.headers["cache-status"]
        run = call(one, "runs/create", experiment_id="0", start_time=1).json()["run"]["info"]
        for value in (0.5, 0.75):
            measured = {"key": "loss", "value": value, "timestamp": 1, "step": int(value * 4)}
            call(one, "runs/log-metric", run_id=run["run_id"], **measured)
            for browser in (one, other, one):
                [seen] = call(browser, "runs/search", **search).json()["runs"]
                assert seen["data"]["metrics"][0]["value"] == value
