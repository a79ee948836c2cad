"""examples/assistant.py: a killed assistant goes on where it was, and asks nothing again that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.examples import example_kit as kit

QUESTION = "what is 6 * 7, how many words are in a.txt and in missing.txt?"


def calls(folder: Path) -> list[str]:
    return (folder / "assistant.db.calls").read_text(encoding="utf-8").splitlines()


def test_it_resumes_after_a_kill(tmp_path: Path) -> None:
    """The call that was made and not stored is made again; the thoughts and results that were stored are not."""
    (tmp_path / "a.txt").write_text("one two three", encoding="utf-8")
    kit.run("assistant.py", QUESTION, "--die-after", 2, cwd=tmp_path, code=9)
    before = calls(tmp_path)
    assert before == ["think 1", "calculate 6 * 7", "think 2", "count_words a.txt"]

    out, _ = kit.run("assistant.py", QUESTION, cwd=tmp_path)
    assert out.startswith(
        "calculate(6 * 7) is 42; count_words(a.txt) is 3; count_words(missing.txt) is unknown, as it failed"
    )
    assert calls(tmp_path)[len(before) :] == ["count_words a.txt", "think 3", "think 4"]

    again, _ = kit.run("assistant.py", QUESTION, cwd=tmp_path)
    assert (again, calls(tmp_path)[-1]) == (out, "think 4")

    kit.run("assistant.py", "what is 1 + 1?", cwd=tmp_path)
    kit.run("assistant.py", "what is 2 + 2?", "--conversation", "other", cwd=tmp_path)
    shown, _ = kit.run("assistant.py", "--show", cwd=tmp_path)
    lines = shown.splitlines()
    assert [line for line in lines if "missing.txt" not in line] == [
        "  called   calculate(6 * 7): 42",
        "  called   count_words(a.txt): 3",
        "you:       what is 1 + 1?",
        "  called   calculate(1 + 1): 2",
        "assistant: calculate(1 + 1) is 2",
    ]
    assert [line.partition(" ")[0] or line.split()[1] for line in lines if "missing.txt" in line] == [
        "you:",
        "count_words(missing.txt):",
        "assistant:",
    ]


@pytest.mark.parametrize(("formula", "value"), [("6 * 7", "42"), ("1+2-4", "-1")])
def test_the_calculator(formula: str, value: str) -> None:
    assistant: Any = kit.module("assistant")
    assert assistant.calculate(formula) == value
    with pytest.raises((ValueError, KeyError, SyntaxError)):
        assistant.calculate("__import__('os').getcwd()")
