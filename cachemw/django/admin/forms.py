"""What operators ask for in the admin: what to look for, and what to purge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from cachemw.engine.core.engine import Engine
from cachemw.engine.request.urls import purged_tags

__all__ = ["PurgeForm", "SearchForm"]

_KINDS = (("tag", "Tag"), ("url", "URL"), ("route", "Route"))
_WAYS = (
    ("hard", "Hard: it is served no more"),
    ("soft", "Soft: it may be served while it is renewed, or in place of an error"),
)


class SearchForm(forms.Form):
    """Names one tag, URL or route, as a purge would."""

    by = forms.ChoiceField(choices=_KINDS, label="Search by")
    q = forms.CharField(label="for", max_length=2000)

    def tags(self, engine: Engine) -> frozenset[str]:
        """Give the tags of which what is wanted carries one; none for what cannot be, with an error."""
        if not self.is_valid():
            return frozenset()
        words: dict[str, list[str]] = {f"{kind}s": [] for kind, _ in _KINDS}
        words[f"{self.cleaned_data['by']}s"] = [self.cleaned_data["q"]]
        try:
            return frozenset(purged_tags(engine, **words))
        except ValueError as error:
            self.add_error("q", str(error))
            return frozenset()


class PurgeForm(forms.Form):
    """Names what is to be purged, and how."""

    tags = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One on each line. product:* stands for all that begin so.",
    )
    urls = forms.CharField(
        required=False,
        label="URLs",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One on each line: /products/1?page=2 on every host, or with scheme and host.",
    )
    routes = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    everything = forms.BooleanField(
        required=False, label="Everything", help_text="All that the cache holds."
    )
    way = forms.ChoiceField(choices=_WAYS, initial="hard", label="How", widget=forms.RadioSelect)

    def __init__(self, *args: Any, routes: Iterable[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["routes"].choices = [(name, name) for name in routes]  # type: ignore[attr-defined]

    def clean(self) -> None:
        """Refuse what names nothing, and what names everything and more."""
        super().clean()
        words = self.words
        everything = words.pop("everything")
        if everything and any(words.values()):
            self.add_error("everything", "Everything takes no tag, URL or route beside it.")
        if not everything and not any(words.values()) and not self.errors:
            self.add_error(None, "Name a tag, a URL or a route, or choose everything.")

    @property
    def words(self) -> dict[str, Any]:
        """What is to be purged, as `Cache.purge` takes it."""
        given = self.cleaned_data
        return {
            "tags": _lines(given.get("tags", "")),
            "urls": _lines(given.get("urls", "")),
            "routes": given.get("routes", []),
            "everything": given.get("everything", False),
        }

    @property
    def soft(self) -> bool:
        """Whether it is to count as stale instead."""
        return bool(self.cleaned_data["way"] == "soft")

    @property
    def what(self) -> str:
        """What is to be purged, in words."""
        words = self.words
        if words["everything"]:
            what = "everything"
        else:
            names = {"tags": "tag", "urls": "URL", "routes": "route"}
            what = "; ".join(
                f"{names[kind]}{'' if len(words[kind]) == 1 else 's'} {', '.join(words[kind])}"
                for kind in names
                if words[kind]
            )
        return f"{what} (soft)" if self.soft else what


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
