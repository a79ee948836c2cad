"""What a worker process runs: the job named by its command line, on the storage of a rule.

The hook that opens the storage is found in the file that its class is written in.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.storage import Declared, Hook, Storage


def _hook(file: str, module: str, qualname: str) -> Hook:
    if module.startswith("goes_lite_conformance."):
        found: Any = importlib.import_module(module)
    else:
        spec = importlib.util.spec_from_file_location(Path(file).stem, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is not a Python module")
        found = sys.modules[Path(file).stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for name in qualname.split("."):
        found = getattr(found, name)
    hook: Hook = found()
    return hook


def _place(task: dict[str, Any]) -> Place:
    folder, name, variant = task["storage"]
    return Place(_hook(*task["hook"]), Storage(Path(folder), name, variant), "blocking", Declared(), 1)


def main() -> None:
    """Do the job named by the command line."""
    task = json.loads(sys.argv[1])
    module, name = task["job"]
    getattr(importlib.import_module(module), name)(_place(task), **task["arguments"])


if __name__ == "__main__":
    main()
