"""What the scripts share: their options, how a scenario is timed, and the line that tells what it found."""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Unsupported(Exception):
    """The library has no way to do this."""


class Task(NamedTuple):
    """What a scenario is asked to do."""

    events: int
    note: str
    """The payload's text."""
    path: Path
    """A place for a store, where nothing is yet."""
    relaxed: bool
    """Whether a commit does not wait for the disk."""
    writers: int


def rate(count: int, work: Callable[[], object]) -> dict[str, float]:
    """Return how many per second the work does, after a garbage collection."""
    gc.collect()
    began = time.perf_counter()
    work()
    return {"events_per_s": count / (time.perf_counter() - began)}


def median(seconds: list[float]) -> dict[str, float]:
    """Return the median of latencies in milliseconds."""
    return {"p50_ms": 1000 * statistics.median(seconds)}


def main(scenarios: Mapping[str, Callable[[Task], dict[str, float]]]) -> None:
    """Run the scenario that the arguments name, and print what it found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--backend", default="sqlite")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--payload", type=int, default=60)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--dir", default="", help="the folder of the stores; by default that of temporary files")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=str(arguments.dir) or None))
    relaxed = str(arguments.backend).endswith("normal")
    note = "x" * int(arguments.payload)
    task = Task(int(arguments.n), note, folder / "store", relaxed, int(arguments.writers))
    found: dict[str, object]
    try:
        if arguments.scenario not in scenarios:
            raise Unsupported("it has nothing to compare with this")
        found = dict(scenarios[arguments.scenario](task))
    except Unsupported as exc:
        found = {"unsupported": str(exc)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found), flush=True)
