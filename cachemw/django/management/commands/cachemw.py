"""`manage.py cachemw`: the command line of cachemw, with the configuration of `settings.CACHEMW`.

python manage.py cachemw check
python manage.py cachemw purge --tag product:1
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cachemw.cli import Source, main
from cachemw.django.registry import default_notes, get_config

__all__ = ["Command"]


class Command(BaseCommand):
    """The command: passes its arguments on to the command line `cachemw`, which has options and help."""

    help = "Check, inspect, purge, switch and watch the cache of all processes that share a Redis."
    requires_system_checks = ()

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Run the command for `manage.py`, and end the process with its exit status."""
        _run(_without_django_options(argv[2:]), f"{os.path.basename(argv[0])} {argv[1]}")

    def add_arguments(self, parser: CommandParser) -> None:
        """Accept all arguments, for `call_command`."""
        parser.add_argument("args", nargs=argparse.REMAINDER)

    def handle(self, *args: str, **options: Any) -> None:
        """Run the command for `call_command("cachemw", "purge", "--tag", "product:1")`.

        Raises CommandError where the command fails.
        """
        out: Any = self.stdout
        err: Any = self.stderr
        out.ending = err.ending = ""  # the output has its own line ends
        try:
            with redirect_stdout(out), redirect_stderr(err):
                _run(args, "manage.py cachemw")
        except SystemExit as done:
            if isinstance(done.code, str):
                raise CommandError(done.code) from done
            if done.code:
                raise CommandError("the command failed", returncode=done.code) from done


def _run(arguments: Sequence[str], program: str) -> NoReturn:
    try:
        main(
            arguments, program=program, source=Source("settings.CACHEMW", get_config, default_notes)
        )
    except ImproperlyConfigured as error:
        sys.exit(f"cachemw: {error}")


def _without_django_options(arguments: Sequence[str]) -> list[str]:
    """Remove the options that `manage.py` reads itself and accepts for every command."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    return parser.parse_known_args(arguments)[1]
