"""Read pages as a browser does: where their links lead, what their forms would send."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from .servers import HOST

__all__ = ["form_fields", "links", "token_of"]

ORIGIN = f"http://{HOST}"
LINK_ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src"}
JSON_LINK = re.compile(r'"(?:next_url|toggle_url|href|path)": "([^"]+)"')
UNSENT = {"submit", "button", "file", "image", "reset"}


class LinkParser(HTMLParser):
    """Collects the addresses a browser or a reader would follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = LINK_ATTRIBUTES.get(tag)
        self.found += [value for name, value in attrs if name == wanted and value]


def links(target: str, fields: Mapping[str, str], text: str) -> list[str]:
    """List the same-origin targets that an answer points to, without fragments."""
    kind = fields.get("content-type", "")
    found: Iterable[str] = ()
    if kind.startswith("text/html"):
        parser = LinkParser()
        parser.feed(text)
        found = parser.found
    elif kind.startswith("application/json"):
        found = (link.replace("\\/", "/") for link in JSON_LINK.findall(text))
    location = fields.get("location")
    absolute = [
        urlsplit(urldefrag(urljoin(ORIGIN + target, link)).url)
        for link in (*([location] if location else ()), *found)
    ]
    return [
        (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for parts in absolute
        if (parts.scheme, parts.netloc) == ("http", HOST)
    ]


class FormParser(HTMLParser):
    """Collects what one form would send if it were sent as it is."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._form_id = form_id
        self._inside = False
        self._open: str | None = None
        """Name of the textarea or select being read."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self._inside = attributes.get("id") == self._form_id
        elif self._inside and tag == "input":
            self._read_input(attributes)
        elif self._inside and tag in ("textarea", "select"):
            self._open = attributes.get("name")
            if self._open and tag == "textarea":
                self.fields[self._open] = ""
        elif self._open and tag == "option":
            first = self._open not in self.fields
            if first or "selected" in attributes:
                self.fields[self._open] = attributes.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self._open and self.lasttag == "textarea":
            # The newline that follows the tag is not part of the value (HTML 4.10.11).
            self.fields[self._open] += data if self.fields[self._open] else data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        if tag in ("textarea", "select"):
            self._open = None

    def _read_input(self, attributes: Mapping[str, str | None]) -> None:
        kind, name = attributes.get("type") or "text", attributes.get("name")
        unticked = kind in ("checkbox", "radio") and "checked" not in attributes
        if name and kind not in UNSENT and not unticked:
            self.fields[name] = attributes.get("value") or ""


def form_fields(page: str, form_id: str) -> dict[str, str]:
    """Read what the form with this id would send, as a browser fills it in."""
    parser = FormParser(form_id)
    parser.feed(page)
    assert parser.fields, f"no form {form_id!r} in {page[:300]}"
    return parser.fields


def token_of(page: str, name: str = "csrfmiddlewaretoken") -> str:
    """Read the CSRF token out of a page's form."""
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, f"no {name} in {page[:300]}"
    return found[1]
