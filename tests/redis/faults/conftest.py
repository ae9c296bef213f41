from __future__ import annotations

import pytest

from tests.support.traffic import AsgiTraffic, Traffic, WsgiTraffic


@pytest.fixture(params=[WsgiTraffic, AsgiTraffic], ids=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> type[Traffic]:
    kind: type[Traffic] = request.param
    return kind
