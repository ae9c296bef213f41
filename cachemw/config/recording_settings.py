"""The options of recording: what answers depend on."""

from __future__ import annotations

from typing import ClassVar

from cachemw.config.checks import rules
from cachemw.config.syntax import function_names, table_names
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import Rule, Setting, Settings, option, settings
from cachemw.config.syntax.raw_types import Duration, Names

__all__ = ["RecordingSettings"]


@settings
class RecordingSettings(Settings):
    """Which data an answer was built from, recorded while it is made, so that a change purges it."""

    database: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether the rows that an answer was built from become its tags, and changes purge them.",
    )
    ignore_tables: Setting[Names, tuple[str, ...]] = option(
        table_names.TABLES,
        default=(),
        help="Tables that no answer depends on, besides those of sessions and tokens: writes purge nothing.",
    )
    record_tables: Setting[Names, tuple[str, ...]] = option(
        table_names.TABLES,
        default=(),
        help="Tables of sessions and tokens that are recorded all the same.",
    )
    ignore_cached: Setting[Names, tuple[str, ...]] = option(
        table_names.IGNORED_KEYS,
        default=(),
        help="Keys in Django's cache that no answer is made from, such as counters, besides sessions.",
    )
    drop_cached: Setting[Names, tuple[str, ...]] = option(
        table_names.CACHED_KEYS,
        default=(),
        help="Keys in Django's cache whose values are removed, and made anew, when their rows were written.",
    )
    unknown_cached: Setting[str, str] = option(
        v.choice("refuse", "shorten", "keep"),
        default="refuse",
        help="What becomes of an answer made from a value of Django's cache whose rows are not known.",
    )
    unknown_ttl: Setting[Duration, float] = option(
        v.positive_duration,
        default="10s",
        help='Maximum lifetime of such an answer with `unknown_cached = "shorten"`.',
    )
    threads: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether reads in threads that a request starts count for its answer.",
    )
    max_tags: Setting[int, int] = option(
        v.integer(1, 10_000),
        default=1000,
        help="Maximum number of tags of an answer. One with more is not stored.",
    )
    fields: Setting[Names, tuple[str, ...]] = option(
        v.RESPONSE_FIELDS,
        default=("cache-tag", "surrogate-key"),
        help="Response headers in which the application sends tags, separated by commas or spaces.",
    )
    keep_fields: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether these headers are sent on to the client. Only a CDN in front of you needs them.",
    )
    pure_functions: Setting[Names, tuple[str, ...]] = option(
        function_names.PURE_FUNCTIONS,
        default=(),
        help="Your database functions, and those of extensions, that read and write no table.",
    )
    reading_functions: Setting[Names, tuple[str, ...]] = option(
        function_names.READING_FUNCTIONS,
        default=(),
        help="Your database functions that only read tables. Every write purges answers made with them.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("pure_functions", "reading_functions"), rules.functions_once),
    )
