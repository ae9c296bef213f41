"""A safe response cache for Python web applications.

Make a `Cache` from a configuration and hand it to a front door: `cachemw.asgi`, `cachemw.wsgi`,
`cachemw.starlette` or `cachemw.django`. Importing this package imports no framework and no Redis.
"""

from cachemw.cache import Cache
from cachemw.config import Config, Kind, Route
from cachemw.errors import (
    CacheError,
    ConfigError,
    EntryRejected,
    RolloutError,
    StoreError,
    StoreUnavailable,
    TagError,
)
from cachemw.invalidation.purges import PurgeResult
from cachemw.recording.context import unrecorded
from cachemw.recording.declared import depends_on, tag, tagged
from cachemw.recording.pieces import hole

__all__ = [
    "Cache",
    "CacheError",
    "Config",
    "ConfigError",
    "EntryRejected",
    "Kind",
    "PurgeResult",
    "RolloutError",
    "Route",
    "StoreError",
    "StoreUnavailable",
    "TagError",
    "__version__",
    "depends_on",
    "hole",
    "tag",
    "tagged",
    "unrecorded",
]

__version__ = "0.1.0"
