"""How commands print: lines, tables and JSON in which nothing can hide."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Group
from rich.panel import Panel

import cachemw.cli
from cachemw.cli.common.printing import PrintableConsole, echo, echo_json, make_table, make_text

EVIL = "a\x1b[2J\x9b\u202e\nb"
SHOWN = "a\\x1b[2J\\x9b\\u202e\\nb"


def drawn(*renderables: object, **options: object) -> str:
    file = io.StringIO()
    PrintableConsole(file=file, width=60, highlight=False, **options).print(*renderables)  # type: ignore[arg-type]
    return file.getvalue()


def test_each_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    echo(EVIL, "second")
    echo(EVIL, err=True)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{SHOWN}\nsecond\n", f"{SHOWN}\n")


def test_json_has_ascii_alone(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": EVIL + "\x7f"}, indent=None)
    assert capsys.readouterr().out == '{"a": "a\\u001b[2J\\u009b\\u202e\\nb\\u007f"}\n'


def test_each_cell_is_escaped_before_it_is_measured() -> None:
    lines = drawn(make_table(["x", "y"], [[EVIL, "1"], ["b", "2"]])).splitlines()
    assert SHOWN in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_each_line_of_a_text_stays_one_line() -> None:
    assert drawn(make_text(EVIL, "second")) == f"{SHOWN}\nsecond\n"


@pytest.mark.parametrize("colour", [None, "truecolor"])
def test_whatever_a_console_is_given_is_escaped(colour: str | None) -> None:
    """The guard is `PrintableConsole.render`; rich's own colours stay."""
    options = {"force_terminal": colour is not None, "color_system": colour}
    printed = drawn(EVIL, Group(Panel(EVIL), EVIL), **options)
    assert printed.count("a\\x1b[2J\\x9b\\u202e") == 3
    assert "\x1b[2J" not in printed
    assert "\x9b" not in printed


def test_no_command_prints_in_another_way() -> None:
    """So that no command can forget it."""
    raw = re.compile(
        r"\bclick\.s?echo\b|\bprint\(|sys\.std(out|err)|\bConsole\(|\bText\(|rich\.print"
    )
    folder = Path(cachemw.cli.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name == "printing.py" or path.parent.name == "demo":
            continue
        for line in path.read_text("utf-8").splitlines():
            found = raw.search(
                line.replace("console.print(", "").replace("open_console().print(", "")
            )
            assert found is None or line.lstrip().startswith("#"), f"{path.name}: {line}"
