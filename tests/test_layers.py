"""The layers: which package may import which. See docs/architecture.md.

Every import counts, including those inside functions and those for type checkers only: people who read the code depend on
types, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = ["goes_lite_postgres", "goes_lite_mongo", "goes_lite_nats"]
ROOTS = {
    "goes_lite": ROOT,
    "goes_lite_conformance": ROOT / "conformance",
    **dict.fromkeys(ADAPTERS, ROOT / "adapters"),
}

pytestmark = pytest.mark.skipif(
    not (ROOT / "goes_lite").is_dir(), reason="the sources are not here: a built package is tested"
)

GROUND = ["errors", "runtime", "codec"]
CONTRACT = [*GROUND, "events", "contract"]
FEATURES = ["aggregate", "repository", "commands", "processor", "projection", "operations", "workflow", "schema"]
BACKEND = [*CONTRACT, "kit"]

MAY_IMPORT: dict[str, list[str]] = {
    # storey 1: errors, waiting, bytes
    "errors": [],
    "runtime": ["errors"],
    "codec": ["errors"],
    # storey 2: what is recorded
    "events": ["errors", "codec"],
    # storey 3: the protocols
    "contract": ["errors", "runtime", "codec", "events"],
    # storey 4: features on the left, backends on the right
    "aggregate": CONTRACT,
    "processor": CONTRACT,
    "repository": [*CONTRACT, "aggregate"],
    "projection": [*CONTRACT, "processor"],
    "commands": [*CONTRACT, "aggregate", "repository"],
    "operations": [*CONTRACT, "aggregate", "repository"],
    "workflow": [*CONTRACT, "aggregate", "repository", "commands", "processor"],
    "schema": ["errors", "codec", "events"],
    "kit": CONTRACT,
    "sqlite": BACKEND,
    **dict.fromkeys(ADAPTERS, BACKEND),
    # storey 5: what connect() returns
    "database": [*CONTRACT, *FEATURES, "sqlite"],
    # storey 6: the same without await
    "blocking": [*CONTRACT, *FEATURES, "database"],
    # storey 7: what people start, and what they import
    "explorer": [*CONTRACT, *FEATURES, "database", "blocking"],
    "testing": ["*"],
    "cli": ["*"],
    "__main__": ["*"],
    "__init__": ["*"],
}
"""In addition to itself. Imports from `goes_lite` itself count as storey 7."""

ONE_FUNCTION = {("database", "sqlite"): "database/connect.py"}
"""Imports that only one file may have: the scheme of the embedded backend is known without an entry point."""


def _modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for package, root in ROOTS.items():
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _module(name: str) -> str | None:
    """Return the module that defines a dotted name, or None if it is not ours."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def _imports(module: str) -> Iterator[str]:
    """Return the modules that a module imports, at any place."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import: write the whole name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            target = _module(name)
            # A package is loaded before its modules, so an import from inside it is not a dependency.
            if target and target != module and not module.startswith(f"{target}."):
                yield target


def _room(module: str) -> str:
    """Return the package of the table to which a module belongs."""
    top, _, rest = module.partition(".")
    return (rest.partition(".")[0] or "__init__") if top == "goes_lite" else top


@cache
def imports() -> dict[str, list[str]]:
    """Return the imports of every module; not when this file is imported, which every process of a run does."""
    return {module: sorted(set(_imports(module))) for module in MODULES}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_package_imports_from_its_own_and_lower_storeys(room: str) -> None:
    allowed = {room, *MAY_IMPORT[room]}
    if "*" in allowed:
        return
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if _room(module) == room and _room(target) not in allowed
    }
    assert not _sorted(wrong)


def test_every_package_has_a_storey() -> None:
    rooms = {_room(module) for module in MODULES} - {"goes_lite_conformance"}
    assert rooms == set(MAY_IMPORT)


def test_an_import_of_one_file_is_that_file_s_alone() -> None:
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if (file := ONE_FUNCTION.get((_room(module), _room(target)))) and not MODULES[module].as_posix().endswith(file)
    }
    assert not _sorted(wrong)


def test_a_private_module_is_private_to_its_folder() -> None:
    wrong = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if target.rpartition(".")[2].startswith("_") and MODULES[module].parent != MODULES[target].parent
    }
    assert not _sorted(wrong)


def test_no_files_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


def _sorted(wrong: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(f"{module} imports {target}" for module, target in wrong)


def test_a_module_is_no_longer_than_one_concept_needs() -> None:
    """400 lines at most: a longer one has two concepts, and each deserves a file."""
    long = {module: count for module, path in MODULES.items() if (count := _lines(path)) > 400}
    assert not long


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
