"""What the pages list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cachemw.cli.group import group
from cachemw.engine.model.reasons import FORWARDED, NOT_KEPT
from cachemw.engine.privacy import bypass, identity_headers
from cachemw.frontdoor.asgi_scope import IDENTITY_IN_STATE

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("mark", "names"),
    [
        ("keyed", bypass.KEYED - bypass.PARTIAL),
        ("partial", bypass.PARTIAL),
        ("removed", bypass.REMOVED),
        ("bypassed", frozenset(bypass._BYPASS)),
    ],
    ids=["keyed", "partial", "removed", "bypassed"],
)
def test_privacy_lists_the_fields_of_the_screen(mark: str, names: frozenset[bytes]) -> None:
    text = (DOCS / "privacy.md").read_text(encoding="utf-8")
    listed = text.partition(f"<!-- {mark} -->")[2].partition("<!-- end -->")[0]
    assert {name.lower().encode() for name in re.findall(r"`([^`]+)`", listed)} == names


@pytest.mark.parametrize(
    ("mark", "table"),
    [("identity", identity_headers._HEADERS), ("variables", identity_headers._VARIABLES)],
    ids=["identity", "variables"],
)
def test_privacy_has_the_tables_of_who_is_asking(mark: str, table: dict[str, str]) -> None:
    text = (DOCS / "privacy.md").read_text(encoding="utf-8")
    listed = text.partition(f"<!-- {mark} -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| ([^|]+) \| (`.*`) \|$", listed, re.M)
    assert {whose: re.findall(r"`([^`]+)`", names) for whose, names in rows} == {
        whose: names.split() for whose, names in table.items()
    }


def test_privacy_names_every_place_of_outer_middleware() -> None:
    text = (DOCS / "privacy.md").read_text(encoding="utf-8")
    listed = text.partition("## Middleware outside the cache")[2].partition("\n## ")[0]
    for name in (*identity_headers.OUTER_ENVIRON, *IDENTITY_IN_STATE):
        assert f"`{name}`" in listed, name


@pytest.mark.parametrize(
    "word", sorted({*bypass._BYPASS.values(), "target", "host", "spelling", "outer-identity"})
)
def test_privacy_has_every_reason_to_bypass(word: str) -> None:
    assert f"| `{word}` |" in (DOCS / "privacy.md").read_text(encoding="utf-8")


def options() -> list[tuple[str, str]]:
    return [
        (name, parameter.opts[0])
        for name, command in group.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]


@pytest.mark.parametrize(("command", "option"), options(), ids=" ".join)
def test_operating_names_every_option(command: str, option: str) -> None:
    text = (DOCS / "operating.md").read_text(encoding="utf-8")
    assert option in text


def test_the_index_leads_to_every_page() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name in ("index.md", "README.md") or f"]({page.name})" in text, page.name


def reasons() -> str:
    """Give the table of what `fwd` says, with the detail where it says more."""
    rows = [
        f"| `fwd={reason.word}`{'' if word == reason.word else f', `detail={word}`'} | {reason.sentence} |"
        for word, reason in FORWARDED.items()
    ]
    return "\n".join(rows)


def test_the_page_on_http_has_every_reason_for_asking_the_application() -> None:
    text = (DOCS / "http-rules.md").read_text(encoding="utf-8")
    listed = text.partition("<!-- reasons: begin -->\n")[2].partition("\n<!-- reasons: end -->")[0]
    assert listed == reasons()


@pytest.mark.parametrize("word", NOT_KEPT)
def test_privacy_has_every_reason_not_to_keep(word: str) -> None:
    assert f"`{word}`" in (DOCS / "privacy.md").read_text(encoding="utf-8")
