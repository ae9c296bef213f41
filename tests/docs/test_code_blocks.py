"""What the documentation shows is run: Python, configurations, and the command lines.

A page's Python blocks run in order in one process of their own, so that frameworks can be
configured there, and a failure names the page's own line. The page's first configuration is there
as `cachemw.toml`. A comment before a block changes that:

    <!-- needs: django redis -->     run the page only where these packages are installed
    <!-- not run: why -->            leave this block out
    <!-- same as: file -->           leave it out, the file is run (tests/system/real)
    <!-- flags of: routes -->        a file of flags, for routes of these names
    <!-- plan of: rollout -->        a plan of a rollout
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from cachemw.config import Config, config_from
from cachemw.config.rollout_plan import plan_from
from cachemw.rollout.flags.files import read_flags

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("README.md")])
TESTED_ELSEWHERE = {"configuration.md"}
"""Pages whose configurations tests/unit/config loads."""

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>needs|not run|same as|flags of|plan of): (?P<words>[^\n]+) -->\n)?"
    r"```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    page: Path
    line: int
    """Of the first line of code."""
    language: str
    code: str
    mark: str
    words: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        mark, words = found["mark"] or "", found["words"] or ""
        yield Block(page, line, found["language"], found["code"], mark, words)


ALL = [block for page in PAGES for block in blocks(page)]


def of(language: str) -> list[Block]:
    return [block for block in ALL if block.language == language and block.mark in ("", "needs")]


def needs(page: Path) -> set[str]:
    found = (block.words.split() for block in blocks(page) if block.mark == "needs")
    return {word for words in found for word in words}


def script(page: Path) -> str:
    """Put a page's Python blocks on their own lines, so that tracebacks name them."""
    lines: list[str] = []
    for block in of("python"):
        if block.page == page:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


LONG = {"testing.md"}
"""Pages whose Python takes long: it starts many servers, and lets them fail."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.thorough] if page.name in LONG else [])
        for page in PAGES
    ],
    ids=[page.name for page in PAGES],
)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    code = script(page)
    if not code.strip():
        return
    for package in sorted(needs(page)):
        if find_spec(package) is None:
            pytest.skip(f"{page.name} needs {package}")
    for block in [block for block in of("toml") if block.page == page][:1]:
        (tmp_path / "cachemw.toml").write_text(block.code, encoding="utf-8")
    copy = tmp_path / f"{page.stem}.py"
    copy.write_text(code, encoding="utf-8")
    own = {name: text for name, text in os.environ.items() if not name.startswith("CACHEMW_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(copy)],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


CONFIGURATIONS = [
    *(block for block in of("toml") if block.page.name not in TESTED_ELSEWHERE),
    *(block for block in ALL if block.mark == "same as" and block.language == "toml"),
]


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_configuration_that_is_shown_loads(block: Block) -> None:
    assert isinstance(config_from(tomllib.loads(block.code), environ={}), Config)


@pytest.mark.parametrize("block", [block for block in ALL if block.mark == "same as"], ids=str)
def test_a_block_is_the_file_that_it_names(block: Block) -> None:
    assert (ROOT / block.words).read_text(encoding="utf-8").strip() == block.code.strip()


@pytest.mark.parametrize("block", [block for block in ALL if block.mark == "flags of"], ids=str)
def test_a_file_of_flags_that_is_shown_is_right(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "flags.toml"
    path.write_text(block.code, encoding="utf-8")
    assert read_flags(str(path), block.words.split())


@pytest.mark.parametrize("block", [block for block in ALL if block.mark == "plan of"], ids=str)
def test_a_plan_that_is_shown_is_one(block: Block) -> None:
    assert plan_from(tomllib.loads(block.code))


COMMANDS = [
    (block, line[2:])
    for block in of("console")
    for line in block.code.splitlines()
    if re.match(r"\$ (\w+=\S* )*cachemw ", line)
]


@pytest.mark.parametrize(
    ("block", "line"), COMMANDS, ids=[f"{block.page.name}: {line}" for block, line in COMMANDS]
)
def test_a_command_that_is_shown_is_one(block: Block, line: str) -> None:
    words = shlex.split(line, comments=True)
    arguments = words[words.index("cachemw") + 1 :]
    assert understood(arguments)


def understood(arguments: list[str]) -> bool:
    """Parse a command line as `cachemw` would, without running it; raises click's exceptions."""
    from cachemw.cli.group import group

    command: click.Command = group
    parent = None
    while True:
        context = command.make_context(command.name, list(arguments), parent=parent)
        rest = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not rest:
            return True
        _, found, arguments = command.resolve_command(context, rest)
        assert found is not None
        command, parent = found, context


def test_a_command_that_is_none_is_not_understood() -> None:
    for line in ("purge --tags a", "flush", "flags set --now low=on"):
        with pytest.raises(click.UsageError):
            understood(line.split())


def test_the_pages_have_blocks_of_every_kind() -> None:
    assert {"python", "toml", "console"} <= {block.language for block in ALL}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", text):
        path, _, section = target.partition("#")
        linked = page.parent / path
        assert linked.exists(), target
        if section:
            assert section in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Give the sections of a page as links name them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
