"""Configuration: the options, the strict decoder, and the sources of configurations.

Reading order:

- `model`: every option of a cache, except those of its routes.
- `memory_settings`: the options of the memory tier.
- `redis_settings`: the options of the connection to Redis.
- `recording_settings`: the options of recording.
- `route`: the options of one route, and of a kind of data.
- `rollout_plan`: the options of a rollout plan, which is a file of its own.
- `sources`: TOML files, mappings, Django's settings and environment variables.
- `reference`: the tables in docs/configuration.md, made from the options.
- `syntax`: how single values and tables are read and checked.
- `checks`: checks that concern several options.

`checks` imports `syntax`, and this folder imports both; neither of them imports anything of this folder.
"""

from __future__ import annotations

from cachemw.config.memory_settings import MemorySettings
from cachemw.config.model import (
    CoalesceSettings,
    CompressionSettings,
    Config,
    EndpointSettings,
    LogSettings,
)
from cachemw.config.recording_settings import RecordingSettings
from cachemw.config.redis_settings import RedisSettings
from cachemw.config.route import Kind, LearnedTtl, Route
from cachemw.config.sources import config_from, config_from_django, load_config
from cachemw.config.syntax.template import Segment, Template, parse_template
from cachemw.config.syntax.units import duration, size

__all__ = [
    "CoalesceSettings",
    "CompressionSettings",
    "Config",
    "EndpointSettings",
    "Kind",
    "LearnedTtl",
    "LogSettings",
    "MemorySettings",
    "RecordingSettings",
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
