"""What `import goes_lite` provides and costs: its public names, and only the modules that it needs."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

import goes_lite


def in_new_interpreter(code: str) -> list[str]:
    """Run code in a new interpreter, with warnings as errors, and return the printed lines."""
    command = [sys.executable, "-P", "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120)
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout.splitlines()


USED = "from goes_lite import Aggregate, Database, Event, Registry, connect, event"


def test_importing_the_package_alone_loads_none_of_its_modules() -> None:
    assert in_new_interpreter(
        "import sys, goes_lite; print(*[n for n in sys.modules if n.startswith('goes_lite')])"
    ) == ["goes_lite"]


def test_a_name_is_looked_up_once_and_an_unknown_one_is_refused() -> None:
    found = goes_lite.Event
    assert vars(goes_lite)["Event"] is found
    assert {*goes_lite.__all__} <= {*dir(goes_lite)}
    with pytest.raises(AttributeError, match="has no attribute 'Evnet'"):
        _ = goes_lite.Evnet  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that importing what every program uses adds to those of a new interpreter."""
    code = f"import sys; before = set(sys.modules); {USED}; print(*sys.modules.keys() - before, sep='\\n')"
    return set(in_new_interpreter(code))


@pytest.mark.parametrize("name", goes_lite.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(goes_lite, name) is not None


def test_public_names_are_listed_once() -> None:
    twice = [name for name, count in Counter(goes_lite.__all__).items() if count > 1]

    assert twice == []


def test_import_star_gives_the_public_names_and_nothing_else() -> None:
    names = in_new_interpreter(
        "before = set(globals()); from goes_lite import *; print(*set(globals()) - before - {'before'}, sep='\\n')"
    )

    assert set(names) == set(goes_lite.__all__)


def test_no_public_name_is_forgotten() -> None:
    """Everything of ours in the package without a leading underscore is public and must be listed."""
    ours = {name for name, value in vars(goes_lite).items() if getattr(value, "__module__", "").startswith("goes_lite")}

    assert {name for name in ours if not name.startswith("_")} - set(goes_lite.__all__) == set()


def test_import_needs_the_standard_library_only(imported: set[str]) -> None:
    foreign = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"goes_lite"}

    assert foreign == set()


@pytest.mark.parametrize(
    "module", ["asyncio", "logging", "sqlite3", "importlib.metadata", "concurrent.futures", "goes_lite.testing"]
)
def test_import_leaves_out_what_only_some_programs_need(module: str, imported: set[str]) -> None:
    """They are imported where they are used: a blocking program needs no asyncio, a store in memory no sqlite3."""
    assert module not in imported


@pytest.mark.parametrize("module", ["asyncio", "inspect", "concurrent.futures"])
def test_the_blocking_face_leaves_out_what_only_loops_need(module: str) -> None:
    [loaded] = in_new_interpreter(f"import sys, goes_lite.blocking; print({module!r} in sys.modules)")

    assert loaded == "False"


def test_import_starts_nothing() -> None:
    [threads] = in_new_interpreter(f"import threading; {USED}; print(threading.active_count())")

    assert threads == "1"


def test_it_can_be_imported_without_site_packages() -> None:
    """As with `python -S`, which some embedders and tools use."""
    parent = goes_lite.__path__[0].removesuffix("goes_lite")
    code = f"import sys; sys.path.insert(0, {parent!r}); import goes_lite; print(goes_lite.__name__)"
    command = [sys.executable, "-S", "-P", "-W", "error", "-c", code]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "goes_lite", "")
