"""What an operator writes: the model, the strict decoder, and where configurations come from."""

from __future__ import annotations

from cachemw.config.model import (
    CoalesceSettings,
    CompressionSettings,
    Config,
    EndpointSettings,
    LogSettings,
    MemorySettings,
    RedisSettings,
)
from cachemw.config.route import Kind, Route
from cachemw.config.sources import config_from, config_from_django, load_config
from cachemw.config.syntax.template import Segment, Template, parse_template
from cachemw.config.syntax.units import duration, size

__all__ = [
    "CoalesceSettings",
    "CompressionSettings",
    "Config",
    "EndpointSettings",
    "Kind",
    "LogSettings",
    "MemorySettings",
    "RedisSettings",
    "Route",
    "Segment",
    "Template",
    "config_from",
    "config_from_django",
    "duration",
    "load_config",
    "parse_template",
    "size",
]
