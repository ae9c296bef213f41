"""A configuration, a running site that has it, and a way to run commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachemw.cli.group import group
from tests.support.waiting import until

from .running import CONFIG, Run, Site


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run every test in an empty folder, without the developer's own settings."""
    for name in (
        "REDIS",
        "NAMESPACE",
        "SECRET",
        "DIGEST_SECRET",
        "ENDPOINT_TOKEN",
        "FLAGS",
        "FLAGS_FILE",
        "FLAGS_MIRROR",
        "KILL",
        "CONFIG",
        "MEMORY_MAX_SIZE",
        "COMPONENT",
        "WEBHOOK",
    ):
        monkeypatch.delenv(f"CACHEMW_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(sys, "path", sys.path.copy())  # `check` adds the folder to it


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Give the function that writes `cachemw.toml`."""

    def write(text: str) -> str:
        path = tmp_path / "cachemw.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def fleet_file(redis_url: str, write: Callable[[str], str], age_log: Callable[[str], None]) -> str:
    """Give the path of a configuration with Redis, and the log of a fleet that is not new."""
    age_log("cli")
    return write(CONFIG.format(url=redis_url))


@pytest.fixture
def site(fleet_file: str) -> Iterator[Site]:
    """Yield a site that follows the log."""
    site = Site(fleet_file)
    site.cache.start()
    until(lambda: site.cache.log.live)
    yield site
    site.cache.close()


@pytest.fixture
def run() -> Run:
    """Give the function that runs a command in this process."""

    def run(*args: str, code: int = 0) -> Result:
        result = CliRunner().invoke(group, args, prog_name="cachemw")
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run
