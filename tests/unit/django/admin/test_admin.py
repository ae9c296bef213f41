"""The page in Django's admin: who may see it, what it shows, and what it purges."""

from __future__ import annotations

import html
import json
import re
import time
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.test import Client, override_settings
from redis import Redis

from cachemw.testing import RedisServer
from tests.support.entries import make_entry
from tests.support.waiting import until

from .conftest import OpenShop

PAGE = "/admin/cachemw/cache/"
PURGE = f"{PAGE}purge/"
EVIL = "<script>alert(1)<script>"


def page(client: Client, **words: str) -> str:
    response = client.get(PAGE, words)
    assert response.status_code == 200
    return str(response.content.decode())


def text(source: str) -> str:
    """Give what a reader sees, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", source)).split())


def row(source: str, name: str) -> list[str]:
    """Give the cells of the first row that begins with a name."""
    for found in re.findall(r"<tr>.*?</tr>", source, re.DOTALL):
        cells = [text(cell) for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", found, re.DOTALL)]
        if cells[0] == name:
            return cells
    raise AssertionError(f"no row {name!r} in {text(source)}")


def purge(client: Client, *, confirmed: bool = True, **words: Any) -> Any:
    more = {"confirmed": "yes"} if confirmed else {}
    return client.post(PURGE, {"way": "hard", **words, **more})


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# Who may what -------------------------------------------------------------------------------------


def test_the_model_and_the_migration_agree(database: None) -> None:
    call_command("makemigrations", "--check", verbosity=0)
    call_command("check", fail_level="WARNING")


def test_the_index_leads_to_the_page(open_shop: OpenShop) -> None:
    client = open_shop().login(superuser=True)
    index = client.get("/admin/").content.decode()
    assert f'<a href="{PAGE}">Response cache</a>' in index
    assert "Add</a>" not in index[index.index("app-cachemw") :].partition("</table>")[0]


@pytest.mark.parametrize(
    ("permissions", "sees", "purges"),
    [((), 403, 403), (("view_cache",), 200, 403), (("purge_cache",), 200, 200)],
    ids=["none", "view", "purge"],
)
def test_permissions_say_who_sees_and_who_purges(
    open_shop: OpenShop, permissions: tuple[str, ...], sees: int, purges: int
) -> None:
    """Fails without the checks of either view."""
    shop = open_shop()
    client = shop.login(*permissions)
    assert client.get(PAGE).status_code == sees
    assert purge(client, everything="on", confirmed=False).status_code == purges
    shop.visit("/orders")
    purge(client, everything="on")
    assert shop.cached("/orders") is (purges == 403)
    if sees == 200:
        assert (PURGE in page(client)) is (purges == 200)


def test_who_is_not_of_the_staff_is_sent_to_log_in(open_shop: OpenShop) -> None:
    shop = open_shop()
    for client in (Client(), shop.login("view_cache", "purge_cache", staff=False)):
        for response in (client.get(PAGE), purge(client, everything="on")):
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")


def test_a_purge_wants_the_token_of_the_form(open_shop: OpenShop) -> None:
    """Fails when the view is not behind Django's own check."""
    shop = open_shop()
    shop.visit("/orders")
    known = shop.login(superuser=True)
    client = Client(enforce_csrf_checks=True)
    client.cookies = known.cookies
    assert purge(client, everything="on").status_code == 403
    assert shop.cached("/orders")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page(client))
    assert token is not None
    assert purge(client, everything="on", csrfmiddlewaretoken=token[1]).status_code == 302
    assert not shop.cached("/orders")


