"""examples/recipes/tasks.py: a command line program with undo, as a person runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import example_kit
from tests.recipes import recipe_kit as kit

pytestmark = [pytest.mark.slow, pytest.mark.once, kit.needs("typer")]


def tasks(folder: Path, *arguments: object, code: int = 0) -> str:
    """Run the program, in a folder that does not exist at first, and return what it prints."""
    done = subprocess.run(
        [str(word) for word in kit.python("-W", "error", kit.RECIPES / "tasks.py", *arguments)],
        env=kit.environment(TASKS_FILE=str(folder / "data" / "tasks.db"), COLUMNS="100"),
        capture_output=True, encoding="utf-8", check=False, timeout=kit.PATIENCE,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return "\n".join(line.rstrip() for line in (done.stdout if code == 0 else done.stderr).splitlines())


def test_a_session(tmp_path: Path) -> None:
    """Each call is a process of its own, so undo works after the program has ended."""
    assert tasks(tmp_path, "list") == "nothing to do"
    assert tasks(tmp_path, "add", "buy tea", "wash the [red]cups") == " 1  ·  buy tea\n 2  ·  wash the [red]cups"
    assert tasks(tmp_path, "done", 1) == " 1  ✓  buy tea\n 2  ·  wash the [red]cups"
    assert tasks(tmp_path, "clear") == " 2  ·  wash the [red]cups"
    assert tasks(tmp_path, "undo", 2) == " 1  ·  buy tea\n 2  ·  wash the [red]cups"
    assert tasks(tmp_path, "redo") == " 1  ✓  buy tea\n 2  ·  wash the [red]cups"
    assert tasks(tmp_path, "list", "--at", 3) == " 2  ·  wash the [red]cups"
    assert json.loads(tasks(tmp_path, "list", "--output", "json"))[0] == {"number": 1, "text": "buy tea", "done": True}
    history = [line.split() for line in tasks(tmp_path, "history").splitlines()]
    assert [words[3:5] for words in history[4:]] == [["undo", "+"], ["undo", "~"], ["redo", "~"]]


def test_what_is_refused(tmp_path: Path) -> None:
    assert tasks(tmp_path, "undo", code=1) == "tasks: there is nothing to undo"
    assert tasks(tmp_path, "add", "a\x1b[2Jb", code=1) == r"tasks: a task is one line of text, not 'a\x1b[2Jb'"
    assert "--at" in tasks(tmp_path, "list", "--at", "soon", code=2)
    (tmp_path / "data" / "tasks.db").write_bytes(b"no database " * 500)
    assert tasks(tmp_path, "add", "one", code=3).startswith("tasks: ")


def test_several_at_once(tmp_path: Path) -> None:
    """Nothing is lost, and no number is given twice."""
    kit.at_once(*(lambda name=name: tasks(tmp_path, "add", f"{name} 1", f"{name} 2") for name in "abcd"))

    found = json.loads(tasks(tmp_path, "list", "--output", "json"))
    assert [task["number"] for task in found] == list(range(1, 9))
    assert {task["text"] for task in found} == {f"{name} {number}" for name in "abcd" for number in (1, 2)}


@pytest.fixture(scope="module")
def program() -> Any:
    return example_kit.module("recipes/tasks")


@given(
    commands=st.lists(
        st.sampled_from(["add", "add two", "done", "edit", "remove", "clear", "undo", "undo", "redo"]), max_size=30
    ),
    seed=st.randoms(use_true_random=False),
)
def test_undo_and_redo_are_what_a_stack_of_states_says(program: Any, commands: list[str], seed: Any) -> None:
    """Whatever was done before: the state is that of an editor which keeps all states."""
    made = program.Tasks("x")
    past: list[dict[int, Any]] = []
    future: list[dict[int, Any]] = []
    for command in commands:
        now = dict(made.tasks)
        some = [seed.choice([*made.tasks, 99])]
        try:
            match command:
                case "add":
                    made.add(["new"])
                case "add two":
                    made.add(["one", "two"])
                case "edit":
                    made.edit(some[0], seed.choice(["other", ""]))
                case "done" | "remove":
                    getattr(made, command)(some)
                case _:
                    getattr(made, command)()
        except program.Refused:
            assert made.tasks == now
            assert command not in ("undo", "redo") or not (past if command == "undo" else future)
            continue
        match command:
            case "undo":
                future.append(now)
                assert made.tasks == past.pop()
            case "redo":
                past.append(now)
                assert made.tasks == future.pop()
            case _:
                past.append(now)
                future.clear()
