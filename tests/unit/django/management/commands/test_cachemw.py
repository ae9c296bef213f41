"""`manage.py cachemw`: the command line, with the configuration of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cachemw
from cachemw import Cache

Manage = Callable[..., subprocess.CompletedProcess[str]]
Aged = Callable[[str], None]

SETTINGS = """
INSTALLED_APPS = ["cachemw.django"]
SECRET_KEY = "nothing is signed"
USE_TZ = True
"""
ROUTES = [{"name": "things", "path": "/things", "ttl": "1h", "tags": ["thing"]}]
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_settings")
execute_from_command_line(sys.argv)
"""


def config(**changes: object) -> dict[str, object]:
    return {"namespace": "managed", "routes": ROUTES, **changes}


@pytest.fixture
def manage(tmp_path: Path) -> Manage:
    """Give the function that writes CACHEMW into a project's settings and runs its `manage.py`."""
    (tmp_path / "manage.py").write_text(MANAGE, encoding="utf-8")
    own = {name: text for name, text in os.environ.items() if not name.startswith("CACHEMW_")}
    own["PYTHONPATH"] = str(Path(cachemw.__file__).parents[1])

    def run(
        *arguments: str, setting: object, code: int = 0, program: str = "manage.py"
    ) -> subprocess.CompletedProcess[str]:
        text = SETTINGS if setting is None else f"{SETTINGS}CACHEMW = {setting!r}\n"
        (tmp_path / "shop_settings.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", program, *arguments],
            cwd=tmp_path,
            env=own,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_it_purges_in_the_fleet_that_the_settings_name(
    manage: Manage, redis_url: str, age_log: Aged
) -> None:
    age_log("managed")
    there = config(redis=redis_url)
    done = manage("cachemw", "purge", "--tag", "thing", setting=there)
    assert done.stdout == (
        "Purged. Confirmed: no process is running, and each that starts will apply it.\n"
        "It touched 0 entries in Redis, 0 bytes.\n"
    )


def test_it_has_every_command_and_their_help(manage: Manage) -> None:
    listed = manage("cachemw", "--help", setting=config()).stdout
    assert listed.startswith("Usage: manage.py cachemw [OPTIONS] COMMAND")
    for command in ("check", "explain", "flags", "inspect", "purge", "stats", "tags"):
        assert f"\n  {command} " in listed
    own = manage("cachemw", "purge", "--help", setting=config()).stdout
    assert own.startswith("Usage: manage.py cachemw purge [OPTIONS]")


@pytest.mark.thorough
def test_flags_are_set_through_the_settings_too(
    manage: Manage, redis_url: str, age_log: Aged
) -> None:
    age_log("managed")
    there = config(redis=redis_url)
    manage("cachemw", "flags", "set", "route:things=off", setting=there)
    (line,) = (
        line
        for line in manage("cachemw", "flags", setting=there).stdout.splitlines()
        if "route:things" in line
    )
    assert line.split("│")[2:5] == [" on         ", " off  ", " off       "]


def test_check_says_what_is_personal_by_default_and_how_to_take_it_back(manage: Manage) -> None:
    route = {"name": "p", "path": "/p", "ttl": "1s"}
    reading = {"name": "q", "path": "/q", "ttl": "1s", "cookies": []}
    note = "By default, a request with sessionid bypasses on p."
    said = manage("cachemw", "check", setting=config(routes=[route, reading])).stdout
    assert note in " ".join(said.split())
    taken_back = config(routes=[route, reading], personal_cookies=[])
    assert "By default" not in manage("cachemw", "check", setting=taken_back).stdout


@pytest.mark.thorough
def test_a_file_that_the_command_line_names_wins(manage: Manage, tmp_path: Path) -> None:
    """Fails when `chosen` asks the settings first."""
    (tmp_path / "other.toml").write_text('namespace = "other"\n', encoding="utf-8")
    assert "Namespace managed" in manage("cachemw", "check", setting=config()).stdout
    named = manage("cachemw", "check", "other.toml", setting=config())
    assert named.stdout.startswith("other.toml: no mistakes. Namespace other")
    done = manage("cachemw", "purge", "--everything", "--config", "other.toml", setting=7, code=1)
    assert "has no `redis` setting" in done.stderr