def test_a_purge_is_never_a_get(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.visit("/orders")
    client = shop.login(superuser=True)
    response = client.get(PURGE, {"everything": "on", "way": "hard", "confirmed": "yes"})
    assert (response.status_code, response["Location"]) == (302, PAGE)
    assert shop.cached("/orders")


def test_there_are_no_pages_of_rows(open_shop: OpenShop) -> None:
    client = open_shop().login(superuser=True)
    for path in ("add/", "1/change/", "1/delete/", "1/history/"):
        assert client.get(f"{PAGE}{path}").status_code == 404


# What it shows ------------------------------------------------------------------------------------


def test_routes_are_shown_with_what_the_fleet_counted_and_stored(
    open_shop: OpenShop, redis_url: str
) -> None:
    shop = open_shop(redis_url)
    client = shop.login("view_cache")
    shop.visit("/products/1", "/products/1", "/products/1", "/products/2")
    whole = "products|/products/{name}|low|on|2|0|2|50.0 %|2|18 bytes"
    # A process publishes its counts once a second, perhaps in the middle of the four visits.
    until(lambda: row(page(client), "products") == whole.split("|"))
    shown = page(client)
    assert row(shown, "orders")[3:9] == ["on", "0", "0", "0", "-", "0"]
    assert "1 process in the last ten seconds" in text(shown)


def test_flags_are_shown_as_they_are_live(open_shop: OpenShop) -> None:
    shop = open_shop()
    client = shop.login("view_cache")
    shop.cache.flags.set({"route:products": "off"})
    assert row(page(client), "products")[3] == "off"
    shop.cache.flags.kill()
    assert "The kill switch is on" in text(page(client))
    assert row(page(client), "orders")[3] == "off"


def test_routes_in_shadow_are_shown_with_what_they_would_do(open_shop: OpenShop) -> None:
    shop = open_shop()
    client = shop.login("view_cache")
    assert "In shadow" not in page(client)
    shop.cache.flags.set(high="shadow")
    shop.visit("/orders")
    assert "In shadow, route orders would have answered 0 of 1 requests (0%)" in text(page(client))


@pytest.mark.parametrize(
    ("by", "word"), [("tag", "product:1"), ("url", "/products/1"), ("route", "products")]
)
def test_entries_are_found_by_tag_url_and_route(
    open_shop: OpenShop, redis_url: str, by: str, word: str
) -> None:
    shop = open_shop(redis_url)
    shop.visit("/products/1", "/orders")
    client = shop.login("view_cache")
    shown = page(client, by=by, q=word)
    _, route, status, size, age, left, state, tags = row(shown, "http://shop.example/products/1")
    assert (route, status, size, state) == ("products", "200", "9 bytes", "valid")
    assert re.fullmatch(r"\d+ s", age)
    assert left in ("60 min", "59 min")
    assert tags == "product:1 catalog"
    assert "shop.example/orders" not in shown
    assert "No entries found" in text(page(client, by="tag", q="product:9"))


def test_what_is_purged_is_found_as_that_and_not_counted(
    open_shop: OpenShop, redis_url: str
) -> None:
    shop = open_shop(redis_url)
    shop.visit("/products/1", "/products/2")
    shop.cache.purge(tags=["product:1"])
    shop.cache.purge(tags=["product:2"], soft=True)
    shown = page(shop.login("view_cache"), by="route", q="products")
    assert row(shown, "http://shop.example/products/1")[6] == "purged"
    assert row(shown, "http://shop.example/products/2")[6] == "stale"
    assert row(shown, "products")[8] == "1"


def test_a_hundred_are_shown_and_that_there_are_more(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.visit(*(f"/products/{number}" for number in range(101)))
    client = shop.login("view_cache")
    assert "100 found, and there are more." in text(page(client, by="route", q="products"))
    assert row(page(client), "products")[8] == "101"


@pytest.mark.parametrize("memory_only", [False, True], ids=["redis", "memory only"])
def test_a_look_that_takes_too_long_ends_and_says_so(
    open_shop: OpenShop, redis_url: str, memory_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop("" if memory_only else redis_url)
    shop.visit("/products/1", "/products/2")
    monkeypatch.setattr("cachemw.django.admin.overview.SEARCH_TIME", 0.0)
    monkeypatch.setattr("cachemw.django.admin.admin.SEARCH_TIME", 0.0)
    client = shop.login("purge_cache")
    shown = text(page(client, by="tag", q="product:3"))
    assert "There was no time to check all entries" in shown
    assert "No entries found among those that there was time to check." in shown
    preview = purge(client, everything="on", confirmed=False)
    assert "there was no time to check all entries" in text(preview.content.decode())


def test_a_word_that_cannot_be_one_is_told_beside_it(open_shop: OpenShop) -> None:
    client = open_shop().login("view_cache")
    assert "no route is named 'nothing'" in text(page(client, by="route", q="nothing"))
    assert "is a path" in text(page(client, by="url", q="nothing"))
    assert "a star stands alone" in text(page(client, by="tag", q="a*b"))
    assert client.get(PAGE, {"by": "none", "q": "a"}).status_code == 200


def test_the_last_purges_are_shown_of_every_kind(open_shop: OpenShop, redis_url: str) -> None:
    shop = open_shop(redis_url)
    for number in range(12):
        shop.cache.purge(tags=[f"many:{each}" for each in range(number)] or ["first"])
    shop.cache.purge(everything=True, soft=True)
    client = shop.login("view_cache")
    until(lambda: "soft everything" in text(page(client)))
    purges = text(page(client)).partition("Last purges")[2]
    assert "hard many:0 many:1" in purges
    assert "and 1 more" in purges


def test_purges_by_changes_of_data_do_not_push_out_the_others(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.cache.purge(tags=["by:hand"])
    for number in range(150):
        shop.cache._core.purger.invalidate(("db:?", f"db:shop:{number}"))
    purges, _, recorded = (
        text(page(shop.login("view_cache")))
        .partition("Last purges")[2]
        .partition("Purges by changes of data: the last 20")
    )
    assert "hard by:hand" in purges
    assert "db:" not in purges
    assert "db:shop:149" in recorded
    assert "db:shop:129" not in recorded


@pytest.mark.parametrize("memory_only", [False, True], ids=["redis", "memory only"])
def test_everything_that_a_client_wrote_is_text(
    open_shop: OpenShop, redis_url: str, memory_only: bool
) -> None:
    """Fails when a template marks one of them as safe."""
    shop = open_shop("" if memory_only else redis_url)
    shop.visit(f"/products/{EVIL}")
    client = shop.login(superuser=True)
    for words in (
        {},
        {"by": "route", "q": "products"},
        {"by": "tag", "q": f"product:{EVIL}"},
        {"by": "url", "q": EVIL},
        {"by": "route", "q": EVIL},
        {"by": EVIL, "q": f"'\">{EVIL}"},
    ):
        shown = page(client, **words)
        assert EVIL not in shown
        assert '">' + EVIL[:7] not in shown
    assert html.escape(EVIL) in page(client, by="tag", q=f"product:{EVIL}")
    for words in (
        {"tags": f"product:{EVIL}\n'\"><b>"},
        {"urls": f"/{EVIL}"},
        {"urls": EVIL},
        {"routes": EVIL},
        {"way": EVIL, "tags": "a"},
    ):
        shown = purge(client, **words, confirmed=False).content.decode()
        assert "purge" in shown.lower()
        assert EVIL not in shown
        assert "<b>" not in shown
    done = purge(client, tags=f"product:{EVIL}")
    shown = client.get(done["Location"]).content.decode()
    assert html.escape(EVIL) in shown
    assert EVIL not in shown
    assert EVIL not in client.get("/admin/").content.decode()


def test_what_others_wrote_into_redis_hides_no_character(
    open_shop: OpenShop, redis_url: str
) -> None:
    """The guard is `printable_in` in the view; escaping for HTML leaves these characters alone."""
    evil = "a\x1b[2J\x9b31m\x7f\u202e\u2066\u200b"
    shop = open_shop(redis_url)
    core = shop.cache._core
    shop.visit("/products/7")
    key, now = core.engine.keys.make((b"http", b"h", b"", b"/x", b"/x", b"")), time.monotonic()
    position = core.engine.floors.current_position()
    entry = make_entry(
        key=key.digest, route=evil, tags=(evil, "product:7"), born=now, position=position
    )
    assert core.effects.shared is not None
    core.effects.shared.put(key, entry)
    record = {"k": "tags", "s": "0", "v": json.dumps([f"purged {evil}"])}
    with Redis.from_url(redis_url) as client:
        client.xadd(f"cachemw:{{{shop.cache.config.namespace}}}:log", record)
    browser = shop.login(superuser=True)
    until(lambda: "purged a" in page(browser))
    shown = page(browser, by="tag", q="product:7")
    assert shown.count("a\\x1b[2J\\x9b31m\\x7f\\u202e\\u2066\\u200b") >= 3
    assert {each for each in evil if not each.isprintable()}.isdisjoint(shown)
    previewed = purge(browser, tags=f"product:7\n{evil}", confirmed=False).content.decode()
    assert "a\\x1b[2J" in previewed
    told = purge(browser, tags=evil)
    assert "a\\x1b[2J\\x9b31m" in browser.get(told["Location"]).content.decode()


# Purging ------------------------------------------------------------------------------------------


def test_a_preview_says_what_would_be_touched_and_purges_nothing(
    open_shop: OpenShop, redis_url: str
) -> None:
    shop = open_shop(redis_url)
    shop.visit("/products/1", "/products/2", "/orders")
    client = shop.login("purge_cache")
    words = {"tags": "catalog", "routes": ["orders", "products"]}
    shown = text(purge(client, **words, confirmed=False).content.decode())
    assert "This will purge: tag catalog; routes orders, products ." in shown
    assert "This would touch 3 entries on 2 routes" in shown
    assert shop.cached("/orders")


def test_what_was_previewed_is_what_is_purged(open_shop: OpenShop, redis_url: str) -> None:
    shop = open_shop(redis_url)
    shop.visit("/products/1", "/products/2", "/orders")
    client = shop.login("purge_cache")
    words = {"tags": "product:1\r\n nothing \r\n\r\n", "urls": "/orders", "way": "hard"}
    preview = purge(client, **words, confirmed=False).content.decode()
    fields = [
        (html.unescape(name), html.unescape(value))
        for name, value in re.findall(
            r'<input type="hidden" name="(.*?)" value="(.*?)"', preview, re.S
        )
    ]
    assert dict(fields)["confirmed"] == "yes"
    assert client.post(PURGE, dict(fields)).status_code == 302
    assert not shop.cached("/products/1")
    assert not shop.cached("/orders")
    assert shop.cached("/products/2")


@pytest.mark.parametrize("memory_only", [False, True], ids=["redis", "memory only"])
def test_a_purge_is_told_and_written_down(
    open_shop: OpenShop, redis_url: str, age_log: Any, memory_only: bool
) -> None:
    from django.contrib.admin.models import LogEntry

    age_log("admin")
    shop = open_shop("" if memory_only else redis_url)
    shop.visit("/products/1")
    client = shop.login("purge_cache")
    response = purge(client, tags="product:1", way="soft")
    assert response.status_code == 302
    sentence = "Purged softly. Confirmed by 1 process."
    assert told(response) == [f"tag product:1 (soft): {sentence}"]
    entry = LogEntry.objects.get()
    assert str(entry.user) == str(client.get(PAGE).wsgi_request.user)
    assert entry.object_repr == "Purge: tag product:1 (soft)"
    assert entry.get_change_message() == f"Purge of tag product:1 (soft). {sentence}"
    until(lambda: row(page(client), told_at(client))[1:] == ["soft", "product:1"])
    assert sentence in text(page(client)).partition("Purged from this page")[2]


def told_at(client: Client) -> str:
    """Give when the newest purge was, as the page says it."""
    found = re.search(r'data-label="When"[^>]*>([^<]*)<', page(client))
    assert found is not None
    return found[1]


def test_everything_goes_by_one_box(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.visit("/products/1", "/orders")
    client = shop.login("purge_cache")
    assert "This would touch 2 entries on 2 routes" in text(
        purge(client, everything="on", confirmed=False).content.decode()
    )
    purge(client, everything="on")
    assert not shop.cached("/products/1")


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        ({}, "Name a tag, a URL or a route, or choose everything."),
        ({"everything": "on", "tags": "a"}, "Everything takes no tag"),
        ({"routes": "nothing"}, "nothing is not one of the available choices"),
        ({"tags": "@route:orders"}, "use another name"),
        ({"urls": "orders"}, "is a path"),
        ({"way": "gently", "tags": "a"}, "gently is not one of the available choices"),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True], ids=["preview", "purge"])
def test_a_mistake_purges_nothing_and_is_told(
    open_shop: OpenShop, words: dict[str, str], mistake: str, confirmed: bool
) -> None:
    shop = open_shop()
    shop.visit("/orders")
    response = purge(shop.login("purge_cache"), confirmed=confirmed, **words)
    assert response.status_code == 200
    assert mistake in text(response.content.decode())
    assert shop.cached("/orders")


# Redis away, and none at all ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "noticed"),
    [("stop", True), ("hang", False), ("hang", True)],
    ids=["stopped", "hangs", "hangs, and that is known"],
)
def test_with_redis_away_the_page_comes_and_shows_what_this_process_knows(
    open_shop: OpenShop, own_redis_server: RedisServer, how: str, noticed: bool
) -> None:
    """Fails when any of what is asked has more patience than a request, which gives Redis 50 ms."""
    shop = open_shop(own_redis_server.url, redis={"url": own_redis_server.url})
    shop.visit("/products/1", "/products/1")
    shop.cache.purge(tags=["before"])
    client = shop.login("purge_cache")
    getattr(own_redis_server, how)()
    try:
        page(client)  # the templates are read
        until(lambda: not noticed or not shop.cache.log.live)
        fastest = min(timed(client) for _ in range(3))
        shown = page(client, by="tag", q="product:1")
    finally:
        if how == "hang":
            own_redis_server.resume()
    assert fastest < 0.5
    assert "does not answer" in text(shown)
    assert row(shown, "products")[4:9] == ["1", "0", "1", "50.0 %", "1"]
    assert row(shown, "//shop.example/products/1")[1] == "products"
    assert "hard before" in text(shown)


def timed(client: Client) -> float:
    began = time.monotonic()
    page(client)
    return time.monotonic() - began


def test_with_redis_away_a_purge_holds_here_and_waits(
    open_shop: OpenShop, own_redis_server: RedisServer
) -> None:
    shop = open_shop(own_redis_server.url)
    shop.visit("/products/1")
    client = shop.login("purge_cache")
    own_redis_server.stop()
    until(lambda: not shop.cache.log.live)
    preview = purge(client, tags="product:1", confirmed=False)
    assert "Redis does not answer" in text(preview.content.decode())
    (message,) = told(purge(client, tags="product:1"))
    assert "the purge goes to the other processes when it is back." in message
    assert row(page(client), "waiting for Redis")[1:] == ["hard", "product:1"]
    assert not shop.cached("/products/1")


def test_with_memory_only_the_page_says_whose_it_is(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.visit("/products/1", "/products/1")
    shown = page(shop.login("view_cache"), by="tag", q="product:1")
    assert "Memory only. This page is about this process" in text(shown)
    assert row(shown, "products")[4:9] == ["1", "0", "1", "50.0 %", "1"]
    assert row(shown, "//shop.example/products/1")[1] == "products"


def test_a_cache_without_routes_has_a_page(open_shop: OpenShop) -> None:
    client = open_shop(routes=[]).login("purge_cache")
    assert "The configuration lists no route" in text(page(client))


def test_times_are_shown_also_without_time_zones(open_shop: OpenShop) -> None:
    shop = open_shop()
    client = shop.login("purge_cache")
    with override_settings(USE_TZ=False):
        purge(client, tags="a")
        assert "hard a" in text(page(client))


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs(open_shop: OpenShop) -> None:
    client: Client = open_shop().login(superuser=True)
    content = page(client).partition('<div id="content-main">')[2].partition("<footer")[0]
    assert not re.search(r"<script|<style|style=|https?://|\son\w+=", content)
