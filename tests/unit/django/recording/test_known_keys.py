"""Keys in Django's cache that no answer is made from, by their patterns."""

from __future__ import annotations

import pytest

from cachemw.django.recording.known_keys import is_dropped, is_ignored


@pytest.mark.parametrize(
    ("key", "ignored"),
    [
        ("django.contrib.sessions.cacheabc", True),
        ("django.contrib.sessions.cached_dbabc", True),
        ("views.decorators.cache.cache_header.x.y", True),
        ("views.decorators.cache.cache_page.x.y", False),
        ("throttle_user_5", True),
        ("cms_PAGE_CACHE_VERSION", True),
        ("cms_PAGE_CACHE_VERSION:1", False),
        ("cms_5.1.3_|placeholder_cache_version|id:5|lang:en|site:1", True),
        ("cms_5.1.3_|render_placeholder|id:5|lang:en|site:1", False),
        ("cms_5.1.3_:permission:version", True),
        ("sorl-thumbnail||image||a", True),
        ("sorl-thumbnail-of-ours", False),
        ("my:5", True),
        ("my:5\n6", True),
        ("my.5", False),
        ("exact", True),
        ("exactly", False),
        (5, False),
    ],
)
def test_a_pattern_is_of_a_whole_key(project: None, key: object, ignored: bool) -> None:
    assert is_ignored(key, ("my:*", "exact")) is ignored


@pytest.mark.parametrize(
    ("key", "dropped"),
    [
        ("cms_5.1.3_menu_nodes_en_1:public", True),
        ("my_cms_page", False),
        ("CATEGORY_URL_en-gb_5", True),
        ("side", True),
        ("sides", False),
        (5, False),
    ],
)
def test_what_may_be_removed_is_known_or_configured(key: object, dropped: bool) -> None:
    assert is_dropped(key, ("side",)) is dropped
    assert is_dropped(key, ("*",))
