from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.shell_completion import ShellComplete

import cachemw
from cachemw.cli.group import group

from .running import CONFIG, Run, spawn

Write = Callable[[str], str]


def without(package: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command where a package is not installed."""
    program = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['cachemw', *{args!r}];"
        " from cachemw.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    done = without(package, "--version")
    assert done.returncode == 1
    assert done.stderr == (
        f'cachemw: the command line needs {package}: pip install "cachemw[cli]"\n'
    )


def test_without_redis_py_it_says_what_to_install(write: Write) -> None:
    path = write('redis = "redis://localhost/0"\n')
    for args in (("purge", "--everything"), ("flags",), ("stats",), ("inspect",)):
        done = without("redis", *args, "--config", path)
        assert done.returncode == 1
        assert 'pip install "cachemw[redis]"' in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_redis_py_a_configuration_can_still_be_checked(write: Write) -> None:
    path = write('redis = "redis://localhost/0"\n')
    assert without("redis", "check", path).returncode == 0


def test_the_other_commands_work_where_the_demo_cannot() -> None:
    done = without("cachemw.ops.load.client", "--help")
    assert done.returncode == 0
    assert 'pip install "cachemw[demo]"' in " ".join(done.stdout.split())
    done = without("cachemw.ops.load.client", "demo", "--django", "anything")
    assert done.returncode == 1
    assert 'pip install "cachemw[demo]"' in done.stderr


def test_importing_the_command_line_imports_no_framework_and_no_redis() -> None:
    program = (
        "import sys, cachemw.cli.group;"
        "print([name for name in ('redis', 'django', 'starlette', 'flask', 'cachemw.cli.demo')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (b"[]", b"")


def test_the_version_is_the_package_s(run: Run) -> None:
    assert run("--version").stdout == f"cachemw, version {cachemw.__version__}\n"
    assert cachemw.__version__ in spawn("--version").stdout


def test_every_command_has_help(run: Run) -> None:
    listed = run("--help").stdout
    for command in ("check", "demo", "explain", "flags", "inspect", "purge", "stats", "tags"):
        assert f"\n  {command} " in listed
        assert run(command, "--help").stdout.startswith(f"Usage: cachemw {command}")


def test_no_summary_is_cut_at_80_columns() -> None:
    width = {**os.environ, "COLUMNS": "80"}
    for commands in ((), ("rollout",), ("flags",)):
        listed = spawn(*commands, "--help", env=width).stdout.partition("Commands:")[2]
        assert listed.strip()
        assert "..." not in listed


@pytest.mark.parametrize(
    ("words", "typed", "completed"),
    [
        (("purge", "--route"), "", {"products", "orders", "mine"}),
        (("inspect", "--route"), "p", {"products"}),
        (("flags", "set"), "route:p", {"route:products="}),
        (("flags", "set"), "low=o", {"low=on", "low=off"}),
        (("flags", "set"), "nope=", set()),
        (("purge", "--route"), "x", set()),
    ],
)
def test_a_shell_completes_names(
    write: Write, words: tuple[str, ...], typed: str, completed: set[str]
) -> None:
    write(CONFIG.format(url="redis://nowhere.invalid"))
    assert set(complete(*words, typed=typed)) == completed


def test_a_broken_configuration_completes_nothing(write: Write) -> None:
    write("broken")
    assert complete("purge", "--route", typed="") == []


def complete(*words: str, typed: str) -> list[str]:
    """Return what bash would offer."""
    found = ShellComplete(group, {}, "cachemw", "_CACHEMW_COMPLETE")
    return [each.value for each in found.get_completions(list(words), typed)]
