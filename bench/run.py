"""Measure the speed budgets: `python bench/run.py [NAME …] [--driver apsw] [--repeat 5] [--json FILE]`.

Each row compares goes_lite with its limit: the same rows by the bare driver, in the same tables, at equal durability,
alternating, on fresh stores, in one run. `growth` measures cost by the length of the log instead. With a `--url` it
measures that backend, without a limit, in stores next to the one that the URL names.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "conformance")]

WITHOUT = "--without-msgspec"
if WITHOUT in sys.argv:  # before anything of goes_lite is imported
    sys.modules["msgspec"] = None  # type: ignore[assignment]

from bench import commands, growth, limits, project  # noqa: E402
from bench.place import Bench  # noqa: E402
from bench.table import HEADER, Row, Series, compare, machine, save, series_header  # noqa: E402

Measured = Sequence[Row | Series]


def measurements(bench: Bench) -> dict[str, Callable[[], Measured]]:
    """Return the measurements by name."""
    found: dict[str, Callable[[], Measured]] = {**limits.measurements(bench)}
    if not bench.url:
        found["project"] = partial(project.measure, bench)
        found["commands"] = partial(commands.measure, bench)
        found["growth"] = partial(growth.grow, bench, growth.sizes(bench.scale))
    return found


def main() -> int:
    """Measure, and print row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names: list[str] = [*measurements(Bench(Path(), "apsw", 1))]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of: {', '.join(names)}; all but growth by default"
    )
    parser.add_argument("--driver", default="", choices=["apsw", "sqlite3"], help="default: apsw, if it is installed")
    parser.add_argument(
        "--url", default="", help="measure the backend of this URL, in stores next to the one that it names"
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the amount of work")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every repeat")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="print the changes since that file was written")
    parser.add_argument(WITHOUT, action="store_true", help="with the codec of the standard library")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    driver = arguments.driver or ("apsw" if importlib.util.find_spec("apsw") else "sqlite3")
    codec = "the standard library's JSON" if arguments.without_msgspec else "JSON"
    title = f"{arguments.url.partition(':')[0] or driver}, {codec}"
    kept: list[Any] = []
    print(f"{title}: {machine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), driver, arguments.repeat, arguments.scale, arguments.url)
        headed: str = ""
        for name, measure in measurements(bench).items():
            if name not in (arguments.names or set(names) - {"growth"}):
                continue
            for row in measure():
                header = HEADER if isinstance(row, Row) else series_header(row.values)
                if header != headed:
                    print(f"\n{header}")
                    headed = header
                print(row, flush=True)
                kept.append(row)
    if arguments.compare:
        print("", *compare(kept, arguments.compare), sep="\n")
    if arguments.json:
        save(arguments.json, title, kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
