"""Forms of the admin page: the search and the purge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from cachemw.engine.core.engine import Engine
from cachemw.engine.request.urls import purged_tags
from cachemw.process.printable import printable

__all__ = ["PurgeForm", "SearchForm"]

_KINDS = (("tag", "Tag"), ("url", "URL"), ("route", "Route"))
_WAYS = (
    ("hard", "Hard: the entries are not served any more"),
    (
        "soft",
        "Soft: the entries count as stale, and may be served during a refresh or instead of an error",
    ),
)


class SearchForm(forms.Form):
    """The search for one tag, URL or route."""

    by = forms.ChoiceField(choices=_KINDS, label="Search by")
    q = forms.CharField(label="for", max_length=2000)

    def tags(self, engine: Engine) -> frozenset[str]:
        """Return the tags of which a wanted entry carries one; for a bad value none, and add an error."""
        if not self.is_valid():
            return frozenset()
        named: dict[str, list[str]] = {f"{kind}s": [] for kind, _ in _KINDS}
        named[f"{self.cleaned_data['by']}s"] = [self.cleaned_data["q"]]
        try:
            return frozenset(purged_tags(engine, **named))
        except ValueError as error:
            self.add_error("q", str(error))
            return frozenset()


class PurgeForm(forms.Form):
    """The purge of tags, URLs and routes, or of everything."""

    tags = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One per line. product:* stands for all tags that start with product:",
    )
    urls = forms.CharField(
        required=False,
        label="URLs",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One per line: /products/1?page=2 for every host, or with scheme and host.",
    )
    routes = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    everything = forms.BooleanField(
        required=False, label="Everything", help_text="All entries of the cache."
    )
    way = forms.ChoiceField(choices=_WAYS, initial="hard", label="How", widget=forms.RadioSelect)

    def __init__(self, *args: Any, routes: Iterable[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["routes"].choices = [(name, name) for name in routes]  # type: ignore[attr-defined]

    def clean(self) -> None:
        """Refuse a form that names nothing, or everything together with something else."""
        super().clean()
        targets = self.targets
        everything = targets.pop("everything")
        if everything and any(targets.values()):
            self.add_error("everything", "Everything takes no tag, URL or route: leave them empty.")
        if not everything and not any(targets.values()) and not self.errors:
            self.add_error(None, "Name a tag, a URL or a route, or choose everything.")

    @property
    def targets(self) -> dict[str, Any]:
        """The things to purge, as arguments of `Cache.purge`."""
        given = self.cleaned_data
        return {
            "tags": _lines(given.get("tags", "")),
            "urls": _lines(given.get("urls", "")),
            "routes": given.get("routes", []),
            "everything": given.get("everything", False),
        }

    @property
    def soft(self) -> bool:
        """Whether the entries count as stale, instead of being purged."""
        return bool(self.cleaned_data["way"] == "soft")

    @property
    def summary(self) -> str:
        """The things to purge, as a text for people."""
        targets = self.targets
        if targets["everything"]:
            summary = "everything"
        else:
            names = {"tags": "tag", "urls": "URL", "routes": "route"}
            summary = "; ".join(
                f"{names[kind]}{'' if len(targets[kind]) == 1 else 's'} {', '.join(targets[kind])}"
                for kind in names
                if targets[kind]
            )
        return printable(f"{summary} (soft)" if self.soft else summary)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
