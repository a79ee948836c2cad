"""What the commands share: how they are added to the parser, and how they open a store."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TypeAlias

import goes_lite
from goes_lite.errors import ConfigError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a command adds its parser. It sets `run` as a default: a function of the arguments and a `Terminal`."""


def number(text: str) -> int:
    """Parse an argument as an int ≥ 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number ≥ 0")
    return int(text)


def iso(time: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with microseconds."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def open_store(path: str) -> goes_lite.blocking.BlockingDatabase:
    """Open a store read-only; events are shown whether or not this program registers them."""
    if "://" in path and not path.startswith("sqlite:"):
        raise ConfigError(f"{path!r:.80} is not a file: this command reads SQLite files")
    return goes_lite.blocking.connect(path, registry=goes_lite.Registry(), unknown="raw", read_only=True)
