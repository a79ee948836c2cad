"""examples/recipes/live.ipynb: all cells run in a kernel of Jupyter, and show what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from tests.recipes import recipe_kit as kit

NOTEBOOK = kit.RECIPES / "live.ipynb"
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""

pytestmark = [pytest.mark.slow, pytest.mark.once, kit.needs("nbclient", "ipykernel")]


def test_the_notebook_is_stored_without_outputs() -> None:
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_all_cells_run_and_show_what_another_process_does(tmp_path: Path) -> None:
    root = Path(goes.__file__).parents[1]
    own = {
        name: str(tmp_path / "own")
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    done = subprocess.run(
        [str(word) for word in kit.python("-c", EXECUTE, NOTEBOOK, tmp_path / "done.ipynb")], cwd=tmp_path,
        env=kit.environment(PYTHONPATH=str(root), **own), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

    cells = {cell["id"]: cell for cell in json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))["cells"]}
    with goes.blocking.connect(tmp_path / "cafe.db", registry=goes.Registry(), unknown="raw") as db:
        sold = [json.loads(event.encoded.payload) for event in db.events.query()]
    assert len(sold) == 51
    kinds = [one["kind"] for one in sold[:50]]
    (picture,) = [output for output in cells["live"]["outputs"] if output["output_type"] == "display_data"]
    drawn = re.findall(r">(\w+)</text><rect[^>]*/><text[^>]*>(\d+)<", "".join(picture["data"]["image/svg+xml"]))
    assert {name: int(count) for name, count in drawn} == {kind: kinds.count(kind) for kind in kinds}
    takings = sum(one["cents"] for one in sold[:50] if one["kind"] == "espresso")
    assert "".join(cells["ask"]["outputs"][0]["text"]) == (
        f"{kinds.count('espresso')} espressos, {takings / 100:.2f} €\n"
    )
    assert "".join(cells["background"]["outputs"][0]["data"]["text/plain"]) == "True"
