"""Fuzz one target until told to stop: `python -m tests.properties.fuzz.one TARGET [arguments]`."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped, unused-ignore]

with atheris.instrument_imports(include=["cachemw", "http_sf"]):
    from tests.properties.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
