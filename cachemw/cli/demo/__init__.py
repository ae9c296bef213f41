"""The demo: the example shop under traffic, without and with the cache."""

from __future__ import annotations

from cachemw.cli.demo.command import demo

__all__ = ["demo"]
