"""A django CMS site in two languages, with versioning and the CMS's own caches, under gunicorn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.waiting import until
from tests.system.real.compare import COMMON_FIELDS, VolatileField, VolatileText

from .checks import Crowd, SiteChecks, Visits, visit
from .chrome import chrome, show_from_cache
from .django_sites import DjangoSite
from .people import Browser, Person, browse, has, log_in, stranger
from .staleness import fill, same_for

FIELDS = (
    *COMMON_FIELDS,
    VolatileField(b"x-worker", "the test's own: which worker answered"),
    VolatileField(b"expires", "the CMS says for how long a page is fresh"),
    VolatileField(b"last-modified", "the time at which the CMS put the page together"),
    VolatileField(b"cache-control", "the rest of the time for which the CMS keeps the page"),
)
TEXTS = (
    VolatileText(re.compile(rb'(csrfmiddlewaretoken["\'] value=["\'])\w+'), "a token in a form"),
    VolatileText(re.compile(rb"^(csrftoken=).*"), "the cookie: a new token, or a new expiry"),
    VolatileText(re.compile(rb"^(django_language=).*"), "the cookie: a new expiry"),
    VolatileText(re.compile(rb"(csrfmiddlewaretoken&quot;: &quot;)\w+"), "a token of the toolbar"),
    VolatileText(re.compile(rb'("csrf":\s*")\w+', re.I), "the token of the toolbar"),
)
START = ["/en/", "/en/subscribe/", "/en/contact/"]
GERMAN_START = ["/de/", "/de/subscribe/"]
EDITOR_START = [*START, "/en/article-05/"]


def admitted(target: str) -> bool:
    uncrawled = ("/static/", "/en/admin/", "/de/admin/")
    return not target.startswith(uncrawled) and "toolbar_off" not in target


@pytest.fixture(scope="module")
def crowd(make_site: Callable[[str], DjangoSite]) -> Iterator[Crowd]:
    site = make_site("cms")
    with site.serve(cached=False, ready="/en/") as off, site.serve(cached=True, ready="/en/") as on:
        newcomer, regular = stranger("newcomer", START, 40), stranger("regular", START, 40)
        german = stranger("german", GERMAN_START, 40, language="de")
        with browse(off, regular) as browser:
            browser.get("/en/subscribe/")
            regular.keep(browser.client)
        with browse(off, german) as browser:
            browser.send("/i18n/setlang/", browser.get("/de/subscribe/"), {"language": "de"})
            german.keep(browser.client)
        editors = [Person(name=name, start=EDITOR_START, limit=16) for name in ("alice", "bob")]
        for editor in editors:
            name = f"{editor.name}-of-the-press"
            fields = {"username": name, "password": f"password-of-{editor.name}"}
            log_in(off, editor, "/en/admin/login/?next=/en/admin/", fields)
            editor.secrets.append(f"{editor.name.title()}-first-name")
        yield Crowd(
            name="cms",
            off=off,
            on=on,
            people=[newcomer, regular, german, *editors],
            admit=admitted,
            fields=FIELDS,
            texts=TEXTS,
            dropped=frozenset({"csrftoken", "django_language"}),
            least=80,
        )


@pytest.fixture(scope="module")
def visits(crowd: Crowd) -> Visits:
    return visit(crowd)


class TestCms(SiteChecks):
    """What is true of every site."""


@pytest.mark.parametrize("who", [0, 1])
def test_the_forms_work_from_a_page_that_came_from_the_cache(crowd: Crowd, who: int) -> None:
    with browse(crowd.on, crowd.people[who]) as browser:
        page = browser.hit("/en/subscribe/")
        sent = {"email": f"somebody-{who}@elsewhere.test"}
        assert browser.submit("/en/subscribe/", page, has("email"), sent).status_code == 302
        page = browser.hit("/en/contact/")
        answer = browser.submit("/en/contact/", page, has("text"), {"text": "Hello"})
        assert answer.status_code == 302, answer.text
    same_for(crowd, crowd.people, ["/en/subscribe/"])


def test_a_real_browser_sends_a_form_that_came_from_the_cache(crowd: Crowd) -> None:
    target = "/en/subscribe/"
    with browse(crowd.on, crowd.people[0]) as browser:
        browser.hit(target)
    with chrome() as driver:
        show_from_cache(driver, crowd.on.url, target)
        before = int(driver.find_element("tag name", "p").text.split()[0])
        driver.find_element("name", "email").send_keys("browser@elsewhere.test")
        driver.find_element("tag name", "button").click()
        until(lambda: f"<p>{before + 1} people" in driver.page_source)


VERSIONS = "/en/admin/djangocms_versioning/pagecontentversion"


def publish(browser: Browser, target: str, title: str) -> None:
    """Make a new version of a page, give it another title in the admin, and publish it."""
    page = browser.get(target)
    version = re.search(rf"{VERSIONS}/(\d+)/edit-redirect/", page.text)
    assert version, page.text[:3000]
    edited = browser.send(f"{VERSIONS}/{version[1]}/edit-redirect/", page, {})
    assert edited.status_code == 302, edited.text
    content = re.search(r"/edit/(\d+)/", edited.headers["location"])
    assert content, edited.headers
    address = f"/en/admin/cms/pagecontent/{content[1]}/change/"
    saved = browser.submit(address, browser.get(address), has("title"), {"title": title}, "_save")
    assert saved.status_code == 302, saved.text
    page = browser.get(edited.headers["location"])
    version = re.search(rf"{VERSIONS}/(\d+)/publish/", page.text)
    assert version, page.text[:3000]
    published = browser.send(f"{VERSIONS}/{version[1]}/publish/", page, {})
    assert published.status_code == 302, published.text


def test_a_page_published_in_the_admin_is_new_at_once_for_all(crowd: Crowd) -> None:
    pages = ["/en/", "/en/article-03/", "/en/article-04/", "/en/contact/"]
    for person in crowd.people[:3]:
        fill(crowd, person, pages)
    with browse(crowd.on, crowd.people[3]) as browser:
        publish(browser, "/en/article-03/", "Article with another title")
    same_for(crowd, crowd.people, pages)
    with browse(crowd.on, crowd.people[0]) as browser:
        for target in pages:
            assert "Article with another title" in browser.get(target).text, target
