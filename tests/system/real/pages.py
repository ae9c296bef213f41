"""Read pages as a browser does: where their links lead, what their forms would send."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from .servers import HOST

__all__ = ["Form", "form_fields", "forms", "links", "token_of"]

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


@dataclass(slots=True)
class Form:
    """A form of a page, with what it would send if it were sent as it is."""

    id: str = ""
    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)
    """Names and values of its buttons: a browser sends the one that was pressed."""


class FormParser(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._open: str | None = None
        """Name of the textarea or select being read."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._begin(attributes)
        elif self._form is None:
            return
        elif tag in ("input", "button"):
            self._read_input(self._form, tag, dict(attrs))
        elif tag in ("textarea", "select"):
            self._open = attributes.get("name")
            if self._open and tag == "textarea":
                self._form.fields[self._open] = ""
        elif tag == "option" and self._open:
            first = self._open not in self._form.fields
            if first or "selected" in attributes:
                self._form.fields[self._open] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._form and self._open and self.lasttag == "textarea":
            # The newline that follows the tag is not part of the value (HTML 4.10.11).
            had = self._form.fields[self._open]
            self._form.fields[self._open] = had + data if had else data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag in ("textarea", "select"):
            self._open = None

    def _begin(self, attributes: Mapping[str, str]) -> None:
        self._form = Form(
            id=attributes.get("id", ""),
            action=attributes.get("action", ""),
            method=attributes.get("method", "get").lower(),
        )
        self.forms.append(self._form)

    def _read_input(self, form: Form, tag: str, attributes: Mapping[str, str | None]) -> None:
        kind = attributes.get("type") or ("submit" if tag == "button" else "text")
        name, value = attributes.get("name"), attributes.get("value")
        unticked = kind in ("checkbox", "radio") and "checked" not in attributes
        if not name or unticked:
            return
        if kind == "submit":
            form.buttons[name] = value or ""
        elif kind not in UNSENT:
            form.fields[name] = value or ("on" if kind == "checkbox" and value is None else "")


def forms(page: str) -> list[Form]:
    """List the forms of a page, in order."""
    parser = FormParser()
    parser.feed(page)
    return parser.forms


def form_fields(page: str, form_id: str) -> dict[str, str]:
    """Read what the form with this id would send, as a browser fills it in."""
    found = next((form for form in forms(page) if form.id == form_id), None)
    assert found is not None, f"no form {form_id!r} in {page[:300]}"
    return found.fields


def token_of(page: str, name: str = "csrfmiddlewaretoken") -> str:
    """Read the CSRF token out of a page's form."""
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, f"no {name} in {page[:300]}"
    return found[1]
