"""A zipapp or a frozen program has the packages without their metadata: their own URL schemes work all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import goes_lite

ROOT = Path(goes_lite.__file__).parents[1]
CODE = """
import importlib.metadata, sys
importlib.metadata.entry_points = lambda **selected: []
import goes_lite as goes
from goes_lite.database.connect import bus_factory_for, factory_for
for scheme in ("postgresql", "mongodb"):
    try:
        print(scheme, factory_for(scheme).__name__)
    except goes.errors.DriverMissing as error:
        print(scheme, "DriverMissing")
try:
    print("nats", bus_factory_for("nats").__name__)
except goes.errors.DriverMissing as error:
    print("nats", "DriverMissing")
try:
    goes.blocking.connect("postgres:///x", bus="natz://127.0.0.1")
except goes.errors.UnknownBackend as error:
    print(error)
except goes.errors.DriverMissing as error:
    print("did you mean 'nats'")
"""


def test_the_schemes_of_what_comes_with_it_are_known(tmp_path: Path) -> None:
    """A driver that is not installed is said to be missing, which is another thing than an unknown scheme."""
    path = [ROOT, ROOT / "adapters"]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(one) for one in path]!r}\n{CODE}"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] in ("postgresql PostgresBackend", "postgresql DriverMissing")
    assert lines[1] in ("mongodb MongoBackend", "mongodb DriverMissing")
    assert lines[2] in ("nats NatsCarrier", "nats DriverMissing")
    assert "did you mean 'nats'" in lines[3]