@pytest.mark.thorough
def test_a_file_that_lies_about_does_not_count(manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "cachemw.toml").write_text('namespace = "other"\n', encoding="utf-8")
    done = manage("cachemw", "check", setting=config())
    assert done.stdout.startswith("settings.CACHEMW: no mistakes. Namespace managed")


@pytest.mark.thorough
def test_a_setting_that_names_a_file_is_read(manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('namespace = "mine"\n', encoding="utf-8")
    assert "Namespace mine" in manage("cachemw", "check", setting="mine.toml").stdout


def test_a_project_without_the_setting_is_told(manage: Manage) -> None:
    done = manage("cachemw", "check", setting=None, code=1)
    assert done.stderr == (
        "cachemw: cachemw.django needs the setting CACHEMW: a dict, or the path of a TOML file\n"
    )


@pytest.mark.thorough
def test_every_mistake_in_the_setting_is_a_line(manage: Manage) -> None:
    wrong = {"namspace": "a", "routes": [{"path": "a", "ttl": "1m"}]}
    done = manage("cachemw", "purge", "--everything", setting=wrong, code=1)
    first, second = done.stderr.splitlines()
    assert first.startswith("settings.CACHEMW: namspace: ")
    assert second.startswith("settings.CACHEMW: routes[0].path: ")
    document = json.loads(manage("cachemw", "check", "--json", setting=wrong, code=1).stdout)
    assert [each["path"] for each in document["problems"]] == ["namspace", "routes[0].path"]


@pytest.mark.thorough
def test_exit_codes_are_the_command_line_s(manage: Manage) -> None:
    down = config(redis="redis://127.0.0.1:1/0")
    assert (
        "cannot be reached"
        in manage("cachemw", "purge", "--everything", setting=down, code=1).stderr
    )
    assert "--everything" in manage("cachemw", "purge", setting=down, code=2).stderr


@pytest.mark.thorough
def test_settings_may_be_named_behind_the_arguments_as_for_every_command(manage: Manage) -> None:
    """Fails when what `manage.py` has read already is handed on."""
    done = manage(
        *("cachemw", "check", "--settings", "shop_settings", "--pythonpath=."), setting=config()
    )
    assert "Namespace managed" in done.stdout


@pytest.mark.thorough
def test_without_the_extra_it_says_what_to_install(manage: Manage, tmp_path: Path) -> None:
    program = f"import sys\nsys.modules['click'] = None\n{MANAGE}"
    (tmp_path / "bare.py").write_text(program, encoding="utf-8")
    done = manage("cachemw", "check", setting=config(), code=1, program="bare.py")
    assert done.stderr == 'cachemw: the command line needs click: pip install "cachemw[cli]"\n'


CALLS = """
import io
import django
from django.core.management import CommandError, call_command
django.setup()
out = io.StringIO()
call_command("cachemw", "check", "--json", stdout=out)
assert '"namespace": "managed"' in out.getvalue(), out.getvalue()
err = io.StringIO()
try:
    call_command("cachemw", "purge", "--everything", stderr=err)
except CommandError as error:
    assert error.returncode == 1
    assert "has no `redis` setting" in err.getvalue()
else:
    raise AssertionError("an error was not told")
"""


def test_call_command_writes_where_it_is_told_and_raises(manage: Manage, tmp_path: Path) -> None:
    called = f"import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop_settings'\n{CALLS}"
    (tmp_path / "called.py").write_text(called, encoding="utf-8")
    manage(setting=config(), program="called.py")


def test_a_process_that_follows_hears_of_it(manage: Manage, redis_url: str, age_log: Aged) -> None:
    age_log("managed")
    there = config(redis=redis_url)
    cache = Cache.from_dict(there)
    try:
        cache.inspection.wait_for_log()
        done = manage("cachemw", "purge", "--everything", "--soft", setting=there)
        assert done.stdout.startswith("Purged softly. Confirmed by 1 process.\n")
    finally:
        cache.close()
