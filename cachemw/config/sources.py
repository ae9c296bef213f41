"""The sources of a configuration: a TOML file, a mapping, Django's settings, environment variables.

Environment variables replace what the other sources say. A mistake in one is reported under the name of
the variable.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cachemw.config.model import Config
from cachemw.config.syntax.decode import table
from cachemw.config.syntax.messages import key, show
from cachemw.errors import ConfigError, Problem

__all__ = [
    "VARIABLES",
    "config_from",
    "config_from_django",
    "load_config",
    "parse_toml",
    "read_toml",
]

Environment = Mapping[str, str]
Document = dict[str, Any]

_NOT_KILLED = ("", "0", "false", "no", "off")
_ITEM = re.compile(r"([\w.]+)(\[\d+\])", re.ASCII)
_POSITION = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)


def load_config(path: str | os.PathLike[str], *, environ: Environment | None = None) -> Config:
    """Read a TOML file. Raises ConfigError, also if the file cannot be read."""
    return config_from(read_toml(path), source=os.fspath(path), environ=environ)


def config_from(
    mapping: Mapping[str, Any],
    *,
    source: str = "configuration",
    environ: Environment | None = None,
) -> Config:
    """Return the configuration in a mapping with the keys of a file.

    `source` names it in messages. Raises ConfigError with every mistake in it.
    """
    overlay = _Overlay(mapping, os.environ if environ is None else environ)
    try:
        config = table(Config)(overlay.document)
    except ConfigError as error:
        problems = overlay.problems + [overlay.renamed(each) for each in error.problems]
    except ValueError as error:
        problems = [*overlay.problems, Problem("", str(error))]
    else:
        if not overlay.problems:
            return config
        problems = overlay.problems
    raise ConfigError(problems, source) from None


def config_from_django(value: object, *, environ: Environment | None = None) -> Config:
    """Read Django's `CACHEMW` setting: a dict, or the path of a TOML file."""
    if isinstance(value, (str, os.PathLike)):
        return load_config(value, environ=environ)
    if isinstance(value, Mapping):
        return config_from(value, source="settings.CACHEMW", environ=environ)
    message = f"expected a dict, or the path of a TOML file, got {show(value)}"
    raise ConfigError([Problem("CACHEMW", message)], "settings")


def read_toml(path: str | os.PathLike[str]) -> Document:
    """Return what a TOML file contains, unchecked. Raises ConfigError if it cannot be read."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}")
        raise ConfigError([problem], os.fspath(path)) from None
    return parse_toml(data, os.fspath(path))


def parse_toml(data: bytes, source: str) -> Document:
    """Return what the bytes of a TOML file contain. Raises ConfigError if they are not TOML."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = Problem(f"byte {error.start}", "not UTF-8: save the file in UTF-8")
    except ValueError as error:  # a syntax error, or an integer with thousands of digits
        problem = _syntax_problem(str(error))
    except RecursionError:
        problem = _syntax_problem("nested too deeply")
    raise ConfigError([problem], source)


def _syntax_problem(message: str) -> Problem:
    if found := _POSITION.fullmatch(message):
        return Problem(f"line {found[2]}, column {found[3]}", f"not valid TOML: {found[1]}")
    return Problem("", f"not valid TOML: {message}")


class _Overlay:
    """A document in which environment variables replace values, and which variable set which value."""

    def __init__(self, mapping: Mapping[str, Any], environ: Environment) -> None:
        self.document: Any = dict(mapping) if isinstance(mapping, Mapping) else mapping
        self.problems: list[Problem] = []
        self._variables: dict[str, str] = {}
        if isinstance(mapping, Mapping):
            for variable, apply in VARIABLES.items():
                if environ.get(variable):
                    apply(self, variable, environ[variable])

    def renamed(self, problem: Problem) -> Problem:
        """Return the problem with the name of a variable as its path, if a variable set the value."""
        path, item = problem.path, ""
        if found := _ITEM.fullmatch(path):
            path, item = found.groups()
        return Problem(self._variables.get(path, path) + item, problem.message)

    def put(self, variable: str, value: object, name: str, *, inside: str = "") -> None:
        """Set a key, in the table `inside` if one is named.

        If `inside` is not a table, nothing is set: the decoder reports it.
        """
        target = self.document
        if inside:
            inner = target.get(inside, {})
            if not isinstance(inner, Mapping):
                return
            target[inside] = target = dict(inner)
        target[name] = value
        self._variables[f"{inside}.{key(name)}" if inside else name] = variable


def _put(
    name: str, *, inside: str = "", read: Callable[[str], object] = str
) -> Callable[[_Overlay, str, str], None]:
    return lambda overlay, variable, text: overlay.put(variable, read(text), name, inside=inside)


def _put_redis(overlay: _Overlay, variable: str, text: str) -> None:
    in_table = isinstance(overlay.document.get("redis"), Mapping)
    if in_table:
        overlay.put(variable, text, "url", inside="redis")
    else:
        overlay.put(variable, text, "redis")


def _put_flags(overlay: _Overlay, variable: str, text: str) -> None:
    for piece in filter(None, (each.strip() for each in text.split(","))):
        name, _, flag = (part.strip() for part in piece.partition("="))
        route = name.removeprefix("route:")
        if not route or not flag:
            message = f"expected flags such as low=off or route:NAME=off, got {show(piece)}"
            overlay.problems.append(Problem(variable, message))
        else:
            inside = "flags" if route == name else "route_flags"
            overlay.put(variable, flag, route, inside=inside)


def _put_kill(overlay: _Overlay, variable: str, text: str) -> None:
    # The variable can only turn the cache off, never on again. A value that is not understood turns
    # it off too, because off is the safe side (I6).
    if text.strip().lower() not in _NOT_KILLED:
        overlay.put(variable, True, "kill")


def _number_or_text(text: str) -> int | str:
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) else text


def _one_or_several(text: str) -> str | list[str]:
    parts = [part.strip() for part in text.split(",")]
    return parts if len(parts) > 1 else text


VARIABLES: dict[str, Callable[[_Overlay, str, str], None]] = {
    "CACHEMW_REDIS": _put_redis,
    "CACHEMW_NAMESPACE": _put("namespace"),
    "CACHEMW_SECRET": _put("secret", read=_one_or_several),
    "CACHEMW_DIGEST_SECRET": _put("digest_secret"),
    "CACHEMW_ENDPOINT_TOKEN": _put("token", inside="endpoint", read=_one_or_several),
    "CACHEMW_MEMORY_MAX_SIZE": _put("max_size", inside="memory", read=_number_or_text),
    "CACHEMW_COMPONENT": _put("component"),
    "CACHEMW_WEBHOOK": _put("webhook", inside="rollout"),
    "CACHEMW_FLAGS": _put_flags,
    "CACHEMW_FLAGS_FILE": _put("flags_file"),
    "CACHEMW_FLAGS_MIRROR": _put("flags_mirror"),
    "CACHEMW_KILL": _put_kill,
}
