from __future__ import annotations

import pytest

from .kit import AsgiTraffic, Traffic, WsgiTraffic


@pytest.fixture(params=[WsgiTraffic, AsgiTraffic], ids=["wsgi", "asgi"])
def kind(request: pytest.FixtureRequest) -> type[Traffic]:
    kind: type[Traffic] = request.param
    return kind
