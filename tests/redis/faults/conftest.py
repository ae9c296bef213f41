from __future__ import annotations

import pytest

from tests.support.traffic import AsgiTraffic, Traffic, WsgiTraffic


@pytest.fixture(
    params=[
        pytest.param(WsgiTraffic, id="wsgi", marks=pytest.mark.thorough),
        pytest.param(AsgiTraffic, id="asgi"),
    ]
)
def kind(request: pytest.FixtureRequest) -> type[Traffic]:
    kind: type[Traffic] = request.param
    return kind
